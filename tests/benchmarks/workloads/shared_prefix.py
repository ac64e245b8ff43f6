"""The two synthetic loads of serving benchmarks, in shuffled order, and one that shares nothing.

Generated shared prefix: groups of requests with a long prompt in common, the groups of very unequal
size (SGLang's `generated-shared-prefix`, with a Zipf law). Prefix repetition: few prefixes, as many
requests behind each, long suffixes (vLLM's `prefix_repetition`). Nothing shared: what a cache costs
where it has nothing to give.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from .base import Branch, Workload
from .data import Data


@dataclass(frozen=True, slots=True)
class Row:
    prefix: str
    own: str
    tokens: int


def generated_shared_prefix(data: Data, rows: int, groups: int, words: int) -> Workload:
    """So many requests of so many groups, whose prompt has so many words; 20 of its own each."""
    weights = [1 / (rank + 1) for rank in range(groups)]
    sizes = [max(1, round(rows * weight / sum(weights))) for weight in weights]
    made = [
        Row(_prose(data, group, words), _prose(data, 1000 * group + number + 7, 20), tokens=12)
        for group, size in enumerate(sizes)
        for number in range(size)
    ]
    return _shuffled("generated shared prefix", made)


def prefix_repetition(data: Data, rows: int, prefixes: int, words: int) -> Workload:
    """So many requests, as many behind each prefix of so many words; 40 of its own each."""
    made = [
        Row(
            _prose(data, number % prefixes + 50, words),
            _prose(data, 977 * number + 11, 40),
            tokens=16,
        )
        for number in range(rows)
    ]
    return _shuffled("prefix repetition", made)


def nothing_shared(data: Data, rows: int, words: int) -> Workload:
    """So many requests of so many words, no two of which begin alike."""
    made = [Row(_prose(data, 89 * number + 3, words), "", tokens=32) for number in range(rows)]
    return _shuffled("nothing shared", made)


def _prose(data: Data, number: int, words: int) -> str:
    """Words that no other number begins with."""
    document = data.documents[number % len(data.documents)]
    return f"{number}. {document.words(words, start=number // len(data.documents))}\n"


def _shuffled(name: str, rows: list[Row]) -> Workload:
    random.Random(2).shuffle(rows)
    return Workload(name, rows, _program)


def _program(s: Branch, row: Row) -> None:
    s.add(row.prefix)
    s.add(row.own)
    s.generate("answer", row.tokens)
    s["answer"]

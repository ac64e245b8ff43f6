"""Questions over retrieved documents, many of which the questions have in common."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .base import Branch, Workload
from .data import Data

ANSWER_TOKENS = 16
RETRIEVED = 3


@dataclass(frozen=True, slots=True)
class Row:
    passages: tuple[str, ...]
    question: str


def rag(data: Data, rows: int, documents: int, words: int) -> Workload:
    """So many questions, each over three of so many documents; popular ones come first."""
    draw = random.Random(4)
    corpus = data.documents[:documents]
    weights = [1 / (rank + 1) for rank in range(len(corpus))]
    made = []
    for number in range(rows):
        found: dict[int, None] = {}
        while len(found) < min(RETRIEVED, len(corpus)):
            found[draw.choices(range(len(corpus)), weights)[0]] = None
        chosen = sorted(found)
        asked = corpus[chosen[number % len(chosen)]]
        passages = tuple(f"{corpus[i].name}: {corpus[i].words(words)}" for i in chosen)
        made.append(Row(passages, f"In one sentence, what does {asked.name} do?"))
    return Workload("RAG, shared documents", made, _program)


def _program(s: Branch, row: Row) -> None:
    s.add("Answer from these documents alone.\n\n")
    for passage in row.passages:
        s.add(f"{passage}\n\n")
    s.add(f"Question: {row.question}\nAnswer:")
    s.generate("answer", ANSWER_TOKENS)
    s["answer"]

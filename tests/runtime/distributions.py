"""Whether what was sampled is distributed as the logits say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from treegram.runtime.base import Logits
from treegram.runtime.sampler import softmax


def check_pairs(
    counts: Counter[tuple[int, ...]], prompt: list[int], logits: Callable[[list[int]], Logits]
) -> None:
    """Chi-square of two tokens, sampled at temperature 1, against their exact probabilities.

    `logits` gives those behind a text; token 0 ends it, and is not sampled.
    """
    n = sum(counts.values())

    def probabilities(tokens: list[int]) -> list[float]:
        found = logits(tokens).astype(np.float64)
        found[0] = -np.inf
        return [float(p) for p in softmax(found)]

    first = probabilities(prompt)
    tokens = range(1, len(first))
    expected = {
        (a, b): n * first[a] * p
        for a in tokens
        for b, p in enumerate(probabilities([*prompt, a]))
        if b
    }
    rare = [pair for pair, count in expected.items() if count < 5]
    square = sum((counts[p] - e) ** 2 / e for p, e in expected.items() if p not in rare)
    pooled = sum(expected[p] for p in rare)
    square += (sum(counts[p] for p in rare) - pooled) ** 2 / pooled
    degrees = len(expected) - len(rare)
    assert square < degrees + 4 * np.sqrt(2 * degrees)

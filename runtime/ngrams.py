"""Prompt lookup: what followed the same last tokens earlier in the same text.

Copied names, quotes and code repeat what the prompt holds (Yang et al., arXiv:2304.04487; Saxena's
prompt lookup decoding, 2023). The text is searched at each step, which takes some microseconds for
8,000 tokens; an index of its n-grams would take milliseconds to make before the first of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SIZES = (3, 2)
"""Tokens that must agree; the longest found wins."""


class NgramSearch:
    """A growing text, as an array."""

    def __init__(self) -> None:
        self._tokens = np.empty(0, np.int32)
        self._size = 0

    def continuation(self, tokens: Sequence[int], guess: Sequence[int], n: int) -> list[int]:
        """At most `n` tokens that last followed what `tokens` and `guess` end with.

        `tokens` are those of the call before and what came since.
        """
        self._take(tokens)
        known, last = self._tokens[: self._size], [*tokens[-SIZES[0] :], *guess]
        ends = np.flatnonzero(known[:-1] == last[-1]) + 1 if last else np.empty(0, np.intp)
        for size in SIZES:
            if len(last) < size:
                continue
            found = ends[ends >= size]
            for back in range(2, size + 1):
                found = found[known[found - back] == last[-back]]
            if len(found):
                at = int(found[-1])
                return [int(token) for token in known[at : at + n]]
        return []

    def _take(self, tokens: Sequence[int]) -> None:
        new = tokens[self._size :]
        size = self._size + len(new)
        if size > len(self._tokens):
            grown = np.empty(size + size // 4, np.int32)
            grown[: self._size] = self._tokens[: self._size]
            self._tokens = grown
        self._tokens[self._size : size] = new
        self._size = size

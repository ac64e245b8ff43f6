"""Counts the tokens that an ideal cache would have evaluated: the trie of all requests."""

from __future__ import annotations

from collections.abc import Sequence


class TrieCount:
    """Size of the trie of all token sequences seen, held as a set of chained prefix hashes.

    64-bit hashes: at 10^7 tokens the chance of one collision is 3e-6. Memory is about 60 bytes a
    token, so this is for measuring, not for serving.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._again = 0

    @property
    def tokens(self) -> int:
        """Trie nodes, plus one per request whose prompt was wholly in the trie when it came."""
        return len(self._seen) + self._again

    def add(self, tokens: Sequence[int], namespace: str = "", *, is_request: bool = False) -> None:
        """Adds an evaluated sequence; `is_request` marks a whole prompt that needs logits."""
        before = len(self._seen)
        chained = hash(namespace)
        for token in tokens:
            chained = hash((chained, token))
            self._seen.add(chained)
        if is_request and tokens and len(self._seen) == before:
            self._again += 1

"""Token healing of an unconstrained generation: the first tokens respell the end of the prompt.

The prompt's last token was backed up (`prompt.py`); the model now writes its text again, and may
choose a longer token that goes on past it. After that everything is legal.
"""

from __future__ import annotations

import numpy as np

from .base import BoolMask, Vocabulary
from .spelling import Speller
from .token_trie import TokenTrie


class HealingFactory:
    """Implements `MatcherFactory` without a grammar. Used by the engine's thread only."""

    def __init__(self, vocabulary: Vocabulary, speller: Speller, trie: TokenTrie) -> None:
        self.vocabulary = vocabulary
        self.speller = speller
        self.trie = trie

    def start(self, prefix: bytes = b"", canonical: bool = True) -> HealingMatcher:
        return HealingMatcher(self, prefix, canonical)


class HealingMatcher:
    """See `Matcher`. Made by `HealingFactory.start`."""

    def __init__(self, factory: HealingFactory, prefix: bytes, canonical: bool) -> None:
        self._factory = factory
        self._pending = prefix
        self._canonical = canonical

    def mask(self) -> BoolMask | None:
        if not self._pending:
            return None
        trie = self._factory.trie
        mask = np.zeros(len(self._factory.vocabulary), np.bool_)
        mask[list(self._first_tokens())] = True
        node = trie.find(self._pending)
        level = np.array([] if node is None else [node], np.int64)
        while len(level):
            mask[trie.tokens_at(level)] = True
            level = trie.children_of(level)
        return mask

    def allows(self, token: int) -> bool:
        if not self._pending:
            return True
        piece = self._factory.vocabulary.pieces[token]
        is_end = token in self._factory.vocabulary.eog
        return (bool(piece) and not is_end and piece.startswith(self._pending)) or (
            token in self._first_tokens()
        )

    def advance(self, token: int) -> None:
        if not self.allows(token):
            raise ValueError(f"token {token} is not legal here")
        self._pending = self._pending[len(self._factory.vocabulary.pieces[token]) :]

    def forced(self) -> list[int]:
        return []

    @property
    def is_accepting(self) -> bool:
        return not self._pending

    @property
    def is_done(self) -> bool:
        return False

    def _first_tokens(self) -> tuple[int, ...]:
        return self._factory.speller.first_tokens(self._pending, self._canonical)

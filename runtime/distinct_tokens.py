"""Tokens that would repeat a value where all must differ, taken out of a mask one by one.

Masks are shared between all values of a list and know nothing of those seen. Only a token that ends
a value, or leaves it no way to differ, can be illegal for that; few can, and each is tried.
"""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from ..lang.automaton import Automaton
from ..lang.configuration import Configuration
from .base import BoolMask
from .token_trie import TokenTrie

MAX_TRIED = 256
"""Legal tokens that are all tried; of more, only those that can end a value."""

_CLOSING = b'",]} \n'


class DistinctTokens:
    """Strikes tokens out of the masks of one grammar over one vocabulary."""

    def __init__(self, automaton: Automaton, trie: TokenTrie) -> None:
        self._automaton = automaton
        self._trie = trie
        self._closing: BoolMask | None = None

    def strike_out(self, mask: BoolMask, configuration: Configuration, prefix: bytes) -> None:
        """Clears in `mask` the tokens after which the values could no longer all differ.

        `configuration` is where the text stands after `prefix`, with which all tokens begin.
        """
        for token in self._suspects(mask, configuration, prefix).tolist():
            data = self._trie.pieces[token][len(prefix) :]
            if self._automaton.run(configuration, data) is None:
                mask[token] = False

    def _suspects(
        self, mask: BoolMask, configuration: Configuration, prefix: bytes
    ) -> NDArray[np.int64]:
        legal = np.flatnonzero(mask)
        if len(legal) <= MAX_TRIED:
            return legal
        strings = self._automaton.string_in_writing(configuration)
        if strings is None:
            return np.flatnonzero(mask & self._closing_tokens())
        text, seen = strings
        found: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
        for value in seen:
            spelled = json.dumps(value, ensure_ascii=False).encode()
            if spelled.startswith(text):
                node = self._trie.find(prefix + spelled[len(text) :])
                if node is not None:
                    found.append(self._trie.entries_below(node))
        suspects = np.concatenate(found)
        return suspects[mask[suspects]]

    def _closing_tokens(self) -> BoolMask:
        if self._closing is None:
            pieces = self._trie.pieces
            self._closing = np.array(
                [any(byte in _CLOSING for byte in piece) for piece in pieces], dtype=bool
            )
        return self._closing

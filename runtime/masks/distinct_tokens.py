"""Tokens that would repeat a value where all must differ, taken out of a mask one by one.

Masks are shared between all values of a list and know nothing of those seen. Only a token that ends
a value, or leaves it no way to differ, can be illegal for that; few can, and each is tried.
"""

from __future__ import annotations

import json
import re

import numpy as np
from numpy.typing import NDArray

from ...lang.automaton.automaton import Automaton
from ...lang.automaton.configuration import Configuration
from ..base import BoolMask
from .token_trie import TokenTrie

MAX_TRIED = 256
"""Legal tokens that are all tried; of more, only those that can end a value."""

MAX_TRIED_OF_FEW = 4096
"""The same where it is not sure that a value can become one of endlessly many."""

_ENDS = {ord("{"): rb"\}", ord("["): rb"\]", ord('"'): b'"'}
"""What ends a value, by its first byte."""

_WHOLE = rb'"[^"]*"|\{\s*\}|\[\s*\]|(?:[-+0-9eE.]|true|false|null)[,\]}\s]'
"""A value that begins and ends in one token."""

_QUOTES = re.compile(rb'\\.|(")', re.DOTALL)


class DistinctTokens:
    """Strikes tokens out of the masks of one grammar over one vocabulary."""

    def __init__(self, automaton: Automaton, trie: TokenTrie) -> None:
        self._automaton = automaton
        self._trie = trie
        self._ending: dict[bytes, BoolMask] = {}

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
        if len(legal) <= MAX_TRIED_OF_FEW and not self._automaton.can_always_differ(configuration):
            return legal  # any token may choose a value that was seen, long before its end
        strings = self._automaton.string_in_writing(configuration)
        if strings is None:
            endings = {_ending(text) for text in self._automaton.values_in_writing(configuration)}
            can_end = np.zeros(len(mask), dtype=bool)
            for ending in endings or {_WHOLE}:
                can_end |= self._tokens_with(ending)
            return np.flatnonzero(mask & can_end)
        text, seen = strings
        found: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
        for value in seen:
            spelled = json.dumps(value, ensure_ascii=False).encode()
            if spelled.startswith(text):
                rest = prefix + spelled[len(text) :]
                found.append(np.array(self._trie.prefixes_of(rest), dtype=np.int64))
                node = self._trie.find(rest)
                if node is not None:
                    found.append(self._trie.entries_below(node))
        suspects = np.concatenate(found)
        return suspects[mask[suspects]]

    def _tokens_with(self, pattern: bytes) -> BoolMask:
        """The tokens in which a regex is found."""
        if pattern not in self._ending:
            search = re.compile(pattern, re.DOTALL).search
            flags = [search(piece) is not None for piece in self._trie.pieces]
            self._ending[pattern] = np.array(flags, dtype=bool)
        return self._ending[pattern]


def _ending(text: bytes) -> bytes:
    """A regex that a token matches if it can end the value that begins with `text`."""
    if not text:
        return _WHOLE
    end = _ENDS.get(text[0])
    if end is None:
        return rb'[",\]}\s]'
    in_string = text[0] != ord('"') and sum(map(bool, _QUOTES.findall(text))) % 2 == 1
    return rb'".*' + end if in_string else end

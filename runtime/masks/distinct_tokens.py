"""Tokens that would repeat a value where all must differ, taken out of a mask.

Masks are shared between all values of a list and know nothing of those seen. A token can only be
illegal for that if it goes on spelling a value that was seen, or ends a value and goes on to the
next: the first kind is found by a walk of the vocabulary along the values seen, and of the second
there are few, which are tried.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ...lang.automaton.automaton import Automaton
from ...lang.automaton.configuration import Configuration
from ..base import BoolMask
from .token_trie import TokenTrie

FEW = 4096
"""Legal tokens of which the ways to them are looked up before a walk."""

MAX_TRIED = 128
"""Legal tokens that are all tried; of more, only those that may be illegal."""

_ENDS = {ord("{"): rb"\}", ord("["): rb"\]", ord('"'): b'"'}
"""What ends a value, by its first byte."""

_WHOLE = rb'"[^"]*"|\{\s*\}|\[\s*\]|(?:[-+0-9eE.]|true|false|null)[,\]}\s]'
"""A value that begins and ends in one token."""

_NEXT = rb",\s*[^\s]"
"""What may begin a value after a separator."""

_FIRST = rb'[\[{]\s*(?:[-0-9"\[{]|t(?:r|$)|f(?:a|$)|n(?:u|$))'
"""What begins the first value of a list, or the first member of an object."""

_QUOTES = re.compile(rb'\\.|(")', re.DOTALL)


class DistinctTokens:
    """Strikes tokens out of the masks of one grammar over one vocabulary."""

    def __init__(self, automaton: Automaton, trie: TokenTrie) -> None:
        self._automaton = automaton
        self._trie = trie

    def strike_out(self, mask: BoolMask, configuration: Configuration, prefix: bytes) -> None:
        """Clears in `mask` the tokens after which the values could no longer all differ.

        `configuration` is where the text stands after `prefix`, with which all tokens begin.
        """
        tokens_with = self._trie.tokens_with
        suspects = np.flatnonzero(mask)
        if not self._automaton.depends_on_values(configuration):
            suspects = np.flatnonzero(mask & tokens_with(_FIRST))
        elif len(suspects) > MAX_TRIED:
            node = self._trie.find(prefix)
            if node is not None:
                within = self._passed(suspects, prefix, node) if len(suspects) <= FEW else None
                self._strike_repeated(mask, configuration, node, within)
            can_end = np.zeros(len(mask), dtype=bool)
            values = self._automaton.values_in_writing(configuration)
            texts = {value.text.lstrip() for value in values}
            for pattern in self._patterns(texts):
                can_end |= tokens_with(pattern)
            suspects = np.flatnonzero(mask & can_end)
        for token in suspects.tolist():
            data = self._trie.pieces[token][len(prefix) :]
            if self._automaton.run(configuration, data) is None:
                mask[token] = False

    def _patterns(self, texts: set[bytes]) -> set[bytes]:
        """Regexes of the tokens that may begin or end another value than those in writing."""
        further = b"%s|%s" % (_WHOLE, _NEXT)
        patterns = set() if texts else {further}
        for text in texts:
            # where fresh values are always left, ending one does no harm: beginning another may
            if not self._automaton.has_endless_values():
                patterns.add(_ending(text))
            if _is_in_string(text):
                patterns.add(rb'".*(?:%s)' % further)
            else:
                patterns.add(further)
        return patterns

    def _passed(self, tokens: NDArray[np.int64], prefix: bytes, node: int) -> set[int]:
        """The nodes below `node`, which spells `prefix`, on the ways to `tokens`."""
        passed: set[int] = set()
        for token in tokens.tolist():
            here = node
            for byte in self._trie.pieces[token][len(prefix) :]:
                here = self._trie.children(here).get(byte, here)
                passed.add(here)
        return passed

    def _strike_repeated(
        self, mask: BoolMask, configuration: Configuration, node: int, within: set[int] | None
    ) -> None:
        """Clears the tokens below `node` that go on as a value that was seen, to where none may.

        `within`: the nodes that are looked at; None: all.
        """
        automaton = self._automaton
        pending = [(node, configuration)]
        while pending:
            node, here = pending.pop()
            values = [value.possible for value in automaton.values_in_writing(here)]
            if not values and within is None:
                continue  # far from a value, in a string for one
            for byte, child in self._trie.children(node).items():
                if within is not None and child not in within:
                    continue
                if values and not any(value.is_whole or value.step(byte) for value in values):
                    continue
                following = automaton.step(here, byte)
                if following is None:
                    mask[self._trie.entries_below(child)] = False
                elif following.watched:
                    pending.append((child, following))


def _ending(text: bytes) -> bytes:
    """A regex that a token matches if it can end the value that begins with `text`."""
    end = _ENDS.get(text[0], rb'[",\]}\s]') if text else _WHOLE
    return rb'".*' + end if text[:1] != b'"' and _is_in_string(text) else end


def _is_in_string(text: bytes) -> bool:
    return sum(map(bool, _QUOTES.findall(text))) % 2 == 1

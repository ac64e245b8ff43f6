"""Which tokens a constraint allows next, as masks over the vocabulary.

Masks are memoised by configuration, with counts beyond the longest token merged, so positions in a
long list share one mask. Values that must be distinct are left out of all this: the few tokens that
could repeat a value are tried one by one (`distinct_tokens.py`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ...lang.automaton.automaton import Automaton
from ...lang.automaton.configuration import Configuration
from ...lang.errors import GrammarError
from ..base import BoolMask
from .distinct_tokens import DistinctTokens
from .grammar_walk import GrammarWalk, is_mask
from .token_trie import TokenTrie

MEMO_BYTES = 16 << 20
"""Masks kept per constraint, least recently used out first."""


_Key: TypeAlias = tuple[Configuration, bytes, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class MaskStats:
    """Counts since the table was made: masks computed and masks found in the memo."""

    computed: int
    reused: int


class MaskTable:
    """Masks of one constraint over one vocabulary. Not thread-safe: one engine thread owns it."""

    def __init__(
        self,
        automaton: Automaton,
        trie: TokenTrie,
        eog: frozenset[int],
        memo_bytes: int = MEMO_BYTES,
    ) -> None:
        self._automaton = automaton
        self._trie = trie
        self._eog = sorted(eog)
        self._local = automaton.within(trie.longest_token_bytes)
        self._is_shared = self._local is automaton
        self._distinct = DistinctTokens(automaton, trie)
        self._has_distinct = automaton.has_distinct
        self._walk = GrammarWalk(self._local, trie)
        self._memo: OrderedDict[_Key, BoolMask] = OrderedDict()
        self._memo_limit = max(1, memo_bytes // max(1, trie.n_vocab))
        self._computed = self._reused = 0

    def stats(self) -> MaskStats:
        return MaskStats(self._computed, self._reused)

    def mask(
        self, configuration: Configuration, prefix: bytes = b"", also: tuple[int, ...] = ()
    ) -> BoolMask:
        """Legal next tokens, bool[n_vocab], read-only and shared.

        `configuration` is where the text stands after `prefix`, bytes that are part of the text
        and that no token spells yet: a legal token spells all of them, and then what the
        configuration allows. `also` are further tokens to allow. End-of-generation tokens are
        legal if the configuration accepts and nothing is pending.

        Raises GrammarError if no token at all is legal.
        """
        key = (configuration, prefix, also)
        if (mask := self._remembered(key)) is not None:
            return mask
        local = self._adopt(configuration)
        if local is not configuration and not self._automaton.depends_on_values(configuration):
            key = (local, prefix, also)
            if (mask := self._remembered(key)) is not None:
                return mask
        self._computed += 1
        mask = self._compute(configuration, local, prefix, also)
        mask.flags.writeable = False
        self._memo[key] = mask
        if len(self._memo) > self._memo_limit:
            self._memo.popitem(last=False)
        return mask

    def _remembered(self, key: _Key) -> BoolMask | None:
        mask = self._memo.get(key)
        if mask is not None:
            self._memo.move_to_end(key)
            self._reused += 1
        return mask

    def _adopt(self, configuration: Configuration) -> Configuration:
        """The configuration with far counts merged and without values that must differ."""
        local = configuration if self._is_shared else self._local.adopt(configuration)
        return self._local.settled(local, self._trie.longest_token_bytes)

    def _compute(
        self,
        configuration: Configuration,
        local: Configuration,
        prefix: bytes,
        also: tuple[int, ...],
    ) -> BoolMask:
        mask: BoolMask | None = None
        node = self._trie.find(prefix)
        if node is not None:
            listed, parts = self._walk.tokens(node, local)
            for part in parts:
                if not is_mask(part):
                    continue
                if mask is None:
                    mask = part.copy()  # parts are shared
                else:
                    mask |= part
        else:
            listed, parts = [], []
        if configuration.accepting and not prefix:
            listed += self._eog
        listed += also
        if mask is None:
            mask = np.zeros(self._trie.n_vocab, dtype=bool)
        for part in parts:
            if not is_mask(part):
                mask[part] = True
        if listed:
            mask[listed] = True
        if self._has_distinct:
            self._distinct.strike_out(mask, configuration, prefix)
        if not listed and not mask.any():
            raise GrammarError(
                f"no token of this vocabulary continues the text (pending: {prefix!r}; legal next "
                f"bytes: {self._local.next_bytes(local)!r}); use a grammar or a model whose tokens "
                "meet"
            )
        return mask

"""Which tokens a constraint allows next: a walk of the vocabulary's trie beside the automaton.

The walk goes level by level. While few trie nodes survive it follows just those; where many do it
gathers the whole next level at once; the last, thin levels (long runs of one character) are walked
one node at a time. Masks are memoised by configuration, with counts beyond the longest token
merged, so positions in a long string share one mask.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..lang.automaton import Automaton, Configuration
from ..lang.errors import GrammarError
from .base import BoolMask
from .row_table import DEAD, RowTable
from .token_trie import TokenTrie

MEMO_BYTES = 16 << 20
"""Masks kept per constraint, least recently used out first."""

MAX_ROWS = 8192
"""Rows of next configurations (1 KiB each) kept between two walks."""

THIN_LEVEL = 64
"""Levels from the first one this small, after the widest, are walked node by node."""


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
        self._trie = trie
        self._eog = np.array(sorted(eog), dtype=np.int64)
        self._local = automaton.within(trie.longest_token_bytes)
        self._adopted: WeakKeyDictionary[Configuration, Configuration] = WeakKeyDictionary()
        self._table = RowTable(self._local)
        self._memo: OrderedDict[tuple[Configuration, bytes, tuple[int, ...]], BoolMask] = (
            OrderedDict()
        )
        self._memo_limit = max(1, memo_bytes // max(1, trie.n_vocab))
        self._computed = self._reused = 0
        sizes = np.diff(trie.level_starts)
        widest = int(sizes.argmax())
        thin = np.flatnonzero(sizes[widest:] <= THIN_LEVEL)
        self._thin_level = widest + int(thin[0]) if len(thin) else len(sizes)
        self._thin = _ThinLevels(trie, trie.level_starts[self._thin_level])

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
        local = self._adopted.get(configuration)
        if local is None:
            local = self._adopted[configuration] = self._local.adopt(configuration)
        key = (local, prefix, also)
        mask = self._memo.get(key)
        if mask is not None:
            self._memo.move_to_end(key)
            self._reused += 1
            return mask
        self._computed += 1
        node = self._trie.find(prefix)
        none = np.zeros(self._trie.n_vocab, dtype=bool)
        mask = none if node is None else self._walk(node, local)
        mask[list(also)] = True
        if local.accepting and not prefix:
            mask[self._eog] = True
        if not mask.any():
            raise GrammarError(
                f"no token of this vocabulary continues the text (pending: {prefix!r}; legal next "
                f"bytes: {self._local.next_bytes(local)!r}); use a grammar or a model whose "
                "tokens meet"
            )
        mask.flags.writeable = False
        self._memo[key] = mask
        if len(self._memo) > self._memo_limit:
            self._memo.popitem(last=False)
        return mask

    def _walk(self, node: int, configuration: Configuration) -> BoolMask:
        """Tokens at and below `node` whose further bytes `configuration` allows."""
        trie, table = self._trie, self._table
        if len(table) > MAX_ROWS:
            table.clear()
        starts = trie.level_starts
        level = bisect_right(starts, node) - 1
        nodes = np.array([node], dtype=np.int64)
        states = np.array([table.number(configuration)], dtype=np.int32)
        reached = [nodes]
        while level + 1 < self._thin_level and len(nodes):
            table.ensure(states)
            level += 1
            first, end = starts[level], starts[level + 1]
            counts = trie.n_children[nodes]
            if 2 * int(counts.sum()) > end - first:
                above = np.zeros(first - starts[level - 1], dtype=np.int32)
                above[nodes - starts[level - 1]] = states
                below = above[trie.parent[first:end] - starts[level - 1]]
                states = table.rows[(below << 8) + trie.byte[first:end]]
                kept = np.flatnonzero(states != DEAD)
                nodes = kept + first
            else:
                children = trie.children_of(nodes)
                states = table.rows[(np.repeat(states, counts) << 8) + trie.byte[children]]
                kept = np.flatnonzero(states != DEAD)
                nodes = children[kept]
            states = states[kept]
            reached.append(nodes)
        if len(nodes):
            reached.append(self._thin.walk(nodes, states, table))
        return self._tokens_of(np.concatenate(reached))

    def _tokens_of(self, nodes: NDArray[np.int64]) -> BoolMask:
        trie = self._trie
        if len(nodes) > trie.n_nodes // 8:
            alive = np.zeros(trie.n_nodes + 1, dtype=bool)  # the last one is what -1 reads
            alive[nodes] = True
            return alive[trie.token_node]
        mask = np.zeros(trie.n_vocab, dtype=bool)
        mask[trie.tokens_at(nodes)] = True
        return mask


class _ThinLevels:
    """The deepest part of a trie in plain lists: a few long tokens, one or two nodes a level."""

    def __init__(self, trie: TokenTrie, first: int) -> None:
        self._first = first
        self._children: dict[int, list[tuple[int, int]]] = {}
        bytes_here = trie.byte[first:].tolist()
        for offset, parent in enumerate(trie.parent[first:].tolist()):
            self._children.setdefault(parent, []).append((first + offset, bytes_here[offset]))

    def walk(
        self, nodes: NDArray[np.int64], states: NDArray[np.int32], table: RowTable
    ) -> NDArray[np.int64]:
        """All nodes strictly below `nodes` that the states allow."""
        children = self._children
        pending = [
            pair
            for pair in zip(nodes.tolist(), states.tolist(), strict=True)
            if pair[0] in children
        ]
        reached: list[int] = []
        while pending:
            node, state = pending.pop()
            row = table.row(state)
            for child, byte in children[node]:
                target = row[byte]
                if target != DEAD:
                    reached.append(child)
                    if child in children:
                        pending.append((child, target))
        return np.array(reached, dtype=np.int64)

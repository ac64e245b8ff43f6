"""A walk of a byte trie beside an automaton: which nodes the automaton allows, and in what state.

The walk goes level by level. While few nodes survive it follows just those; where many do it
gathers the whole next level at once; the last, thin levels (long runs of one character) are walked
one node at a time.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .byte_trie import ByteTrie
from .row_table import DEAD, RowTable

THIN_LEVEL = 16
"""Levels of at most this many surviving nodes, after the widest, are walked node by node."""

SMALL_TRIE = 256
"""Nodes of a trie that is walked node by node throughout."""


class Reached(NamedTuple):
    """The nodes below a start that an automaton allows; int64, int32 and int16, of one length.

    `states`: the automaton's number at each node. `tallies`: how often the way there came to the
    state that is counted.
    """

    nodes: NDArray[np.int64]
    states: NDArray[np.int32]
    tallies: NDArray[np.int16]


def walk(
    trie: ByteTrie,
    node: int,
    start: int,
    table: RowTable,
    counted: int = DEAD,
    tally: int = 0,
) -> Reached:
    """Everything strictly below `node`, where the automaton is in state number `start`.

    `counted` is the number of a state whose visits are tallied, from `tally` on.
    """
    starts = trie.level_starts
    level = bisect_right(starts, node) - 1
    nodes = np.array([node], dtype=np.int64)
    states = np.array([start], dtype=np.int32)
    tallies = np.full(1, tally, dtype=np.int16)
    found = [Reached(nodes[:0], states[:0], tallies[:0])]
    previous = len(trie) if len(trie) <= SMALL_TRIE else 0
    while level + 2 < len(starts) and len(nodes):
        if len(nodes) <= min(THIN_LEVEL, previous):
            found.append(_walk_each(trie, Reached(nodes, states, tallies), table, counted))
            break
        previous = len(nodes)
        table.ensure(states)
        level += 1
        first, end = starts[level], starts[level + 1]
        counts = trie.n_children[nodes]
        if 2 * int(counts.sum()) > end - first:
            width = first - starts[level - 1]
            above = np.zeros(width, dtype=np.int32)
            above[nodes - starts[level - 1]] = states
            places = trie.parent[first:end] - starts[level - 1]
            reached = table.rows[(above[places] << 8) + trie.byte[first:end]]
            kept = np.flatnonzero(reached != DEAD)
            if counted != DEAD:
                tallies_above = np.zeros(width, dtype=np.int16)
                tallies_above[nodes - starts[level - 1]] = tallies
                tallies = tallies_above[places[kept]]
            nodes = kept + first
        else:
            children = trie.children_of(nodes)
            reached = table.rows[(np.repeat(states, counts) << 8) + trie.byte[children]]
            kept = np.flatnonzero(reached != DEAD)
            if counted != DEAD:
                tallies = np.repeat(tallies, counts)[kept]
            nodes = children[kept]
        states = reached[kept]
        tallies = tallies + (states == counted) if counted != DEAD else _none(len(nodes))
        found.append(Reached(nodes, states, tallies))
    return Reached(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _none(count: int) -> NDArray[np.int16]:
    return np.zeros(count, dtype=np.int16)


def _walk_each(trie: ByteTrie, start: Reached, table: RowTable, counted: int) -> Reached:
    """The same walk over few nodes, in plain Python."""
    pending = list(zip(*(part.tolist() for part in start), strict=True))
    nodes: list[int] = []
    states: list[int] = []
    tallies: list[int] = []
    while pending:
        node, state, tally = pending.pop()
        children = trie.children(node)
        if not children:
            continue
        row = table.row(state)
        for byte, child in children.items():
            target = row[byte]
            if target != DEAD:
                reached = tally + (counted != DEAD and target == counted)
                nodes.append(child)
                states.append(target)
                tallies.append(reached)
                pending.append((child, target, reached))
    return Reached(
        np.array(nodes, dtype=np.int64),
        np.array(states, dtype=np.int32),
        np.array(tallies, dtype=np.int16),
    )

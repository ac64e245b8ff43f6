"""A trie of byte strings in arrays that numpy can walk a whole level at a time.

Nodes are numbered level by level (breadth first), and within a level in byte order, so that
children of a node, and nodes of a level, are contiguous:

    node      0 | 1  2  3 | 4  5 ...
    depth     0 |    1    |   2
    parent    - | 0  0  0 | 1  1 ...

A walk keeps one automaton state per node; each level is one gather from the level above it.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Branch(NamedTuple):
    """A node: the entries that end there, and its children by their byte."""

    entries: list[int]
    children: dict[int, int]


class Scalars(NamedTuple):
    """Arrays of a trie, for scalar code."""

    entries: memoryview[int]
    entry_starts: memoryview[int]
    entry_ends: memoryview[int]
    first_child: memoryview[int]
    n_children: memoryview[int]
    byte: bytes


class ByteTrie:
    """Byte strings, each with a number (its *entry*), as a trie. Immutable.

    Attributes:
        parent: int32[n_nodes], -1 for the root.
        byte: uint8[n_nodes], the last byte of the node's text.
        first_child: int32[n_nodes], the first of `n_children` consecutive nodes.
        n_entries: one more than the largest entry.
        level_starts: n_levels + 1 node numbers; level d is `level_starts[d]:level_starts[d + 1]`.
    """

    def __init__(
        self,
        parent: NDArray[np.int32],
        byte: NDArray[np.uint8],
        level_starts: list[int],
        entries: NDArray[np.int64],
        nodes: NDArray[np.int64],
    ) -> None:
        """`entries[i]` ends at node `nodes[i]`."""
        self.parent = parent
        self.byte = byte
        self.level_starts = level_starts
        self.n_nodes = len(parent)
        self.n_entries = int(entries.max(initial=-1)) + 1
        self.n_children: NDArray[np.int32] = np.bincount(parent[1:], minlength=self.n_nodes).astype(
            np.int32
        )
        self.first_child: NDArray[np.int32] = (
            np.cumsum(self.n_children) - self.n_children + 1
        ).astype(np.int32)
        order = np.argsort(nodes, kind="stable")
        counts = np.bincount(nodes, minlength=self.n_nodes)
        self._entries: NDArray[np.int64] = entries[order]
        self._entry_ends: NDArray[np.int64] = np.cumsum(counts)
        self._entry_starts: NDArray[np.int64] = self._entry_ends - counts
        # scalar code reads views and bytes faster than arrays
        self._scalars = Scalars(
            self._entries.data,
            self._entry_starts.data,
            self._entry_ends.data,
            self.first_child.data,
            self.n_children.data,
            byte.tobytes(),
        )
        self._branches: dict[int, Branch] = {}

    def __len__(self) -> int:
        return self.n_nodes

    def digest(self) -> bytes:
        """A hash of the byte strings and their entries: equal for equal tries, in any process."""
        sha = hashlib.sha256()
        for array in (self.parent, self.byte, self._entries, self._entry_ends):
            sha.update(f"{array.dtype.str} {len(array)}\n".encode())
            sha.update(array.tobytes())
        return sha.digest()

    def entries_at(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The entries that end at any of `nodes`, each as often as its node occurs."""
        starts = self._entry_starts[nodes]
        return self._entries[ranges(starts, self._entry_ends[nodes] - starts)]

    def counts_at(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many entries end at each of `nodes`."""
        counts: NDArray[np.int64] = self._entry_ends[nodes] - self._entry_starts[nodes]
        return counts

    def entries_of(self, node: int) -> NDArray[np.int64]:
        """The entries that end at one node."""
        return self._entries[self._entry_starts[node] : self._entry_ends[node]]

    def entries_below(self, node: int) -> NDArray[np.int64]:
        """The entries that end at `node` or pass through it."""
        nodes = np.array([node], dtype=np.int64)
        found = [nodes]
        while len(nodes):
            nodes = self.children_of(nodes)
            found.append(nodes)
        return self.entries_at(np.concatenate(found))

    def children_of(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """All children of `nodes`, in the order of the nodes."""
        return ranges(self.first_child[nodes], self.n_children[nodes])

    def branch(self, node: int) -> Branch:
        """One node, for scalar code; remembered."""
        known = self._branches.get(node)
        if known is None:
            entries, starts, ends, first_child, n_children, byte = self._scalars
            first = first_child[node]
            end = first + n_children[node]
            children = dict(zip(byte[first:end], range(first, end), strict=True))
            known = Branch(entries[starts[node] : ends[node]].tolist(), children)
            self._branches[node] = known
        return known

    def children(self, node: int) -> dict[int, int]:
        """The children of one node by their byte, for scalar code."""
        return self.branch(node).children

    def find(self, text: bytes, node: int = 0) -> int | None:
        """The node that spells `text` below `node`, or None if nothing begins with it."""
        here: int | None = node
        for value in text:
            if here is None:
                return None
            here = self.children(here).get(value)
        return here


def ranges(starts: NDArray[np.integer], lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Concatenation of `arange(start, start + length)` over all pairs."""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    shifts: NDArray[np.int64] = np.repeat(starts - ends + lengths, lengths)
    return np.arange(total, dtype=np.int64) + shifts

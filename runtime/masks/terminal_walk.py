"""One terminal state over one trie: the entries that stay inside, and those that leave.

What a walk found is a table of plain arrays, which can also come from a file (`walk_packing.py`);
what leaves by a byte is filed when a grammar first asks for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .byte_trie import ByteTrie


class Window(NamedTuple):
    """How many more items a counted terminal needs, and how many it has room for."""

    low: int
    high: int | None


ANY = Window(0, None)


class Exits(NamedTuple):
    """The entries of a trie that leave a terminal by one byte, filed by what follows that byte.

    Entry i of `rests` is entry `entries[i]` of the trie walked, after `tallies[i]` items.
    """

    rests: ByteTrie
    entries: NDArray[np.int64]
    tallies: NDArray[np.int16]

    def pick(
        self, rests: NDArray[np.int64] | NDArray[np.bool_], window: Window
    ) -> NDArray[np.int64]:
        """The entries of the trie walked that these of `rests` stand for, within `window`."""
        if window != ANY:
            tallies = self.tallies[rests]
            fits = tallies >= window.low
            if window.high is not None:
                fits &= tallies <= window.high
            rests = rests[fits]
        return self.entries[rests]

    def pick_few(self, rests: list[int], window: Window) -> list[int]:
        """The same of few entries."""
        entries = self.entries.data  # scalar code reads it faster than an array
        if window == ANY:
            return [entries[rest] for rest in rests]
        tallies, (low, high) = self.tallies.data, window
        return [
            entries[rest]
            for rest in rests
            if low <= tallies[rest] and (high is None or tallies[rest] <= high)
        ]


class WalkTable(NamedTuple):
    """What a walk found.

    Attributes:
        inside: the entries that end inside the terminal or exactly where it does, in no order.
        label_of: the label of each of them, as its place in `labels`; empty if there are none.
        labels: int32[n_labels, width], what it depends on whether bounds allow an entry. Of a
            counted terminal: how many items are begun, and whether it has begun to close.
        doors: the nodes where the terminal may end and the trie goes on.
        door_tallies: how many items were complete at each of them.
    """

    inside: NDArray[np.int64]
    label_of: NDArray[np.int32]
    labels: NDArray[np.int32]
    doors: NDArray[np.int64]
    door_tallies: NDArray[np.int16]


NO_LABELS = np.zeros((0, 2), dtype=np.int32)


class TerminalWalk:
    """The walk of one terminal state over one trie, from one of its nodes, in use."""

    def __init__(self, trie: ByteTrie, table: WalkTable) -> None:
        self.table = table
        self._trie = trie
        self._exits: dict[int, Exits | None] = {}
        self.n_bytes = sum(array.nbytes for array in table)
        self._most = int(table.labels[:, 0].max(initial=0))
        self._parts: dict[Window, NDArray[np.int64] | NDArray[np.bool_]] = {}

    def part(self, window: Window, n_vocab: int | None) -> NDArray[np.int64] | NDArray[np.bool_]:
        """The entries of `inside` that fit the window; shared, not to be changed.

        As bool[n_vocab] if they are many of a whole vocabulary.
        """
        low, high = min(window.low, self._most + 1), window.high
        if high is not None and high >= self._most:
            high = None
        key = Window(low, high)
        part = self._parts.get(key)
        if part is None:
            entries = self._within(key)
            if n_vocab is None or len(entries) < n_vocab // 32:
                part = entries
            else:
                part = np.zeros(n_vocab, dtype=bool)
                part[entries] = True
            self._parts[key] = part
            self.n_bytes += part.nbytes
        return part

    def _within(self, window: Window) -> NDArray[np.int64]:
        if window == ANY:
            return self.table.inside
        items, is_closed = self.table.labels.T
        fits = (is_closed == 0) | (items >= window.low)
        if window.high is not None:
            fits &= items <= window.high
        entries: NDArray[np.int64] = self.table.inside[fits[self.table.label_of]]
        return entries

    def exits(self, byte: int) -> Exits | None:
        """The entries that leave by `byte`; None if there are none."""
        if byte not in self._exits:
            self._exits[byte] = self._file(byte)
        return self._exits[byte]

    def _file(self, byte: int) -> Exits | None:
        trie = self._trie
        children = trie.children_of(self.table.doors)
        tallies = np.repeat(self.table.door_tallies, trie.n_children[self.table.doors])
        kept = trie.byte[children] == byte
        nodes, tallies = children[kept], tallies[kept]
        if not len(nodes):
            return None
        at = np.zeros(len(nodes), dtype=np.int64)  # node of the new trie, per node of the old one
        parents, level_bytes, starts = [np.array([-1])], [np.array([byte])], [0, 1]
        entries, places, counts = [], [], []
        while len(nodes):
            sizes = trie.counts_at(nodes)
            entries.append(trie.entries_at(nodes))
            places.append(np.repeat(at, sizes))
            counts.append(np.repeat(tallies, sizes))
            widths = trie.n_children[nodes]
            nodes = trie.children_of(nodes)
            if not len(nodes):
                break
            keys = (np.repeat(at, widths) << 8) + trie.byte[nodes]
            known, index = np.unique(keys, return_inverse=True)
            parents.append(known >> 8)
            level_bytes.append(known & 255)
            at = index + starts[-1]
            starts.append(starts[-1] + len(known))
            tallies = np.repeat(tallies, widths)
        found = np.concatenate(entries)
        rests = ByteTrie(
            np.concatenate(parents).astype(np.int32),
            np.concatenate(level_bytes).astype(np.uint8),
            starts,
            np.arange(len(found), dtype=np.int64),
            np.concatenate(places),
        )
        self.n_bytes += 40 * len(rests) + 20 * len(found)
        return Exits(rests, found, np.concatenate(counts))


def told_apart(values: NDArray[np.integer]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Small values as places in a list of those that occur; and that list."""
    occurs = np.zeros(int(values.max(initial=-1)) + 1, dtype=bool)
    occurs[values] = True
    listed = np.flatnonzero(occurs)
    place_of = np.zeros(len(occurs), dtype=np.int32)
    place_of[listed] = np.arange(len(listed), dtype=np.int32)
    return place_of[values], listed

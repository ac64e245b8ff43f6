"""Writes the texts of a grammar into its network, byte by byte."""

from __future__ import annotations

from functools import partial

from ..ir.alphabet import spelled
from ..regular.utf8 import ByteRange, byte_sequences
from .network import Network, Run

WRITTEN_BYTES = 128
"""Bytes of a text that are written at once."""


class TextWriter:
    """Writes literals, sets of characters and the keys of objects into one network."""

    def __init__(self, network: Network, alphabet: frozenset[int]) -> None:
        self._network = network
        self._alphabet = alphabet
        self._suffixes: dict[tuple[int, tuple[ByteRange, ...]], int] = {}

    def text(self, data: bytes, entry: int, after: int, begin: int = 0) -> None:
        """Writes `data[begin:]`; all but the first part of a long text when it is needed."""
        network = self._network
        if begin == len(data):
            network.go(entry, after)
            return
        if len(data) - begin > WRITTEN_BYTES:
            stop = begin + WRITTEN_BYTES
            rest = network.new_state()
            network.unwritten[rest] = partial(self.text, data, rest, after, stop)
            data, after, begin = data[begin:stop], rest, 0
        for at in range(begin + 1, len(data)):
            target = network.new_state()
            network.edges[entry].append((data[at - 1], data[at - 1], target))
            network.runs[target] = Run(data, at, after)
            entry = target
        network.edges[entry].append((data[-1], data[-1], after))

    def ranges(self, entry: int, ranges: tuple[tuple[int, int], ...], after: int) -> None:
        """Writes one character of these ranges of code points."""
        for first, last in ranges:
            for sequence in byte_sequences(first, last):
                if all(spelled(part, self._alphabet) for part in sequence):
                    self._add_edges(entry, sequence[0], self._suffix(sequence[1:], after))

    def _suffix(self, ranges: tuple[ByteRange, ...], after: int) -> int:
        """The state from which exactly `ranges` lead to `after`; equal ones are shared."""
        if not ranges:
            return after
        key = (after, ranges)
        if key not in self._suffixes:
            # depth is at most three: a character has four bytes
            state = self._network.new_state()
            self._add_edges(state, ranges[0], self._suffix(ranges[1:], after))
            self._suffixes[key] = state
        return self._suffixes[key]

    def _add_edges(self, state: int, byte_range: ByteRange, target: int) -> None:
        self._network.edges[state] += [
            (*part, target) for part in spelled(byte_range, self._alphabet)
        ]

    def keys(self, root: int, entries: list[tuple[bytes, int]]) -> None:
        """Writes keys as a trie; `entries` are each one's text and where it leads.

        A state where keys part guards what lies below it.
        """
        network = self._network
        order = sorted(range(len(entries)), key=lambda i: entries[i][0])
        pending = [(root, 0, order)]
        while pending:
            state, depth, group = pending.pop()
            begin = 0
            while begin < len(group):
                byte = entries[group[begin]][0][depth]
                end = begin + 1
                while end < len(group) and entries[group[end]][0][depth] == byte:
                    end += 1
                below = group[begin:end]
                begin = end
                first_key, taken = entries[below[0]]
                if len(below) == 1:
                    self.text(first_key[depth:], state, taken)
                    branch = network.edges[state][-1][2]
                else:
                    last_key = entries[below[-1]][0]
                    stop = depth + 1
                    while stop < len(first_key) and first_key[stop] == last_key[stop]:
                        stop += 1
                    branch_state = network.new_state()
                    self.text(first_key[depth:stop], state, branch_state)
                    branch = network.edges[state][-1][2]
                    pending.append((branch_state, stop, below))
                network.guards[branch] = sum(1 << i for i in below)

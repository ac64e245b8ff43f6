"""Which tokens fit inside a terminal, and which lead out of it: known once for all grammars.

A token that begins inside a JSON string either stays there, whatever the grammar around it is, or
leaves it after some of its bytes, and then the rest of it is the grammar's business. So a terminal
is walked once per state and vocabulary: the tokens that stay are a set, and those that leave are
filed by their rests, in a trie that any grammar can be walked along (the split of xgrammar, Dong et
al. 2024, section 3.1, taken at terminals).

A counted terminal is walked without its bounds. Each token knows how many items it completes, so
the bounds only select among them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...lang.automaton.configuration import Configuration
from ...lang.automaton.counted_terminal import CountedMachine, CountedState
from ...lang.automaton.regular_terminal import RegularMachine, RegularState
from .byte_trie import ByteTrie
from .level_walk import Reached, walk
from .row_table import DEAD, RowTable

KEPT_BYTES = 128 << 20
"""What the walks of one vocabulary may hold, least recently used out first."""

MAX_ROWS = 8192
"""Rows of next states (1 KiB each) kept per terminal between two walks."""

_KEPT_TABLES = 256
_SHRUNK_EVERY = 64


_ITEM, _BETWEEN, _CLOSING = range(3)


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


class TerminalWalk:
    """One terminal state over one trie, from one of its nodes.

    Attributes:
        inside: the entries that end inside the terminal or exactly where it does.
        items: how many items each of them has begun; only of a counted terminal.
        is_closed: whether each of them has begun to close it; likewise.
    """

    def __init__(
        self,
        trie: ByteTrie,
        reached: Reached,
        accepting: NDArray[np.bool_],
        parts: NDArray[np.uint8] | None,
    ) -> None:
        self._trie = trie
        self.inside = trie.entries_at(reached.nodes)
        self.items = np.zeros(0, dtype=np.int16)
        self.is_closed = np.zeros(0, dtype=bool)
        if parts is not None:
            sizes = trie.counts_at(reached.nodes)
            part = parts[reached.states]
            begun = np.maximum(reached.tallies, 0) + (part == _ITEM)
            self.items = np.repeat(begun, sizes)
            self.is_closed = np.repeat(part == _CLOSING, sizes)
        leaving = accepting[reached.states] & (trie.n_children[reached.nodes] > 0)
        self._doors = reached.nodes[leaving]
        self._door_tallies = reached.tallies[leaving]
        self._exits: dict[int, Exits | None] = {}
        self.n_bytes = self.inside.nbytes + self.items.nbytes + 9 * len(self._doors)
        self._most = int(self.items.max(initial=0))
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
            return self.inside
        fits = ~self.is_closed | (self.items >= window.low)
        if window.high is not None:
            fits &= self.items <= window.high
        return self.inside[fits]

    def exits(self, byte: int) -> Exits | None:
        """The entries that leave by `byte`; None if there are none."""
        if byte not in self._exits:
            self._exits[byte] = self._file(byte)
        return self._exits[byte]

    def _file(self, byte: int) -> Exits | None:
        trie = self._trie
        children = trie.children_of(self._doors)
        tallies = np.repeat(self._door_tallies, trie.n_children[self._doors])
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


class TerminalWalks:
    """The walks of one vocabulary. Not thread-safe: one engine thread owns it.

    `horizon`: the longest token, in bytes.
    """

    def __init__(self, horizon: int) -> None:
        self._horizon = horizon
        self._walks: OrderedDict[tuple[ByteTrie, int, object], TerminalWalk] = OrderedDict()
        self._since_shrunk = 0
        self._tables: OrderedDict[RegularMachine, RowTable] = OrderedDict()

    def __len__(self) -> int:
        return len(self._walks)

    def walk(self, trie: ByteTrie, node: int, state: RegularState) -> TerminalWalk:
        """The walk of `state` from `node`, computed or remembered. It counts nothing."""
        return self._known(trie, node, state, None)

    def counted(self, trie: ByteTrie, node: int, state: CountedState) -> TerminalWalk:
        """The walk of a counted terminal's state, whatever its count."""
        return self._known(trie, node, state.base, state.machine)

    def _known(
        self, trie: ByteTrie, node: int, state: RegularState, machine: CountedMachine | None
    ) -> TerminalWalk:
        table = self._table(state.machine)
        local = _local(table, state)
        key = (trie, node, (local, state.accepting, machine))
        known = self._walks.get(key)
        if known is not None:
            self._walks.move_to_end(key)
            return known
        boundary = DEAD if machine is None else _number(table, machine.boundary)
        # on the way through the opening literal the boundary is met once before any item
        tally = -1 if machine is not None and state in machine.opening else 0
        reached = walk(trie, node, table.number(local), table, boundary, tally)
        parts = None if machine is None else _parts(table, machine)
        found = TerminalWalk(trie, reached, table.accepting(), parts)
        self._walks[key] = found
        self._since_shrunk += 1
        if self._since_shrunk >= _SHRUNK_EVERY:
            self._since_shrunk = 0
            self._shrink()
        return found

    def _shrink(self) -> None:
        """Called now and then: what a walk holds grows while it is used."""
        held = sum(walk.n_bytes for walk in self._walks.values())
        while held > KEPT_BYTES and len(self._walks) > 1:
            held -= self._walks.popitem(last=False)[1].n_bytes

    def _table(self, machine: RegularMachine) -> RowTable:
        table = self._tables.get(machine)
        if table is None:
            table = self._tables[machine] = RowTable(machine.automaton.within(self._horizon))
            if len(self._tables) > _KEPT_TABLES:
                self._tables.popitem(last=False)
        elif len(table) > MAX_ROWS:
            table.clear()
        return table


def _number(table: RowTable, state: RegularState) -> int:
    return table.number(_local(table, state))


def _local(table: RowTable, state: RegularState) -> Configuration:
    """The state in the automaton of the table, where far counts are merged."""
    automaton = state.machine.automaton
    if table.automaton is automaton:
        return state.configuration
    return table.automaton.adopt(state.configuration)


def _parts(table: RowTable, machine: CountedMachine) -> NDArray[np.uint8]:
    """Per number of a state, where in a counted terminal it stands."""
    between = [_number(table, state) for state in (machine.boundary, *machine.opening)]
    closing = [_number(table, state) for state in machine.closing]
    of_state = np.full(len(table), _ITEM, dtype=np.uint8)
    of_state[between] = _BETWEEN
    of_state[closing] = _CLOSING
    return of_state

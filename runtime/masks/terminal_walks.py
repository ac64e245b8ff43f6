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

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...lang.automaton.configuration import Configuration
from ...lang.automaton.counted_terminal import CountedMachine, CountedState
from ...lang.automaton.measured_terminal import MeasuredMachine, MeasuredState
from ...lang.automaton.regular_terminal import RegularMachine, RegularState
from .access_texts import access_texts
from .byte_trie import ByteTrie
from .level_walk import walk
from .measured_walk import MeasuredWalk, measured_table
from .row_table import DEAD, RowTable
from .terminal_walk import NO_LABELS, TerminalWalk, WalkTable, told_apart
from .walk_files import WalkFiles, WalkName
from .walk_packing import Bounds, packed

KEPT_BYTES = 128 << 20
"""What the walks of one vocabulary may hold, least recently used out first.

A quarter of it may be walks as files had them, from which the others are made again.
"""

MAX_ROWS = 8192
"""Rows of next states (1 KiB each) kept per terminal between two walks."""

SAVING_S = 2.0
"""How long a model that is closed goes on to save walks; what is left is computed again."""

_KEPT_TERMINALS = 256
_SHRUNK_EVERY = 64

_ITEM, _BETWEEN, _CLOSING = range(3)


class _Key(NamedTuple):
    """A walk: over a trie, from one of its nodes, of a state, with or without bounds."""

    trie: ByteTrie
    node: int
    state: Configuration
    accepting: bool
    bounds: Bounds
    machine: MeasuredMachine | None = None

    def filed(self) -> _Key:
        """The key of its table, which is the same for all bounds of a measured terminal."""
        return self._replace(machine=None)


@dataclass(slots=True)
class _Terminal:
    """What is known about one terminal.

    Attributes:
        rows: its next states, for walks.
        filed: walks that were read from its file, packed.
        fresh: walks that its file does not have yet.
    """

    machine: RegularMachine
    rows: RowTable
    filed: dict[_Key, bytes] = field(default_factory=dict)
    fresh: list[_Key] = field(default_factory=list)

    def filed_bytes(self) -> int:
        return sum(map(len, self.filed.values()))


@dataclass(frozen=True, slots=True)
class WalkStats:
    """Counts since the beginning: walks computed, and walks taken from files.

    `held_bytes`: what is in memory now, of walks and of files read.
    """

    computed: int
    loaded: int
    held_bytes: int


class TerminalWalks:
    """The walks of one vocabulary. Not thread-safe: one engine thread owns it.

    Args:
        trie: the vocabulary, of which walks are kept in files; other tries' are not.
        files: where they are kept, if anywhere.
    """

    def __init__(self, trie: ByteTrie, files: WalkFiles | None = None) -> None:
        self._trie = trie
        self._files = files
        self._horizon = len(trie.level_starts) - 2  # the longest token, in bytes
        self._walks: OrderedDict[_Key, TerminalWalk] = OrderedDict()
        self._terminals: OrderedDict[RegularMachine, _Terminal] = OrderedDict()
        self._since_shrunk = 0
        self._computed = self._loaded = 0

    def __len__(self) -> int:
        return len(self._walks)

    def stats(self) -> WalkStats:
        return WalkStats(self._computed, self._loaded, self._filed_bytes() + self._walk_bytes())

    def walk(self, trie: ByteTrie, node: int, state: RegularState) -> TerminalWalk:
        """The walk of `state` from `node`, computed or remembered. It counts nothing."""
        return self._known(trie, node, state, None)

    def counted(self, trie: ByteTrie, node: int, state: CountedState) -> TerminalWalk:
        """The walk of a counted terminal's state, whatever its count and its bounds."""
        return self._known(trie, node, state.base, state.machine)

    def measured(self, trie: ByteTrie, node: int, state: MeasuredState) -> TerminalWalk:
        """The walk of a measured terminal's state, whatever its count."""
        terminal = self._terminal(state.machine.base)
        local = _local(terminal.rows, state.base)
        key = _Key(trie, node, local, state.base.accepting, "measured", state.machine)
        known = self._remembered(key)
        if known is not None:
            return known
        table = self._from_file(terminal, key)
        if table is None:
            table = measured_table(trie, node, local, terminal.rows, state.machine)
            self._count_computed(terminal, key)
        return self._held(key, MeasuredWalk(trie, table, state.machine))

    def save_next(self) -> bool:
        """Writes the new walks of one terminal to its file; False if no terminal has any.

        It takes milliseconds, where states are many a third of a second: not between two tokens.
        """
        for terminal in self._terminals.values():
            if terminal.fresh:
                self._save(terminal)
                return True
        return False

    def save(self) -> None:
        """Writes what is new to files, as far as SAVING_S allows."""
        end = time.monotonic() + SAVING_S
        while self.save_next() and time.monotonic() < end:
            pass

    def _known(
        self, trie: ByteTrie, node: int, state: RegularState, machine: CountedMachine | None
    ) -> TerminalWalk:
        terminal = self._terminal(state.machine)
        local = _local(terminal.rows, state)
        key = _Key(trie, node, local, state.accepting, "counted" if machine else "none")
        known = self._remembered(key)
        if known is not None:
            return known
        table = self._from_file(terminal, key)
        if table is None:
            # on the way through the opening literal the boundary is met once before any item
            tally = -1 if machine is not None and state in machine.opening else 0
            table = _walked(terminal.rows, key, machine, tally)
            self._count_computed(terminal, key)
        return self._held(key, TerminalWalk(trie, table))

    def _remembered(self, key: _Key) -> TerminalWalk | None:
        known = self._walks.get(key)
        if known is not None:
            self._walks.move_to_end(key)
        return known

    def _count_computed(self, terminal: _Terminal, key: _Key) -> None:
        self._computed += 1
        if self._files is not None and key.trie is self._trie:
            terminal.fresh.append(key)

    def _held(self, key: _Key, found: TerminalWalk) -> TerminalWalk:
        self._walks[key] = found
        self._since_shrunk += 1
        if self._since_shrunk >= _SHRUNK_EVERY:
            self._since_shrunk = 0
            self._shrink()
        return found

    def _from_file(self, terminal: _Terminal, key: _Key) -> WalkTable | None:
        data = terminal.filed.get(key.filed())
        if data is None:
            return None
        assert self._files is not None, "it came from a file"
        table = self._files.unpacked(terminal.machine, key.bounds, data)
        if table is None:
            terminal.filed.clear()
        self._loaded += table is not None
        return table

    def _save(self, terminal: _Terminal) -> None:
        assert self._files is not None, "only with files is anything to be saved"
        walks = {key: self._walks[key].table for key in terminal.fresh if key in self._walks}
        terminal.fresh.clear()
        start = _local(terminal.rows, terminal.machine.start(nonempty=False))
        texts = access_texts(terminal.rows, start, {key.state for key in walks})
        named = {
            WalkName(key.node, texts[key.state], key.accepting, key.bounds): packed(table)
            for key, table in walks.items()
            if key.state in texts
        }
        self._files.keep(terminal.machine, named)

    def _filed_bytes(self) -> int:
        return sum(terminal.filed_bytes() for terminal in self._terminals.values())

    def _walk_bytes(self) -> int:
        return sum(walk.n_bytes for walk in self._walks.values())

    def _shrink(self) -> None:
        """Called now and then: what a walk holds grows while it is used."""
        filed = self._filed_bytes()
        for terminal in self._terminals.values():
            if filed <= KEPT_BYTES // 4:
                break
            filed -= terminal.filed_bytes()
            terminal.filed.clear()
        held = filed + self._walk_bytes()
        while held > KEPT_BYTES and len(self._walks) > 1:
            held -= self._walks.popitem(last=False)[1].n_bytes

    def _terminal(self, machine: RegularMachine) -> _Terminal:
        terminal = self._terminals.get(machine)
        if terminal is None:
            rows = RowTable(machine.automaton.within(self._horizon))
            terminal = self._terminals[machine] = _Terminal(machine, rows)
            if self._files is not None:
                terminal.filed = self._filed(terminal, self._files)
                self._shrink()
            if len(self._terminals) > _KEPT_TERMINALS:
                self._terminals.popitem(last=False)
            return terminal
        self._terminals.move_to_end(machine)
        if len(terminal.rows) > MAX_ROWS:
            terminal.rows.clear()
        return terminal

    def _filed(self, terminal: _Terminal, files: WalkFiles) -> dict[_Key, bytes]:
        """What the terminal's file has, by the states that its texts lead to here."""
        automaton = terminal.rows.automaton
        start = _local(terminal.rows, terminal.machine.start(nonempty=False))
        filed: dict[_Key, bytes] = {}
        for name, data in files.load(terminal.machine).items():
            state = automaton.run(start, name.text)
            if state is not None:
                key = _Key(self._trie, name.node, state, name.accepting, name.bounds)
                filed[key] = data
        return filed


def _walked(rows: RowTable, key: _Key, machine: CountedMachine | None, tally: int) -> WalkTable:
    """The walk of `key`; `tally`: the items that are complete before it."""
    trie = key.trie
    boundary = DEAD if machine is None else _number(rows, machine.boundary)
    reached = walk(trie, key.node, rows.number(key.state), rows, boundary, tally)
    label_of, labels = NO_LABELS[:, 0], NO_LABELS
    if machine is not None:
        part = _parts(rows, machine)[reached.states]
        begun = np.maximum(reached.tallies, 0) + (part == _ITEM)
        at_node, found = told_apart(2 * begun.astype(np.int32) + (part == _CLOSING))
        label_of = np.repeat(at_node, trie.counts_at(reached.nodes))
        labels = np.stack(np.divmod(found, 2), axis=1).astype(np.int32)
    leaving = rows.accepting()[reached.states] & (trie.n_children[reached.nodes] > 0)
    doors, tallies = reached.nodes[leaving], reached.tallies[leaving]
    return WalkTable(trie.entries_at(reached.nodes), label_of, labels, doors, tallies)


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

"""Which tokens fit inside a measured terminal: a pattern with lengths.

It is walked without its bounds. A token leads to a place of the pattern, with some units completed;
whether bounds allow it depends on the two alone, and they take few pairs of values. So bounds are
asked about those, and select among the tokens.
"""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from ...lang.automaton.configuration import Configuration
from ...lang.automaton.measured_terminal import MeasuredMachine, Ways
from .byte_trie import ByteTrie
from .level_walk import Reached, walk
from .row_table import RowTable
from .terminal_walk import TerminalWalk, WalkTable, Window, told_apart


class MeasuredWalk(TerminalWalk):
    """The walk of a measured terminal's state over one trie, whatever its count.

    A label of its table is: units completed, whether the text may end, and what can follow, as
    pairs of a state of the automaton and the units on the way there; -1s behind them.
    """

    def __init__(self, trie: ByteTrie, table: WalkTable, machine: MeasuredMachine) -> None:
        super().__init__(trie, table)
        self._machine = machine
        self._labels = [_label(row) for row in table.labels.tolist()]

    def part(self, window: Window, n_vocab: int | None) -> NDArray[np.int64] | NDArray[np.bool_]:
        """The entries of `inside` that fit the window; as bool[n_vocab] if they are many."""
        fits = [
            self._machine.leads_within(
                ways, window.low - units, None if window.high is None else window.high - units
            )
            for units, ways in self._labels
        ]
        entries = self.table.inside
        if not all(fits):
            entries = entries[np.array(fits, dtype=bool)[self.table.label_of]]
        if n_vocab is None or len(entries) < n_vocab // 32:
            return entries
        part = np.zeros(n_vocab, dtype=bool)
        part[entries] = True
        return part


def measured_table(
    trie: ByteTrie, node: int, state: Configuration, rows: RowTable, machine: MeasuredMachine
) -> WalkTable:
    """The walk of a state from a node, the same for all bounds.

    `machine` says what each token can be followed by.
    """
    reached = walk(trie, node, rows.number(state), rows)
    completes = np.zeros(len(rows), dtype=np.int16)
    ways_of = np.zeros(len(rows), dtype=np.int32)
    ways: dict[Ways, int] = {}
    for number in told_apart(reached.states)[1].tolist():
        configuration = rows.configuration(number)
        completes[number] = machine.completes(configuration)
        ways_of[number] = ways.setdefault(machine.ways(configuration), len(ways))
    tallies = _tallies(trie, node, reached, completes)
    most = int(tallies.max(initial=0)) + 1
    at_node, found = told_apart(ways_of[reached.states] * most + tallies)
    listed = list(ways)
    labels = [_row(label % most, listed[label // most]) for label in found.tolist()]
    width = max(map(len, labels), default=2)
    leaving = rows.accepting()[reached.states] & (trie.n_children[reached.nodes] > 0)
    return WalkTable(
        trie.entries_at(reached.nodes),
        np.repeat(at_node, trie.counts_at(reached.nodes)),
        np.array([row + [-1] * (width - len(row)) for row in labels], np.int32).reshape(-1, width),
        reached.nodes[leaving],
        tallies[leaving],
    )


def _row(units: int, ways: Ways) -> list[int]:
    return [units, int(ways.may_end), *chain.from_iterable(ways.steps)]


def _label(row: list[int]) -> tuple[int, Ways]:
    units, may_end, *flat = row
    steps = zip(flat[::2], flat[1::2], strict=True)
    return units, Ways(tuple(step for step in steps if step[0] >= 0), bool(may_end))


def _tallies(
    trie: ByteTrie, node: int, reached: Reached, completes: NDArray[np.int16]
) -> NDArray[np.int16]:
    """How many units the way from `node` to each node that was reached completes."""
    at = np.zeros(len(trie), dtype=np.int16)
    at[reached.nodes] = completes[reached.states]
    for first, end in pairwise(trie.level_starts):
        if first > node:
            at[first:end] += at[trie.parent[first:end]]
    return at[reached.nodes]

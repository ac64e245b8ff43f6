"""Measured terminals: strings with a pattern and lengths, at no cost that grows with the lengths.

The pattern's automaton runs without its bounds, and beside it a number. Whether a text may go on
then depends on the lengths that its rest can have (`ir/remainders.py`); so nothing is entered that
cannot be completed, and which tokens fit follows from the unbounded automaton and the units in
each token.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ..ir.alphabet import spelled_measured
from ..ir.measured import Measured
from .configuration import Configuration
from .regular_terminal import RegularMachine, RegularState, regular_machine
from .terminal_state import TerminalState

_KEPT_COUNTS = 4096


class Ways(NamedTuple):
    """What can follow: `steps` are (state of the automaton, units completed on the way there)."""

    steps: tuple[tuple[int, int], ...]
    may_end: bool


class Group(NamedTuple):
    """Bytes that lead on alike; `units` is 1 if each completes a unit."""

    data: bytes
    units: int
    ways: Ways


class MeasuredState(TerminalState):
    """`count` units are complete; `base` runs the automaton without bounds."""

    __slots__ = ("base", "count", "machine")

    def __init__(self, machine: MeasuredMachine, base: RegularState, count: int) -> None:
        super().__init__(base.accepting, base.is_final)
        self.machine = machine
        self.base = base
        self.count = count

    def is_endless(self) -> bool:
        return self.machine.node.max is None and self.base.is_endless()

    def settled(self, horizon: int) -> MeasuredState:
        """A state that goes on like this one for `horizon` bytes: far bounds are alike."""
        node = self.machine.node
        if node.max is None or self.count < node.min:
            return self
        # from each state of the automaton some rest is no longer than this
        nearest = self.count + horizon + self.machine.remainders.shortest_below + 1
        return self.machine.state(self.base, node.min) if nearest <= node.max else self

    def step(self, byte: int) -> TerminalState | None:
        # no memo: a chain of counts would hold all of them in memory
        base = self.base.step(byte)
        if base is None:
            return None
        assert isinstance(base, RegularState)
        machine = self.machine
        count = self.count + machine.completes(base.configuration)
        if not machine.fits(machine.ways(base.configuration), count):
            return None
        return machine.state(base, count)

    def _next_bytes(self) -> bytes:
        groups = self.machine.groups(self.base)
        fitting = [g for g in groups if self.machine.fits(g.ways, self.count + g.units)]
        if len(fitting) == len(groups):
            return self.base.next_bytes()
        return bytes(sorted(byte for group in fitting for byte in group.data))


class MeasuredMachine:
    """Runs a `Measured` whose texts end where nothing can follow, in a step that is no unit.

    Attributes:
        node: what is run, as far as it can be spelled.
        remainders: how long the rests of its texts can be.
        base: its automaton without bounds.
    """

    def __init__(self, node: Measured, base: RegularMachine) -> None:
        self.node = node
        self.remainders = node.remainders()
        self.base = base
        self._ways: dict[Configuration, Ways] = {}
        self._groups: dict[RegularState, list[Group]] = {}
        self._states: dict[tuple[RegularState, int], MeasuredState] = {}

    @classmethod
    def of(cls, node: object, alphabet: frozenset[int]) -> MeasuredMachine | None:
        """The machine of such a node; None for any other."""
        if not isinstance(node, Measured):
            return None
        if any(state < node.units or node.dfa.edges[state] for state in node.dfa.accepting):
            return None
        spelled = spelled_measured(node, alphabet)
        return cls(spelled, regular_machine(replace(node, min=0, max=None), alphabet))

    def start(self) -> MeasuredState:
        return self.state(self.base.start(nonempty=False), 0)

    def completes(self, configuration: Configuration) -> int:
        """How many units the step into a configuration of `base` completes."""
        numbers = self.base.network.numbers
        return any(
            numbers.get(state, self.node.units) < self.node.units
            for state, _ in configuration.places
            if isinstance(state, int)
        )

    def ways(self, configuration: Configuration) -> Ways:
        """What can follow a configuration of `base`."""
        ways = self._ways.get(configuration)
        if ways is None:
            ways = self._ways[configuration] = self._find_ways(configuration)
        return ways

    def fits(self, ways: Ways, count: int) -> bool:
        """Whether a text with `count` units can go on in one of these ways, or end."""
        low = self.node.min - count
        high = None if self.node.max is None else self.node.max - count
        return self.leads_within(ways, low, high)

    def leads_within(self, ways: Ways, low: int, high: int | None) -> bool:
        """Whether some way has between `low` and `high` units."""
        if ways.may_end and low <= 0 and (high is None or high >= 0):
            return True
        return any(
            self.remainders.has(state, low - units, None if high is None else high - units)
            for state, units in ways.steps
        )

    def groups(self, base: RegularState) -> list[Group]:
        """The bytes that can follow without bounds, grouped."""
        groups = self._groups.get(base)
        if groups is None:
            found: dict[tuple[int, Ways], list[int]] = {}
            for byte in base.next_bytes():
                following = base.step(byte)
                assert isinstance(following, RegularState)
                configuration = following.configuration
                key = (self.completes(configuration), self.ways(configuration))
                found.setdefault(key, []).append(byte)
            groups = [Group(bytes(data), *key) for key, data in found.items()]
            self._groups[base] = groups
        return groups

    def state(self, base: RegularState, count: int) -> MeasuredState:
        """The state of `base` after `count` units."""
        # without an upper bound nothing depends on how far the lower one is exceeded
        kept = min(count, self.node.min) if self.node.max is None else count
        key = (base, kept)
        state = self._states.get(key)
        if state is None:
            if len(self._states) >= _KEPT_COUNTS:
                self._states.clear()
            state = self._states.setdefault(key, MeasuredState(self, base, kept))
        return state

    def _find_ways(self, configuration: Configuration) -> Ways:
        """Inside a character, each way to its end leads to one state of the automaton."""
        network = self.base.network
        steps: set[tuple[int, int]] = set()
        for place, _ in configuration.places:
            assert isinstance(place, int), "an automaton has no terminals inside"
            if place in network.numbers:
                steps.add((network.numbers[place], 0))
                continue
            todo = [place]
            while todo:
                for *_, to in network.edges[todo.pop()]:
                    number = network.numbers.get(to)
                    if number is None:
                        todo.append(to)
                    else:
                        steps.add((number, int(number < self.node.units)))
        return Ways(tuple(sorted(steps)), configuration.accepting)

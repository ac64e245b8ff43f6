"""How long the rest of a text can be: per state of an automaton, a set of lengths.

`(aa)*b` is left by an odd number of characters only, so knowing the shortest and the longest rest
is not enough to stay clear of dead ends. The states with a rest of exactly n units are those with a
step into the states with one of n - 1. These sets repeat from some n on, mostly soon (automata over
one letter: Chrobak, 1986), so the lengths of each state are some bits and a period.
"""

from __future__ import annotations

from .dfa import Dfa

MAX_WORK = 3_000_000
"""Steps that finding the lengths may take: about a second."""

MAX_LENGTHS = 20_000
"""Lengths that are told apart before they repeat."""


class Remainders:
    """The lengths, in units, of the rests of texts of an automaton.

    A step into one of the first `units` states completes a unit. Lengths above `longest` are left
    out (None: none are). Raises ValueError if finding them is too much work.

    Attributes:
        shortest_below: no state needs more units than this to come to acceptance.
    """

    def __init__(self, dfa: Dfa, units: int, longest: int | None) -> None:
        self._following, self._ends = _unit_steps(dfa, units)
        sources = [0] * units
        for state in range(units):
            for to in _members(self._following[state]):
                sources[to] |= 1 << state
        layer = sum(1 << state for state in range(units) if self._ends[state])
        seen: dict[int, int] = {}
        self._bits = [0] * units
        work = 0
        while layer not in seen and (longest is None or len(seen) <= longest):
            bit = 1 << len(seen)
            seen[layer] = len(seen)
            before = 0
            members = _members(layer)
            for state in members:
                self._bits[state] |= bit
                before |= sources[state]
            work += len(members)
            if work > MAX_WORK or len(seen) > MAX_LENGTHS:
                raise ValueError("the lengths of the texts do not repeat soon enough")
            layer = before
        self.shortest_below = size = len(seen)
        self._size, self._period = size, size - seen.get(layer, size)
        self._next_bits: dict[int, int] = {}

    def has(self, state: int, low: int, high: int | None) -> bool:
        """Whether a rest of `low` to `high` units leads from `state` to acceptance."""
        if high is not None and high < max(low, 0):
            return False
        if low <= 0 and self._ends[state]:
            return True
        bits = self._next_bits.get(state)
        if bits is None:
            bits = 0
            for to in _members(self._following[state]):
                bits |= self._bits[to]
            self._next_bits[state] = bits
        return self._any(bits, max(low - 1, 0), None if high is None else high - 1)

    def least(self, state: int, low: int) -> int:
        """The least length, of at least `low`, of a rest from `state`; there is one."""
        low = max(low, 0)
        while not self.has(state, low, low):
            low += 1
        return low

    def _any(self, bits: int, low: int, high: int | None) -> bool:
        """Whether a bit from `low` to `high` is set, where the last `period` of them repeat."""
        size, period = self._size, self._period
        if low >= size:
            if not period:
                return False
            back = (low - size) // period * period + period
            low, high = low - back, None if high is None else high - back
        if high is not None and high < size:
            return bool(bits >> low & (1 << (high - low + 1)) - 1) if high >= low else False
        if bits >> low:
            return True
        if not period:
            return False
        wrapped = period if high is None else min(period, high - size + 1)
        return bool(bits >> (size - period) & (1 << wrapped) - 1)


def _unit_steps(dfa: Dfa, units: int) -> tuple[list[int], list[bool]]:
    """Per state, where the next unit can lead, as bits; and whether a text can end before that."""
    following = [0] * len(dfa.edges)
    ends = [state in dfa.accepting for state in range(len(dfa.edges))]
    sources: list[list[int]] = [[] for _ in dfa.edges]
    for state, edges in enumerate(dfa.edges):
        for to in {to for *_, to in edges}:
            if to < units:
                following[state] |= 1 << to
            else:
                sources[to].append(state)
    todo = list(range(units, len(dfa.edges)))
    while todo:
        inner = todo.pop()
        for state in sources[inner]:
            known = (following[state], ends[state])
            following[state] |= following[inner]
            ends[state] |= ends[inner]
            if state >= units and known != (following[state], ends[state]):
                todo.append(state)
    return following, ends


def _members(bits: int) -> list[int]:
    """The positions of the bits that are set."""
    found: list[int] = []
    while bits:
        lowest = bits & -bits
        found.append(lowest.bit_length() - 1)
        bits ^= lowest
    return found

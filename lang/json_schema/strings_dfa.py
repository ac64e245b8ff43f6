"""Automata over decoded text as automata over the text of a JSON string, edge by edge.

A state keeps its edges for the characters that are written as themselves; for those that are
escaped it gets an edge for the backslash, into a tree of the spellings whose leaves are the old
targets. The trees of states whose edges split the characters alike differ only in their leaves, so
one is worked out as a plan and then copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from ..ir.dfa import Dfa, Edge
from ..regex.sets import complement
from ..regular.nfa import TooLarge
from .escapes import ALWAYS_ESCAPED, BACKSLASH, CONTROLS, FIRST_ESCAPABLE, SHORT

MAX_ENCODED_STATES = 100_000

_KEPT = 32

_FIRST_PAIR = 0x10000
_RAW = complement(ALWAYS_ESCAPED)

Leaves: TypeAlias = tuple[Edge, ...]
"""Numbers from, to (inclusive) and what they lead to; sorted and disjoint."""


@lru_cache(_KEPT)
def encode_dfa(dfa: Dfa, *, escapes: bool = False) -> Dfa:
    """The texts of `dfa` as they are spelled inside a JSON string (`strings.py` says how).

    Raises TooLarge.
    """
    plans: dict[Leaves, _Plan] = {}
    trees: dict[tuple[Leaves, tuple[int, ...]], tuple[Edge, ...]] = {}
    encoded: list[tuple[Edge, ...]] = [()] * len(dfa.edges)
    for state, edges in enumerate(dfa.edges):
        numbers: dict[int, int] = {}
        shape = tuple((low, high, numbers.setdefault(to, len(numbers))) for low, high, to in edges)
        key = (shape, tuple(numbers))
        if key not in trees:
            if shape not in plans:
                plans[shape] = _Plan.of(shape, escapes)
            trees[key] = plans[shape].copied(list(numbers), encoded)
            if len(encoded) > MAX_ENCODED_STATES:
                raise TooLarge
        encoded[state] = trees[key]
    return Dfa(tuple(encoded), dfa.accepting)


@dataclass(frozen=True, slots=True)
class _Plan:
    """The edges of a state, and below them the states of its tree of spellings.

    A target of at least 0 is one of the targets of the state over decoded text, by number; the
    target -1 - i is state i of the tree.
    """

    edges: Leaves
    tree: tuple[Leaves, ...]

    @classmethod
    def of(cls, edges: Leaves, escapes: bool) -> _Plan:
        """The plan of a state with these edges over decoded text."""
        escaped = _cut(edges, ALWAYS_ESCAPED)
        if escapes:
            escaped += _cut(edges, ((FIRST_ESCAPABLE, edges[-1][1]),)) if edges else []
        raw = _cut(edges, _RAW)
        spelling = _Spelling(escapes)
        if escaped:
            raw.append((BACKSLASH, BACKSLASH, spelling.sequence(_joined(escaped))))
        return cls(tuple(sorted(raw)), tuple(map(tuple, spelling.tree)))

    def copied(self, targets: list[int], states: list[tuple[Edge, ...]]) -> tuple[Edge, ...]:
        """The edges of a state with these targets; its tree goes to the end of `states`."""
        first = len(states)
        # a negative index counts from the end, where the states of the tree stand in reverse
        places = [*targets, *range(first + len(self.tree) - 1, first - 1, -1)]
        for edges in self.tree:
            states.append(tuple([(low, high, places[to]) for low, high, to in edges]))
        return tuple([(low, high, places[to]) for low, high, to in self.edges])


class _Spelling:
    """The tree of the escape sequences of one state, as a plan."""

    def __init__(self, escapes: bool) -> None:
        self._escapes = escapes
        self.tree: list[list[Edge]] = []
        self._known: dict[Leaves, int] = {}
        self._numbers: dict[tuple[int, Leaves], int] = {}

    def sequence(self, leaves: Leaves) -> int:
        """The state behind a backslash: a letter follows, or `u` and a number."""
        edges: list[Edge] = []
        units: list[Edge] = []
        for low, high, to in leaves:
            for code in range(low, min(high, BACKSLASH) + 1):
                if code in SHORT:
                    letter = ord(SHORT[code])
                    edges.append((letter, letter, to))
                elif code in CONTROLS:
                    units.append((code, code, to))
            if high >= FIRST_ESCAPABLE and low < _FIRST_PAIR:
                units.append((max(low, FIRST_ESCAPABLE), min(high, _FIRST_PAIR - 1), to))
        units += self._high_halves(leaves)
        if units:
            edges.append(self._unit_edge(_joined(units)))
        return self._state(_joined(edges))

    def _high_halves(self, leaves: Leaves) -> list[Edge]:
        """The first halves of surrogate pairs; they lead to where the second ones are spelled."""
        halves: dict[int, list[Edge]] = {}
        whole: list[Edge] = []
        for low, high, to in leaves:
            at, end = max(low, _FIRST_PAIR) - _FIRST_PAIR, high - _FIRST_PAIR
            while at <= end:
                unit, start = divmod(at, 0x400)
                full = (end + 1) // 0x400
                if start == 0 and full > unit:
                    second = self._second_half(((0xDC00, 0xDFFF, to),))
                    whole.append((0xD800 + unit, 0xD800 + full - 1, second))
                    at = full * 0x400
                else:
                    last = min(end, unit * 0x400 + 0x3FF)
                    half = (0xDC00 + start, 0xDC00 + last - unit * 0x400, to)
                    halves.setdefault(unit, []).append(half)
                    at = last + 1
        for unit, lows in halves.items():
            whole.append((0xD800 + unit, 0xD800 + unit, self._second_half(_joined(lows))))
        return whole

    def _second_half(self, leaves: Leaves) -> int:
        behind_backslash = self._state((self._unit_edge(leaves),))
        return self._state(((BACKSLASH, BACKSLASH, behind_backslash),))

    def _unit_edge(self, leaves: Leaves) -> Edge:
        return (ord("u"), ord("u"), self._number(4, leaves))

    def _number(self, digits: int, leaves: Leaves) -> int:
        """The state before `digits` hexadecimal digits that spell one of the leaves."""
        key = (digits, leaves)
        if key not in self._numbers:
            self._numbers[key] = self._state(self._digit_edges(digits, leaves))
        return self._numbers[key]

    def _digit_edges(self, digits: int, leaves: Leaves) -> Leaves:
        size = 16 ** (digits - 1)
        edges: list[Edge] = []
        for digit in range(leaves[0][0] // size, leaves[-1][1] // size + 1):
            below = _joined(
                [
                    (low - digit * size, high - digit * size, to)
                    for low, high, to in _cut(leaves, ((digit * size, (digit + 1) * size - 1),))
                ]
            )
            if below:
                to = below[0][2] if digits == 1 else self._number(digits - 1, below)
                edges += [(ord(char), ord(char), to) for char in self._spellings(digit)]
        return _joined(edges)

    def _spellings(self, digit: int) -> set[str]:
        lower = f"{digit:x}"
        return {lower, lower.upper()} if self._escapes else {lower}

    def _state(self, edges: Leaves) -> int:
        """The state with these edges, as a target."""
        if edges not in self._known:
            self.tree.append(list(edges))
            self._known[edges] = -len(self.tree)
        return self._known[edges]


def _cut(leaves: Leaves, ranges: tuple[tuple[int, int], ...]) -> list[Edge]:
    """The parts of the leaves that are inside the ranges."""
    return [
        (max(low, first), min(high, last), to)
        for low, high, to in leaves
        for first, last in ranges
        if low <= last and first <= high
    ]


def _joined(leaves: list[Edge]) -> Leaves:
    """Sorted, with neighbours that lead to the same made one."""
    joined: list[Edge] = []
    for low, high, to in sorted(leaves):
        if joined and joined[-1][1] + 1 == low and joined[-1][2] == to:
            joined[-1] = (joined[-1][0], high, to)
        else:
            joined.append((low, high, to))
    return tuple(joined)

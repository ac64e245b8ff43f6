"""Nodes without references as nondeterministic automata (Thompson, 1968), run as sets of states.

A set is an int with one bit per state: unions are single operations and sets hash fast, which is
what determinising a pattern such as `(a|aa){900,1000}` spends its time on. Repetitions are copies
of their item, and a set needs no two copies of one state where one of them can do all that the
other can: so `.*[a-z]{0,99}-` is not in all combinations of a hundred counts at once.
"""

from __future__ import annotations

from typing import NamedTuple

from ..ir.dfa import Dfa
from ..ir.measured import Measured
from ..ir.nodes import Alt, CharClass, Literal, Node, Ref, Repeat, Seq, Terminal
from ..regex.sets import Ranges
from .alphabet import NO_CLASS, distinguish

MAX_STATES = 25_000
"""States of one automaton."""

MAX_WORK = 3_000_000
"""Moves that one automaton may try, in all its steps: about a second."""


_KEPT_ROWS = 500

_FEWEST_COPIES = 8
_MAX_REPETITIONS = 32
"""Repetitions of one automaton whose copies are compared, and the copies that are worth it."""


class TooLarge(Exception):
    """An automaton would exceed its states, or building it the time that one may take."""


class Copies(NamedTuple):
    """A repeated node as copies of `size` states each: `states` are all of them, as bits.

    `firsts` has the first state of each copy. What a state of one copy can go on with, the same
    state of the next copy can, too, if `grow`; otherwise the other way round. So one of them will
    do.
    """

    states: int
    firsts: int
    size: int
    grow: bool

    def pruned(self, states: int) -> int:
        """The states without those that another one makes superfluous."""
        inside = states & self.states
        if not inside & (inside - 1):
            return states
        for offset in range(self.size):
            alike = inside & self.firsts << offset
            if alike & (alike - 1):
                kept = 1 << alike.bit_length() - 1 if self.grow else alike & -alike
                states ^= alike ^ kept
        return states


class Fragments:
    """An automaton under construction: labelled moves and empty moves between numbered states."""

    def __init__(self) -> None:
        self.moves: list[list[tuple[int, int]]] = []
        """Per state: (label, next state)."""
        self.empty: list[list[int]] = []
        self.labels: dict[Ranges, int] = {}
        self.copies: list[Copies] = []

    def state(self) -> int:
        """A new state without moves. Raises TooLarge."""
        if len(self.moves) >= MAX_STATES:
            raise TooLarge
        self.moves.append([])
        self.empty.append([])
        return len(self.moves) - 1

    def add(self, node: Node, start: int) -> int:
        """Adds paths from `start` that spell `node`; the state where they end. Raises TooLarge."""
        match node:
            case Literal(text):
                for char in text:
                    start = self.move(start, ((ord(char), ord(char)),))
                return start
            case CharClass(ranges):
                return self.move(start, ranges)
            case Seq(items):
                for item in items:
                    start = self.add(item, start)
                return start
            case Alt(options):
                end = self.state()
                for option in options:
                    self.empty[self.add(option, self._after(start))].append(end)
                return end
            case Repeat(item, low, high):
                return self._repeat(item, low, high, start)
            case Dfa():
                return self._automaton(node, start)
            case Measured():
                written = node.written()
                if written is None:
                    raise TooLarge
                return self._automaton(written, start)
            case Terminal(inner, excluded) if not excluded:
                return self.add(inner, start)
            case Ref(name):
                return self.reference(name, start)
            case _:
                raise AssertionError(f"{type(node).__name__} is no regular node")

    def reference(self, name: str, start: int) -> int:
        """Adds the paths of a reference; a subclass may know what it refers to."""
        raise AssertionError(f"a reference to the rule {name!r} is not regular")

    def move(self, start: int, ranges: Ranges) -> int:
        """A new state that a character of `ranges` leads to."""
        end = self.state()
        if ranges:
            label = self.labels.setdefault(ranges, len(self.labels))
            self.moves[start].append((label, end))
        return end

    def pruned(self, states: int) -> int:
        """The states, without those that others among them make superfluous."""
        for copies in self.copies:
            states = copies.pruned(states)
        return states

    def _after(self, start: int) -> int:
        """A new state that an empty move leads to: what loops back to it stays out of `start`."""
        state = self.state()
        self.empty[start].append(state)
        return state

    def _repeat(self, item: Node, low: int, high: int | None, start: int) -> int:
        first = len(self.moves)
        for _ in range(low):
            start = self.add(item, start)
        if high is None:
            self._compare(first, low, grow=True)
            loop = self._after(start)
            self.empty[self.add(item, loop)].append(loop)
            return loop
        end = self.state()
        first = len(self.moves)
        for _ in range(high - low):
            self.empty[start].append(end)
            start = self.add(item, start)
        self._compare(first, high - low, grow=False)
        self.empty[start].append(end)
        return end

    def _compare(self, first: int, count: int, *, grow: bool) -> None:
        """The states from `first` on are `count` copies of one node."""
        if count >= _FEWEST_COPIES and len(self.copies) < _MAX_REPETITIONS:
            states = (1 << len(self.moves)) - (1 << first)
            size = (len(self.moves) - first) // count
            firsts = (states >> first) // ((1 << size) - 1) << first
            self.copies.append(Copies(states, firsts, size, grow))

    def _automaton(self, dfa: Dfa, start: int) -> int:
        states = [self.state() for _ in dfa.edges]
        end = self.state()
        self.empty[start].append(states[0])
        for number, edges in enumerate(dfa.edges):
            ranges: dict[int, list[tuple[int, int]]] = {}
            for low, high, to in edges:
                ranges.setdefault(to, []).append((low, high))
            for to, found in ranges.items():
                label = self.labels.setdefault(tuple(found), len(self.labels))
                self.moves[states[number]].append((label, states[to]))
            if number in dfa.accepting:
                self.empty[states[number]].append(end)
        return end


class Nfa:
    """An automaton that is in several states at once.

    Attributes:
        alphabet: the classes of characters that it tells apart.
        start: the set of states that it begins in.
        work: how many moves have been tried so far.
    """

    def __init__(self, fragments: Fragments, start: int, final: int) -> None:
        self.alphabet, classes = distinguish(list(fragments.labels))
        self._empty = fragments.empty
        self._pruned = fragments.pruned if fragments.copies else None
        self._final = final
        self._closures: dict[int, int] = {}
        self._raw = fragments.moves
        self._classes = classes
        self._moves: list[list[tuple[int, int]] | None] = [None] * len(fragments.moves)
        self._rows: dict[int, list[int | None]] = {}
        self.work = 0
        self._closing = 0
        self.start = self._closure(start)

    @classmethod
    def of(cls, node: Node) -> Nfa:
        """The automaton of a node without references. Raises TooLarge."""
        fragments = Fragments()
        start = fragments.state()
        return cls(fragments, start, fragments.add(node, start))

    def step(self, states: int) -> list[int | None]:
        """The set after one more character, per class; None for the empty one. Raises TooLarge."""
        targets = [0] * self.alphabet.size
        while states:
            lowest = states & -states
            states ^= lowest
            for number, reached in self._moves_of(lowest.bit_length() - 1):
                targets[number] |= reached
                self.work += 1
        if self._pruned is not None:
            return [self._pruned(target) if target else None for target in targets]
        return [target or None for target in targets]

    def is_accepting(self, states: int) -> bool:
        """Whether the text so far is complete."""
        return bool(states >> self._final & 1)

    def accepts(self, text: str) -> bool:
        """Whether `text` is in the language; needs no determinising."""
        states: int | None = self.start
        for char in text:
            number = self.alphabet.of(char)
            if states is None or number == NO_CLASS:
                return False
            states = self._row(states)[number]
        return states is not None and self.is_accepting(states)

    def _row(self, states: int) -> list[int | None]:
        """`step`, remembered: the keys of a schema begin alike."""
        row = self._rows.get(states)
        if row is None:
            row = self.step(states)
            if len(self._rows) < _KEPT_ROWS:
                self._rows[states] = row
        return row

    def _moves_of(self, state: int) -> list[tuple[int, int]]:
        moves = self._moves[state]
        if moves is None:
            moves = self._moves[state] = [
                (number, self._closure(to))
                for label, to in self._raw[state]
                for number in self._classes[label]
            ]
        return moves

    def _closure(self, state: int) -> int:
        """What empty moves lead to from `state`: of that, the states that can do anything."""
        found = self._closures.get(state)
        if found is None:
            seen, todo, found = {state}, [state], 0
            while todo:
                here = todo.pop()
                if self._raw[here] or here == self._final:
                    found |= 1 << here
                for to in self._empty[here]:
                    if to not in seen:
                        seen.add(to)
                        todo.append(to)
            self._closing += len(seen)
            if self._closing > MAX_WORK:
                raise TooLarge
            self._closures[state] = found
        return found

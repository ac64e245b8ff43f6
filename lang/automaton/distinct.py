"""Values that must differ: when two JSON texts are one value, and whether another one is left.

A list of distinct values is not context-free, so the automaton keeps the values in its stack, and
never goes where every way to finish the current value repeats one of them (`Completions`), nor
where only such a value can follow (`can_reach`).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Hashable
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from .terminal_state import TerminalState

if TYPE_CHECKING:
    from .automaton import Automaton
    from .configuration import Configuration

MAX_STEPS = 4000
"""Bytes that a search tries before it takes its goal for one that can be reached."""

_WHITE_SPACE = b" \t\n\r"

MAX_LOOKED = 400
"""Places that the search for endless values tries; without an answer, texts are looked at."""

MAX_LOOPS = 32
"""Loops of a terminal, and states of it, that are looked at."""

_KEPT = 2000

_CLOSING = b'1}]"'
"""What most often completes a JSON value; the last one most."""

_ORDER = range(256)
_RANK = [-1 - _CLOSING.find(byte) if byte in _CLOSING else 0 for byte in range(256)]


def value_of(text: bytes) -> Hashable:
    """What two texts share exactly if they are the same JSON value: 1 and 1.0, keys in any order.

    A text that is no JSON stands for itself.
    """
    try:
        value = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return text
    return _frozen(value)


def strings_among(values: AbstractSet[object]) -> list[str]:
    """The strings among values that `value_of` made."""
    return [value[1] for value in values if isinstance(value, tuple) and value[0] == "string"]


def _frozen(value: object) -> Hashable:
    match value:
        case dict():
            return "object", frozenset((key, _frozen(below)) for key, below in value.items())
        case list():
            return "array", tuple(map(_frozen, value))
        case bool():
            return "boolean", value
        case Decimal():
            return "number", value  # equal ones hash alike, whatever their digits
        case _:
            return value if value is None else ("string", value)


class Loop(NamedTuple):
    """A way inside a terminal to where `byte` can be repeated."""

    way: bytes
    byte: bytes


def loops_of(state: TerminalState) -> list[Loop]:
    """Some loops that can be reached inside a terminal, the nearest first."""
    found: list[Loop] = []
    ways = {state: b""}
    for here in (todo := [state]):
        repeated: list[int] = []
        for byte in here.next_bytes():
            following = here.step(byte)
            if following is here:
                if byte not in _WHITE_SPACE:  # it changes a value only where others do
                    repeated.append(byte)
            elif following is not None and following not in ways and len(ways) < MAX_LOOPS:
                ways[following] = ways[here] + bytes((byte,))
                todo.append(following)
        # of digits, a zero may change nothing where another one does
        tried = sorted({*repeated[:1], *repeated[-1:]})
        found += [Loop(ways[here], bytes((byte,))) for byte in tried]
    return found


class Following(NamedTuple):
    """How many bytes are legal, and where they lead, with one byte for each place."""

    legal: int
    ways: list[tuple[int, Configuration]]


class Completions:
    """The ways to complete the texts of one automaton, which runs one value; remembered."""

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._known: dict[Configuration, bytes | None] = {}
        self._endless: dict[Configuration, bool] = {}
        self._fresh: dict[tuple[Configuration, bytes, frozenset[object]], bool] = {}
        self._loops: dict[TerminalState, list[Loop]] = {}
        self._next: dict[Configuration, Following] = {}

    def of(self, at: Configuration) -> bytes | None:
        """What completes a text that led to `at`; None if MAX_STEPS bytes do not find it."""
        if at not in self._known:
            if len(self._known) > _KEPT:
                self._known.clear()
            self._learn(at, self._search(at))
        return self._known[at]

    def _learn(self, at: Configuration, rest: bytes | None) -> None:
        self._known[at] = rest
        if rest is None:
            return
        for done, byte in enumerate(rest, 1):  # the places on the way need no search of their own
            following = self._automaton.step(at, byte)
            assert following is not None, "the completion is legal"
            at = following
            if at in self._known:
                break
            self._known[at] = rest[done:]

    def _search(self, at: Configuration) -> bytes | None:
        if at.accepting:
            return b""
        ways: dict[Configuration, bytes] = {at: b""}
        queue = deque([at])
        steps = 0
        while queue and steps <= MAX_STEPS:
            here = queue.popleft()
            width, ways_on = self._following(here)
            steps += width
            for byte, following in ways_on:
                if following in ways:
                    continue
                way = ways[following] = ways[here] + bytes((byte,))
                if following.accepting:
                    return way
                rest = self._known.get(following)
                if rest is not None:
                    return way + rest
                queue.append(following)
        return None

    def _following(self, here: Configuration) -> Following:
        """Where the bytes lead, one for each place; those that most often close a value first."""
        known = self._next.get(here)
        if known is None:
            if len(self._next) > _KEPT:
                self._next.clear()
            classes, targets = self._automaton.successors(here)
            by_class = {classes[byte]: byte for byte in (*_ORDER, *_CLOSING)}
            by_rank = sorted(by_class.items(), key=lambda item: _RANK[item[1]])
            ways = [(byte, to) for each, byte in by_rank if (to := targets[each]) is not None]
            illegal = sum(classes.count(i) for i, to in enumerate(targets) if to is None)
            known = self._next[here] = Following(256 - illegal, ways)
        return known

    def are_endless(self, at: Configuration, text: bytes) -> bool:
        """Whether `text`, which led to `at`, counts as one that can become endlessly many values.

        So it does if MAX_STEPS bytes complete nothing, as in `can_be_fresh`. And it is sure
        if a byte can be repeated inside a terminal and each time makes another value. In
        a string it does; white space or the last zero of 1.0 does not.
        """
        if at not in self._endless:
            if len(self._endless) > _KEPT:
                self._endless.clear()
            self._endless[at] = self._reaches_endless(at, text)
        return self._endless[at]

    def _reaches_endless(self, at: Configuration, text: bytes) -> bool:
        tried: set[TerminalState] = set()
        rest = self.of(at)
        if rest is None:
            return True
        here = at
        for end in range(len(rest)):  # most values have their endless part on the way
            if self._has_loop(here, text + rest[:end], tried):
                return True
            following = self._automaton.step(here, rest[end])
            assert following is not None, "the completion is legal"
            here = following
        ways: dict[Configuration, bytes] = {at: text}
        queue = deque([at])
        steps = 0
        while queue and steps <= MAX_LOOKED:
            here = queue.popleft()
            if self._has_loop(here, ways[here], tried):
                return True
            for byte, following in self._following(here).ways:
                steps += 1
                if self._endless.get(following):
                    return True
                if following not in ways:
                    ways[following] = ways[here] + bytes((byte,))
                    queue.append(following)
        return False

    def _has_loop(self, here: Configuration, text: bytes, tried: set[TerminalState]) -> bool:
        """Whether a terminal, not `tried` yet, makes endless values where `text` led to `here`."""
        for state, _ in here.places:
            if isinstance(state, TerminalState) and state not in tried and state.is_endless():
                tried.add(state)
                if any(self._makes_values(here, text, loop) for loop in self._loops_of(state)):
                    return True
        return False

    def _makes_values(self, at: Configuration, text: bytes, loop: Loop) -> bool:
        """Whether going round a loop once, twice and three times makes different values."""
        values: set[Hashable] = set()
        for times in (1, 2, 3):
            written = loop.way + loop.byte * times
            end = self._automaton.run(at, written)
            rest = None if end is None else self.of(end)
            if rest is None:
                return False
            values.add(value_of(text + written + rest))
        return len(values) == 3

    def _loops_of(self, state: TerminalState) -> list[Loop]:
        loops = self._loops.get(state)
        if loops is None:
            loops = self._loops[state] = loops_of(state)
        return loops

    def can_be_fresh(self, at: Configuration, text: bytes, seen: frozenset[object]) -> bool:
        """Whether `text`, which led to `at`, can be completed to a value that is not in `seen`.

        Most often one completion tells. Else shortest ones come first, and of the bytes that lead
        to the same place only as many as are needed to get past `seen`. After MAX_STEPS bytes the
        answer is yes: so many spellings of so few values occur only where a value has endless ones.
        """
        key = (at, text, seen)
        if key not in self._fresh:
            if len(self._fresh) > _KEPT:
                self._fresh.clear()
            self._fresh[key] = self._finds_fresh(at, text, seen)
        return self._fresh[key]

    def _finds_fresh(self, at: Configuration, text: bytes, seen: frozenset[object]) -> bool:
        rest = self.of(at)
        if rest is None or (rest and value_of(text + rest) not in seen):
            return True
        automaton = self._automaton
        queue = deque([(at, text)])
        steps = 0
        while queue:
            here, so_far = queue.popleft()
            ways: dict[Configuration, int] = {}
            legal = automaton.next_bytes(here)
            steps += len(legal)
            for byte in legal:
                following = automaton.step(here, byte)
                assert following is not None, "the byte is legal"
                count = ways.get(following, 0)
                if count > len(seen):
                    continue
                ways[following] = count + 1
                longer = so_far + bytes((byte,))
                if following.accepting and value_of(longer) not in seen:
                    return True
                queue.append((following, longer))
            if steps > MAX_STEPS:
                return True
        return False


def can_reach(
    automaton: Automaton, start: Configuration, found: Callable[[Configuration], bool]
) -> bool:
    """Whether some text leads from `start` to what is `found`; yes after MAX_STEPS bytes."""
    queue = deque([start])
    known = {start}
    steps = 0
    while queue:
        here = queue.popleft()
        if found(here):
            return True
        legal = automaton.next_bytes(here)
        steps += len(legal)
        for byte in legal:
            following = automaton.step(here, byte)
            assert following is not None, "the byte is legal"
            if following not in known:
                known.add(following)
                queue.append(following)
        if steps > MAX_STEPS:
            return True
    return False

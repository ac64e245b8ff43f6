"""Watches the values in a stack that must differ, so that no text runs into a dead end.

A value that is being written must still be able to become a fresh one, and where a list can only go
on with another value, a fresh one must be left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .configuration import Configuration, Place
from .distinct import Completions, can_reach, strings_among
from .frames import Frame
from .network import Network
from .scopes import Value
from .stack_moves import list_of
from .terminal_state import TerminalState

if TYPE_CHECKING:
    from .automaton import Automaton


class ValueWatch:
    """The watch of one automaton. To look ahead it runs the same grammar, less carefully."""

    def __init__(self, automaton: Automaton, network: Network) -> None:
        self._automaton = automaton
        self._network = network
        self._helpers: dict[str, Automaton] = {}
        self._any_left: dict[tuple[int, frozenset[object]], bool] = {}
        self._known: Completions | None = None
        self._left: dict[tuple[int, frozenset[object]], bool] = {}

    def can_differ(self, place: Place) -> bool:
        """Whether the values at a place, those being written and those to come, can be fresh."""
        state, top = place
        if isinstance(state, TerminalState):
            if state.is_endless():
                return True  # the value can become one of endlessly many, and so all around it
        elif (run := self._network.runs.get(state)) is not None and run.at > 1:
            return True  # inside a literal, after its first byte, nothing is decided
        frame, is_inside = top, False
        while frame is not None and frame.watched:
            if isinstance(frame.low, bytes):
                is_inside = True
                seen = list_of(frame).low
                assert isinstance(seen, frozenset)
                if seen and not self._can_become_fresh(place, frame, seen):
                    return False
            elif isinstance(frame.low, frozenset):
                if frame.low and not is_inside and not self._can_finish(place, frame):
                    return False
                is_inside = False
            frame = frame.parent
        return True

    def _can_become_fresh(self, place: Place, value: Frame, seen: frozenset[object]) -> bool:
        """Whether the value being written can still differ from those seen."""
        ignoring = self._helper("ignored")
        assert isinstance(value.low, bytes)
        here = _above(place, value, value, ignoring)
        return self._completions().can_be_fresh(here, value.low, seen)

    def _can_finish(self, place: Place, scope: Frame) -> bool:
        """Whether a list can go on, or end, from between two of its values."""
        assert isinstance(scope.low, frozenset)
        if self._is_any_left(scope.low):
            return True
        entering = self._helper("entered")
        here = _above(place, scope.parent, scope, entering)

        def is_through(configuration: Configuration) -> bool:
            return configuration.accepting or any(
                self._is_in_value(frame) for _, frame in configuration.places
            )

        return can_reach(entering, here, is_through)

    def _is_in_value(self, frame: Frame | None) -> bool:
        scopes = self._network.scopes
        while frame is not None:
            if frame.after < 0 and isinstance(scopes[-1 - frame.after], Value):
                return True
            frame = frame.parent
        return False

    def has_fresh(self, value: Value, stack: Frame | None) -> bool:
        """Whether a value that begins on top of `stack` can differ from those seen."""
        frame = stack
        while frame is not None and not isinstance(frame.low, frozenset):
            frame = frame.parent
        if frame is None or not frame.low:
            return True
        assert isinstance(frame.low, frozenset)
        return self._is_left(value, frame.low)

    def _is_any_left(self, seen: frozenset[object]) -> bool:
        """Whether every kind of value that must differ still can."""
        scopes = self._network.scopes
        key = (len(scopes), seen)
        if key not in self._any_left:
            values = [scope for scope in scopes if isinstance(scope, Value)]
            self._any_left[key] = all(self._is_left(value, seen) for value in values)
        return self._any_left[key]

    def _is_left(self, value: Value, seen: frozenset[object]) -> bool:
        """Whether there is any such value that is not in `seen`."""
        key = (value.body, seen)
        if key not in self._left:
            start = self._helper("ignored").started_at(value.body)
            self._left[key] = start is not None and self._completions().can_be_fresh(
                start, b"", seen
            )
        return self._left[key]

    def _completions(self) -> Completions:
        if self._known is None:
            self._known = Completions(self._helper("ignored"))
        return self._known

    def _helper(self, values: Literal["ignored", "entered"]) -> Automaton:
        """This grammar, run with less care for values."""
        if values not in self._helpers:
            self._helpers[values] = self._automaton.careless(values)
        return self._helpers[values]

    def values_in_writing(self, configuration: Configuration) -> set[bytes]:
        """The texts so far of all values that must differ from others."""
        found: set[bytes] = set()
        for _, top in configuration.places:
            frame = top
            while frame is not None:
                if isinstance(frame.low, bytes):
                    found.add(frame.low)
                frame = frame.parent
        return found

    def string_in_writing(self, configuration: Configuration) -> tuple[bytes, list[str]] | None:
        """The text of the string being written that must differ from others, and those.

        None if that is not all there is: the value is no string, has an escape in it, or there is
        more than one.
        """
        found: set[tuple[bytes, frozenset[object]]] = set()
        for _, top in configuration.places:
            frame = top
            while frame is not None and not isinstance(frame.low, bytes):
                frame = frame.parent
            if frame is None:
                return None
            assert isinstance(frame.low, bytes)
            seen = list_of(frame)
            assert isinstance(seen.low, frozenset)
            if seen.parent is not None and seen.parent.watched:
                return None
            found.add((frame.low, seen.low))
        if len(found) != 1:
            return None
        ((text, values),) = found
        if not text.startswith(b'"') or b"\\" in text:
            return None
        return text, strings_among(values)


def _above(place: Place, bottom: Frame | None, scope: Frame, automaton: Automaton) -> Configuration:
    """The same place in another automaton, as if its stack began above `bottom`.

    Of the values it has seen, only those in `scope` are taken over.
    """
    state, frame = place
    above: list[Frame] = []
    while frame is not bottom:
        assert frame is not None, "bottom is in the stack"
        above.append(frame)
        frame = frame.parent
    return automaton.place(
        state,
        [
            (
                frame.after,
                None
                if isinstance(frame.low, bytes | frozenset) and frame is not scope
                else frame.low,
                frame.high,
            )
            for frame in reversed(above)
        ],
    )

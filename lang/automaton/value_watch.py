"""Watches the values in a stack that must differ, so that no text runs into a dead end.

A value that is being written must still be able to become a fresh one, and where a list can only go
on with another value, a fresh one must be left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from .configuration import Configuration, Place
from .distinct import Completions, can_reach, strings_among
from .frames import Begun, Frame
from .network import Network
from .scopes import Value
from .stack_moves import list_of
from .terminal_state import TerminalState

if TYPE_CHECKING:
    from .automaton import Automaton


_KEPT = 20_000
"""Places that are remembered before they are forgotten together."""


class Doubt(NamedTuple):
    """A value in writing that must be able to differ from those `seen`; `here` runs it alone."""

    here: Configuration
    begun: Begun
    seen: frozenset[object]


class ValueWatch:
    """The watch of one automaton. To look ahead it runs the same grammar, less carefully."""

    def __init__(self, automaton: Automaton, network: Network) -> None:
        self._automaton = automaton
        self._network = network
        self._helpers: dict[str, Automaton] = {}
        self._any_left: dict[tuple[int, frozenset[object]], bool] = {}
        self._known: Completions | None = None
        self._left: dict[tuple[int, frozenset[object]], bool] = {}
        self._free: dict[Place, bool] = {}
        self._inside: dict[tuple[Place, Frame], Configuration] = {}

    def is_free(self, place: Place, written: bytes) -> bool:
        """Whether it is sure that the values at a place can be fresh, whatever was `written`."""
        state, top = place
        if top is None or not top.watched:
            return True
        if not isinstance(state, TerminalState):
            run = self._network.runs.get(state)
            if run is not None and run.at > 1:
                return True  # inside a literal, after its first byte, nothing is decided
        free = self._free.get(place)
        if free is None:
            if len(self._free) >= _KEPT:
                self._free.clear()
            free = self._free[place] = self._find_free(place, written)
        return free

    def is_free_everywhere(self, configuration: Configuration) -> bool:
        """Whether all places of a configuration are free."""
        return all(self.is_free(place, configuration.written) for place in configuration.places)

    def _find_free(self, place: Place, written: bytes) -> bool:
        frame, is_inside, is_endless = place[1], False, False
        while frame is not None and frame.watched:
            if isinstance(frame.low, Begun):
                is_inside = True
                # with endless values inside it, a value has endless ones itself
                if list_of(frame).low and not is_endless:
                    is_endless = self._completions().are_endless(
                        self._inside_value(place, frame), frame.low.text(written)
                    )
                    if not is_endless:
                        return False
            elif isinstance(frame.low, frozenset):
                if frame.low and not is_inside and not self._can_finish(place, frame):
                    return False
                is_inside = False
            frame = frame.parent
        return True

    def doubts(self, place: Place) -> set[Doubt]:
        """What `can_differ` asks of the texts that are being written at a place."""
        found: set[Doubt] = set()
        frame = place[1]
        while frame is not None and frame.writing:
            if isinstance(frame.low, Begun) and (seen := list_of(frame).low):
                assert isinstance(seen, frozenset)
                found.add(Doubt(self._inside_value(place, frame), frame.low, seen))
            frame = frame.parent
        return found

    def dispels(self, doubts: frozenset[Doubt], written: bytes) -> bool:
        """Whether after `written` all these values can differ."""
        fresh = self._completions().can_be_fresh
        return all(fresh(here, begun.text(written), seen) for here, begun, seen in doubts)

    def can_differ(self, place: Place, written: bytes) -> bool:
        """Whether the values at a place, those being written and those to come, can be fresh."""
        frame, is_inside = place[1], False
        while frame is not None and frame.watched:
            if isinstance(frame.low, Begun):
                is_inside = True
                seen = list_of(frame).low
                assert isinstance(seen, frozenset)
                if seen and not self._completions().can_be_fresh(
                    self._inside_value(place, frame), frame.low.text(written), seen
                ):
                    return False
            elif isinstance(frame.low, frozenset):
                if frame.low and not is_inside and not self._can_finish(place, frame):
                    return False
                is_inside = False
            frame = frame.parent
        return True

    def _inside_value(self, place: Place, value: Frame) -> Configuration:
        """The same place where nothing but the value is run, and nothing in it must differ."""
        key = (place, value)
        here = self._inside.get(key)
        if here is None:
            if len(self._inside) >= _KEPT:
                self._inside.clear()
            here = self._inside[key] = _above(place, value, value, self._helper("ignored"))
        return here

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
            while frame is not None and frame.writing:
                if isinstance(frame.low, Begun):
                    found.add(frame.low.text(configuration.written))
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
            while frame is not None and not isinstance(frame.low, Begun):
                frame = frame.parent
            if frame is None:
                return None
            assert isinstance(frame.low, Begun)
            seen = list_of(frame)
            assert isinstance(seen.low, frozenset)
            if seen.parent is not None and seen.parent.watched:
                return None
            found.add((frame.low.text(configuration.written), seen.low))
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
                if isinstance(frame.low, Begun | frozenset) and frame is not scope
                else frame.low,
                frame.high,
            )
            for frame in reversed(above)
        ],
    )

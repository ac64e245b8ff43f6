"""Watches the values in a stack that must differ, so that no text runs into a dead end.

A value that is being written must still be able to become a fresh one, and where a list can only go
on with another value, a fresh one must be left.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from .configuration import Configuration, Place
from .distinct import SeenValues
from .frames import Stack, first_begun, frames_of, kept_in
from .kept_values import Begun, Kept
from .network import Network
from .scopes import Value
from .value_search import MAX_STEPS, Budget, can_be_fresh, can_reach, is_endless

if TYPE_CHECKING:
    from .automaton import Automaton


_KEPT = 20_000
"""Answers that are remembered before they are forgotten together."""


_KEPT_TEXTS = 4000
"""Texts of values that are remembered at once."""


class Doubt(NamedTuple):
    """A value in writing at a place, which must be able to differ from those its list has seen."""

    place: Place
    value: Kept


Doubts: TypeAlias = "tuple[tuple[Doubt, ...], ...]"
"""Of the doubts at one of several places, all must be dispelled; without any place, nothing."""


class Watched(NamedTuple):
    """The places where lists can go on, and the doubts about the values that are being written."""

    places: list[Place]
    doubts: Doubts


class ValueInWriting(NamedTuple):
    """The text so far of a value that must differ from others, and which it can still become."""

    text: bytes
    possible: SeenValues


class ValueWatch:
    """The watch of one automaton.

    To look ahead it runs the same grammar: a value as carefully as the text, because values in it
    may have to differ, too. All that looks ahead meanwhile shares one `budget`, which is that of
    the search that the automaton is run for; None: it is run for itself.
    """

    def __init__(self, automaton: Automaton, network: Network, budget: Budget | None) -> None:
        self._automaton = automaton
        self._network = network
        self._budget = Budget() if budget is None else budget
        self._searcher: Automaton | None = None if budget is None else automaton
        self._is_searching = budget is not None
        self._lock = Lock()
        self._helpers: dict[str, Automaton] = {}
        self._possible: dict[tuple[bytes, frozenset[object]], SeenValues] = {}
        self._fresh: dict[tuple[Configuration, bytes, frozenset[object]], bool] = {}
        self._finishes: dict[Configuration, bool] = {}
        self._looked_at = 0
        self._maybe_few: list[Value] = []
        self._writing: dict[Configuration, set[tuple[Begun, frozenset[object]]]] = {}
        self._starts: dict[int, Configuration | None] = {}
        self._inside: dict[Doubt, tuple[Configuration, int | None]] = {}

    def watched(self, places: list[Place]) -> Watched:
        """What is left of places, and in doubt about them, whatever text led there."""
        kept = [place for place in places if self._can_go_on(place)]
        doubts = tuple(tuple(self._doubts(place)) for place in kept)
        return Watched(kept, doubts if all(doubts) else ())

    def _can_go_on(self, place: Place) -> bool:
        """Whether the lists at a place that are between two of their values can go on, or end."""
        kept, is_inside = kept_in(place[1]), False
        while kept is not None and kept.watched:
            if isinstance(kept.held, Begun):
                is_inside = True
            else:
                if kept.held and not is_inside and not self._can_finish(place, kept):
                    return False
                is_inside = False
            kept = kept.outer
        return True

    def _doubts(self, place: Place) -> list[Doubt]:
        found: list[Doubt] = []
        kept = kept_in(place[1])
        while kept is not None and kept.writing:
            if isinstance(kept.held, Begun) and kept.seen:
                found.append(Doubt(place, kept))
            kept = kept.outer
        return found

    def dispels(self, doubts: Doubts, written: bytes) -> bool:
        """Whether after `written` the values at one of the places can differ."""
        return not doubts or any(
            all(self._can_differ(doubt, written) for doubt in each) for each in doubts
        )

    def _can_differ(self, doubt: Doubt, written: bytes) -> bool:
        begun, seen = doubt.value.held, doubt.value.seen
        assert isinstance(begun, Begun)
        text = begun.text(written)
        return not self._possible_after(text, seen) or self._can_be_fresh(
            self._inside_value(doubt, written), text, seen
        )

    def _can_be_fresh(self, at: Configuration, text: bytes, seen: frozenset[object]) -> bool:
        key = (at, text, seen)
        is_possible = self._fresh.get(key)
        if is_possible is None:
            if len(self._fresh) >= _KEPT:
                self._fresh.clear()
            if self._is_searching:
                is_possible = self._search(at, text, seen)
                if self._budget.left <= 0:
                    return is_possible
            else:
                with self._lock:
                    self._budget.left = MAX_STEPS
                    is_possible = self._search(at, text, seen)
                    if self._budget.left <= 0:
                        self._forget_search()
            self._fresh[key] = is_possible
        return is_possible

    def _search(self, at: Configuration, text: bytes, seen: frozenset[object]) -> bool:
        possible = self._possible_after(text, seen)
        return can_be_fresh(self._searching(), at, text, possible, seen, self._budget)

    def _searching(self) -> Automaton:
        """The automaton that searches are run on."""
        if self._searcher is None:
            self._searcher = self._automaton.searching(self._budget)
        return self._searcher

    def _forget_search(self) -> None:
        """Forgets what was learned with a spent budget, when every answer was yes."""
        self._searcher = None
        self._inside.clear()
        self._starts.clear()

    def _possible_after(self, text: bytes, seen: frozenset[object]) -> SeenValues:
        """The values seen that a text can still become."""
        known = self._possible
        if (possible := known.get((text, seen))) is not None:
            return possible
        size = len(text) - 1
        while size >= 0 and (possible := known.get((text[:size], seen))) is None:
            size -= 1
        if len(known) >= _KEPT_TEXTS:
            known.clear()
        if possible is None:
            size = 0
            possible = known[b"", seen] = SeenValues.begin(seen)
        while possible and size < len(text):
            possible = possible.step(text[size])
            size += 1
            known[text[:size], seen] = possible
        known[text, seen] = possible
        return possible

    def _inside_value(self, doubt: Doubt, written: bytes) -> Configuration:
        """The same place after `written`, where nothing but the value is run."""
        known = self._inside.get(doubt)
        if known is None:
            if len(self._inside) >= _KEPT:
                self._inside.clear()
            place, value = doubt
            known = self._searching().in_value(place, value), first_begun(place[1], value)
            self._inside[doubt] = known
        core, first = known
        return core if first is None else self._searching().having_written(core, written[first:])

    def _can_finish(self, place: Place, of_list: Kept) -> bool:
        """Whether a list can go on, or end, from between two of its values."""
        if all(self._is_left(value, of_list.seen) for value in self._scarce()):
            return True
        entering = self._helper("entered")
        here = entering.in_list(place, of_list)
        finishes = self._finishes.get(here)
        if finishes is None:
            if len(self._finishes) >= _KEPT:
                self._finishes.clear()

            def is_through(configuration: Configuration) -> bool:
                return configuration.accepting or any(
                    self._is_in_value(frame) for _, frame in configuration.places
                )

            finishes = can_reach(entering, here, is_through)
            if self._is_searching and self._budget.left <= 0:
                return finishes
            self._finishes[here] = finishes
        return finishes

    def _is_in_value(self, stack: Stack) -> bool:
        scopes = self._network.scopes
        return any(
            frame.after < 0 and isinstance(scopes[-1 - frame.after], Value)
            for frame in frames_of(stack)
        )

    def has_fresh(self, value: Value, stack: Stack) -> bool:
        """Whether a value that begins on top of `stack` can differ from those seen."""
        kept = kept_in(stack)
        of_list = None if kept is None else kept.of_list()
        return of_list is None or not of_list.seen or self._is_left(value, of_list.seen)

    def _is_left(self, value: Value, seen: frozenset[object]) -> bool:
        """Whether there is any such value that is not in `seen`."""
        start = self._start_of(value)
        return start is not None and self._can_be_fresh(start, b"", seen)

    def is_any_left(self) -> bool:
        """Whether it is sure that fresh values are left, whatever has been seen."""
        return not self._scarce()

    def _scarce(self) -> list[Value]:
        """The values, of those that the network has by now, that may not be endlessly many."""
        scopes = self._network.scopes
        while self._looked_at < len(scopes):
            scope = scopes[self._looked_at]
            self._looked_at += 1
            if isinstance(scope, Value):
                ignoring = self._helper("ignored")
                start = ignoring.started_at(scope.body)
                if start is None or not is_endless(ignoring, start):
                    self._maybe_few.append(scope)
        return self._maybe_few

    def _start_of(self, value: Value) -> Configuration | None:
        """Where such a value begins."""
        if value.body not in self._starts:
            self._starts[value.body] = self._searching().started_at(value.body)
        return self._starts[value.body]

    def _helper(self, values: Literal["ignored", "entered"]) -> Automaton:
        """This grammar, run with less care for values."""
        if values not in self._helpers:
            self._helpers[values] = self._automaton.careless(values)
        return self._helpers[values]

    def in_writing(self, configuration: Configuration) -> set[ValueInWriting]:
        """The values in writing."""
        found: set[ValueInWriting] = set()
        for begun, seen in self._writing_at(configuration.core):
            text = begun.text(configuration.written)
            found.add(ValueInWriting(text, self._possible_after(text, seen)))
        return found

    def _writing_at(self, core: Configuration) -> set[tuple[Begun, frozenset[object]]]:
        """Where the values in writing begin, and what their lists have seen."""
        found = self._writing.get(core)
        if found is None:
            found = set()
            for _, stack in core.places:
                kept = kept_in(stack)
                while kept is not None and kept.writing:
                    if isinstance(kept.held, Begun):
                        found.add((kept.held, kept.seen))
                    kept = kept.outer
            if len(self._writing) >= _KEPT_TEXTS:
                self._writing.clear()
            self._writing[core] = found
        return found

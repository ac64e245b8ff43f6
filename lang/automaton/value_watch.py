"""Watches the values in a stack that must differ, so that no text runs into a dead end.

A value that is being written must still be able to become a fresh one, and fresh values must be
left for all that its list must take after it (`owed_values.py`). Which values those can be
`value_supply.py` tells, and `fresh_search.py` what a text can still become.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .configuration import Configuration, Place
from .distinct import SeenValues
from .doubts import Doubt, Doubts, Way
from .frames import Frame, Stack, holders, kept_in
from .fresh_search import FreshSearch
from .kept_values import Begun, Kept, has_values
from .network import Network
from .owed_values import NOTHING, Owed, OwedValues
from .scopes import Distinct, Value
from .value_search import Budget, all_differ
from .value_supply import ValueSupply

if TYPE_CHECKING:
    from .automaton import Automaton

_KEPT = 20_000
"""Answers that are remembered before they are forgotten together."""

_KEPT_TEXTS = 4000
"""Configurations whose values in writing are remembered at once."""

_EASY = (Way((), frozenset((NOTHING,))),)
"""Where no list owes anything after a value."""


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

    `budget`: of the search that the automaton is run for; None: it is run for itself.
    """

    def __init__(self, automaton: Automaton, network: Network, budget: Budget | None) -> None:
        self._network = network
        self._search = FreshSearch(automaton, budget)
        self._supply = ValueSupply(automaton, network, self._search)
        self._owed = OwedValues(network, self._supply.is_scarce)
        self._owed_after: dict[Frame, frozenset[Owed]] = {}
        self._owing = False
        self._looked_at = 0
        self._writing: dict[Configuration, set[tuple[Begun, frozenset[object]]]] = {}

    def watched(self, places: list[Place]) -> Watched:
        """What is left of places, and in doubt about them, whatever text led there."""
        kept = [place for place in places if self._can_go_on(place)]
        doubts = tuple(tuple(self._doubts(place)) for place in kept)
        return Watched(kept, doubts if all(doubts) else ())

    def _can_go_on(self, place: Place) -> bool:
        """Whether the lists at a place that are between two of their values can go on, or end."""
        kept, is_inside = kept_in(place[1]), False
        while kept is not None:
            if isinstance(kept.held, Begun):
                is_inside = True
            else:
                if not is_inside and not self._can_finish(place, kept):
                    return False
                is_inside = False
            kept = kept.outer
        return True

    def _can_finish(self, place: Place, of_list: Kept) -> bool:
        """Whether a list can go on, or end, from between two of its values."""
        if not self._may_owe() and all(
            self._supply.fresh(kind, of_list.seen, 1) != frozenset()
            for kind in self._supply.scarce_kinds()
        ):
            return True  # whatever it takes next, after that it can end
        return any(
            self._supply.of(owed, of_list.seen) is not None
            for owed in self._owed.before_end((place,), of_list)
        )

    def _doubts(self, place: Place) -> list[Doubt]:
        found: list[Doubt] = []
        kept = kept_in(place[1])
        while kept is not None and kept.writing:
            if isinstance(kept.held, Begun):
                ways = self._ways_of(place[1], kept)
                if kept.seen or any(NOTHING not in way.owed for way in ways):
                    found.append(Doubt(place, kept, ways))
            kept = kept.outer
        return found

    def _ways_of(self, stack: Stack, value: Kept) -> tuple[Way, ...]:
        """The ways on from a value in writing, those together that owe the same."""
        if not self._may_owe():
            return _EASY
        by_owed: dict[frozenset[Owed], list[Frame]] = {}
        for frame in holders(stack, value):
            by_owed.setdefault(self._owed_after_value(frame), []).append(frame)
        return tuple(Way(tuple(frames), owed) for owed, frames in by_owed.items())

    def _may_owe(self) -> bool:
        """Whether a list that the network has by now may owe something after a value."""
        scopes = self._network.scopes
        while self._looked_at < len(scopes):
            index = self._looked_at
            if isinstance(scopes[index], Distinct) and self._owed.may_owe(index):
                self._owing = True
            self._looked_at = index + 1
        return self._owing

    def _owed_after_value(self, frame: Frame) -> frozenset[Owed]:
        """What the list of the value that a frame holds must take after it."""
        owed = self._owed_after.get(frame)
        if owed is None:
            if len(self._owed_after) >= _KEPT:
                self._owed_after.clear()
            scope = self._network.scopes[-1 - frame.after]
            of_list = None if frame.kept is None else frame.kept.of_list()
            assert isinstance(scope, Value)
            assert of_list is not None, "an Element stands inside a Unique"
            after = [(scope.after, parent) for parent in frame.parents]
            owed = self._owed_after[frame] = self._owed.before_end(after, of_list)
        return owed

    def dispels(self, doubts: Doubts, written: bytes) -> bool:
        """Whether after `written` the values at one of the places can differ."""
        return not doubts or any(
            all(self._can_differ(doubt, written) for doubt in each) for each in doubts
        )

    def _can_differ(self, doubt: Doubt, written: bytes) -> bool:
        return any(
            self._can_leave(doubt, way, owed, written) for way in doubt.ways for owed in way.owed
        )

    def _can_leave(self, doubt: Doubt, way: Way, owed: Owed, written: bytes) -> bool:
        """Whether the value can become a fresh one that leaves enough for what is `owed`."""
        supply = self._supply.of(owed, doubt.value.seen)
        if supply is None:
            return False
        if self._search.can_avoid(doubt, way, supply.barred, written):
            return True
        text = doubt.text(written)
        possible = {
            value
            for value in supply.barred - doubt.value.seen
            if self._search.possible_after(text, frozenset((value,)))
            and self._search.can_avoid(doubt, way, supply.barred - {value}, written)
        }
        return bool(possible) and all_differ((*supply.choices, possible))

    def depends_on_values(self, configuration: Configuration) -> bool:
        """Whether what can follow depends on the values so far, or on those that must come."""
        if any(has_values(kept_in(stack)) for _, stack in configuration.places):
            return True
        return configuration.watched and not self.is_any_left()

    def is_any_left(self) -> bool:
        """Whether it is sure that fresh values are left, whatever has been seen.

        That is, for the values that the network has by now.
        """
        return not self._supply.scarce_kinds()

    def in_writing(self, configuration: Configuration) -> set[ValueInWriting]:
        """The values in writing."""
        found: set[ValueInWriting] = set()
        for begun, seen in self._writing_at(configuration.core):
            text = begun.text(configuration.written)
            found.add(ValueInWriting(text, self._search.possible_after(text, seen)))
        return found

    def _writing_at(self, core: Configuration) -> set[tuple[Begun, frozenset[object]]]:
        """Where the values in writing begin, and which others are in doubt."""
        found = self._writing.get(core)
        if found is None:
            found = set()
            for _, stack in core.places:
                kept = kept_in(stack)
                while kept is not None and kept.writing:
                    if isinstance(kept.held, Begun):
                        found.add((kept.held, self._barred(stack, kept)))
                    kept = kept.outer
            if len(self._writing) >= _KEPT_TEXTS:
                self._writing.clear()
            self._writing[core] = found
        return found

    def _barred(self, stack: Stack, value: Kept) -> frozenset[object]:
        """The values that are in doubt while one is being written."""
        barred = value.seen
        for way in self._ways_of(stack, value):
            for owed in way.owed:
                supply = self._supply.of(owed, value.seen)
                barred |= frozenset() if supply is None else supply.barred
        return barred

"""Watches the values in a stack that must differ, so that no text runs into a dead end.

A value that is being written must still be able to become a fresh one, and fresh values must be
left for all that its list must take after it. Which of those have few values, and need more than a
look at what has been seen, `owed_values.py` tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .configuration import Configuration, Place
from .distinct import SeenValues, value_of
from .frames import Frame, Stack, first_begun, holders, kept_in
from .kept_values import Begun, Kept, has_values
from .network import Network
from .owed_values import NOTHING, Owed, OwedValues
from .scopes import Distinct, Value
from .value_search import MAX_STEPS, Budget, all_differ, fresh_text, is_endless, shortest_end

if TYPE_CHECKING:
    from .automaton import Automaton


_KEPT = 20_000
"""Answers that are remembered before they are forgotten together."""


_KEPT_TEXTS = 4000
"""Texts of values that are remembered at once."""


class Way(NamedTuple):
    """Frames that hold a value in writing, and what its list must take after it: any of `owed`."""

    frames: tuple[Frame, ...]
    owed: frozenset[Owed]


_EASY = (Way((), frozenset((NOTHING,))),)
"""Where no list owes anything after a value."""


class Doubt(NamedTuple):
    """A value in writing at a place, which must be able to differ from others in one of `ways`."""

    place: Place
    value: Kept
    ways: tuple[Way, ...]

    def text(self, written: bytes) -> bytes:
        """The text of the value so far."""
        assert isinstance(self.value.held, Begun)
        return self.value.held.text(written)


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


class Supply(NamedTuple):
    """Fresh values for what a list owes: all of each that may run short.

    `barred`: all of them, and those that the list has seen. A value besides takes none away.
    """

    choices: tuple[frozenset[object], ...]
    barred: frozenset[object]


class _Kind:
    """The values of a kind that are known so far.

    Attributes:
        is_complete: there are no others.
        is_open: another is being looked for, maybe inside itself.
    """

    def __init__(self) -> None:
        self.values: list[object] = []
        self.is_complete = False
        self.is_open = False


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
        self._careless: Automaton | None = None
        self._owed = OwedValues(network, self._is_scarce)
        self._possible: dict[tuple[bytes, frozenset[object]], SeenValues] = {}
        self._fresh: dict[tuple[Configuration, bytes, frozenset[object]], bool] = {}
        self._supplies: dict[tuple[Owed, frozenset[object]], Supply | None] = {}
        self._kinds: dict[int, _Kind] = {}
        self._scarce: dict[int, bool] = {}
        self._owed_after: dict[Frame, frozenset[Owed]] = {}
        self._owing = False
        self._looked_at = self._sorted_out = 0
        self._maybe_few: list[int] = []
        self._writing: dict[Configuration, set[tuple[Begun, frozenset[object]]]] = {}
        self._inside: dict[tuple[Doubt, Way], tuple[Configuration, int | None]] = {}

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
            self._fresh_values(kind, of_list.seen, 1) != frozenset()
            for kind in self._scarce_kinds()
        ):
            return True  # whatever it takes next, after that it can end
        return any(
            self._supply(owed, of_list.seen) is not None
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
        supply = self._supply(owed, doubt.value.seen)
        if supply is None:
            return False
        if self._can_avoid(doubt, way, supply.barred, written):
            return True
        text = doubt.text(written)
        possible = {
            value
            for value in supply.barred - doubt.value.seen
            if self._possible_after(text, frozenset((value,)))
            and self._can_avoid(doubt, way, supply.barred - {value}, written)
        }
        return bool(possible) and all_differ((*supply.choices, possible))

    def _can_avoid(self, doubt: Doubt, way: Way, barred: frozenset[object], written: bytes) -> bool:
        """Whether the value can become one that is not `barred`."""
        text = doubt.text(written)
        if len(doubt.ways) == 1 and not self._possible_after(text, barred):
            return True
        return self._can_be_fresh(self._inside_value(doubt, way, written), text, barred)

    def _can_be_fresh(self, at: Configuration, text: bytes, barred: frozenset[object]) -> bool:
        key = (at, text, barred)
        is_possible = self._fresh.get(key)
        if is_possible is None:
            if len(self._fresh) >= _KEPT:
                self._fresh.clear()
            with self._search():
                possible = self._possible_after(text, barred)
                found = fresh_text(self._searching(), at, text, possible, barred, self._budget)
                is_sure = self._budget.left > 0
            is_possible = found is not None or not is_sure
            if is_sure or not self._is_searching:
                self._fresh[key] = is_possible
        return is_possible

    @contextmanager
    def _search(self) -> Iterator[None]:
        """While something is looked for, on a budget."""
        if self._is_searching:
            yield
            return
        with self._lock:
            self._budget.left = MAX_STEPS
            yield
            if self._budget.left <= 0:  # some of what was learned is wrong: every answer was yes
                self._searcher = None
                self._inside.clear()

    def _searching(self) -> Automaton:
        """The automaton that searches are run on."""
        if self._searcher is None:
            self._searcher = self._automaton.searching(self._budget)
        return self._searcher

    def _supply(self, owed: Owed, seen: frozenset[object]) -> Supply | None:
        """Fresh values for all that is owed; None if they do not suffice."""
        key = (owed, seen)
        if key not in self._supplies:
            if len(self._supplies) >= _KEPT_TEXTS:
                self._supplies.clear()
            kinds = [owing[0] for owing in owed if isinstance(owing, tuple)]
            fresh = {kind: self._fresh_values(kind, seen, len(owed) + 1) for kind in set(kinds)}
            choices = tuple(
                choice
                for kind in kinds
                # of more values, one is left whatever else is taken
                if (choice := fresh[kind]) is not None and len(choice) <= len(owed)
            )
            supply = Supply(choices, seen.union(*choices)) if all_differ(choices) else None
            if self._is_searching and None in fresh.values():
                return supply
            self._supplies[key] = supply
        return self._supplies[key]

    def _fresh_values(
        self, kind: int, seen: frozenset[object], count: int
    ) -> frozenset[object] | None:
        """Values of a kind that are not in `seen`: `count`, or all; None: there may be others."""
        with self._search():
            known = self._kinds.setdefault(kind, _Kind())
            fresh = [value for value in known.values if value not in seen]
            while len(fresh) < count and not known.is_complete:
                text = None if known.is_open else self._another_text(known, kind)
                if known.is_open or self._budget.left <= 0:
                    return None
                if text is None:
                    known.is_complete = True
                else:
                    known.values.append(value_of(text))
                    fresh += [value for value in known.values[-1:] if value not in seen]
        return frozenset(fresh[:count])

    def _another_text(self, known: _Kind, kind: int) -> bytes | None:
        """A value of a kind that is not known; None if there is none, or the budget is spent."""
        automaton, budget = self._searching(), self._budget
        start = automaton.started_at(kind)
        if start is None:
            return None
        values = frozenset(known.values)
        known.is_open = True
        try:
            possible = self._possible_after(b"", values)
            found = fresh_text(automaton, start, b"", possible, values, budget)
            rest = None if found is None else shortest_end(automaton, found[1], budget)
        finally:
            known.is_open = False
        return None if found is None or rest is None else found[0] + rest

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

    def _inside_value(self, doubt: Doubt, way: Way, written: bytes) -> Configuration:
        """The same place after `written`, where nothing but the value is run."""
        known = self._inside.get((doubt, way))
        if known is None:
            if len(self._inside) >= _KEPT:
                self._inside.clear()
            place, value, ways = doubt
            others = [frame for other in ways if other is not way for frame in other.frames]
            inside = self._searching().in_value(place, value, others)
            known = self._inside[doubt, way] = inside, first_begun(place[1], value)
        core, first = known
        return core if first is None else self._searching().having_written(core, written[first:])

    def depends_on_values(self, configuration: Configuration) -> bool:
        """Whether what can follow depends on the values so far, or on those that must come."""
        if any(has_values(kept_in(stack)) for _, stack in configuration.places):
            return True
        return configuration.watched and not self.is_any_left()

    def is_any_left(self) -> bool:
        """Whether it is sure that fresh values are left, whatever has been seen.

        That is, for the values that the network has by now.
        """
        return not self._scarce_kinds()

    def _scarce_kinds(self) -> list[int]:
        """The kinds of values, of those that the network has by now, that may not be endless."""
        scopes = self._network.scopes
        while self._sorted_out < len(scopes):
            scope = scopes[self._sorted_out]
            if isinstance(scope, Value) and self._is_scarce(scope):
                self._maybe_few.append(scope.body)
            self._sorted_out += 1
        return self._maybe_few

    def _is_scarce(self, value: Value) -> bool:
        """Whether there may be no more than so many of such values."""
        kind = value.body
        if kind not in self._scarce:
            if self._careless is None:
                self._careless = self._automaton.careless()
            start = self._careless.started_at(kind)
            self._scarce[kind] = start is None or not is_endless(self._careless, start)
        return self._scarce[kind]

    def in_writing(self, configuration: Configuration) -> set[ValueInWriting]:
        """The values in writing."""
        found: set[ValueInWriting] = set()
        for begun, seen in self._writing_at(configuration.core):
            text = begun.text(configuration.written)
            found.add(ValueInWriting(text, self._possible_after(text, seen)))
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
                supply = self._supply(owed, value.seen)
                barred |= frozenset() if supply is None else supply.barred
        return barred

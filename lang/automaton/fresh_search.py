"""Searches for values that differ from others, by running the grammar ahead on a budget.

What is run is the same grammar, and a value as carefully as the text, because values in it may have
to differ, too. So a search may begin others on its way: they share its budget.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from .configuration import Configuration
from .distinct import SeenValues
from .doubts import Doubt, Way
from .frames import first_begun
from .value_search import MAX_STEPS, Budget, fresh_text, shortest_end

if TYPE_CHECKING:
    from .automaton import Automaton

_KEPT = 20_000
"""Answers that are remembered before they are forgotten together."""

_KEPT_TEXTS = 4000
"""Texts of values that are remembered at once."""


class FreshSearch:
    """The searches of one automaton; `budget`: of the one that it is itself run for, if it is.

    Attributes:
        is_nested: whether there is such a search.
    """

    def __init__(self, automaton: Automaton, budget: Budget | None) -> None:
        self.is_nested = budget is not None
        self._automaton = automaton
        self._budget = Budget() if budget is None else budget
        self._searcher: Automaton | None = automaton if self.is_nested else None
        self._lock = Lock()
        self._possible: dict[tuple[bytes, frozenset[object]], SeenValues] = {}
        self._fresh: dict[tuple[Configuration, bytes, frozenset[object]], bool] = {}
        self._inside: dict[tuple[Doubt, Way], tuple[Configuration, int | None]] = {}

    @contextmanager
    def on_budget(self) -> Iterator[None]:
        """While something is looked for."""
        if self.is_nested:
            yield
            return
        with self._lock:
            self._budget.left = MAX_STEPS
            yield
            if self._budget.left <= 0:  # some of what was learned is wrong: every answer was yes
                self._searcher = None
                self._inside.clear()

    @property
    def is_spent(self) -> bool:
        """Whether the budget is spent, and whatever was not found may be there."""
        return self._budget.left <= 0

    def can_avoid(self, doubt: Doubt, way: Way, barred: frozenset[object], written: bytes) -> bool:
        """Whether a value in writing can become one that is not `barred`."""
        text = doubt.text(written)
        if len(doubt.ways) == 1 and not self.possible_after(text, barred):
            return True
        return self._can_be_fresh(self._inside_value(doubt, way, written), text, barred)

    def started_at(self, kind: int) -> Configuration | None:
        """Where values of a kind begin; None: there are none. To be called on a budget."""
        return self._searching().started_at(kind)

    def value_from(self, start: Configuration, known: frozenset[object]) -> bytes | None:
        """A value from `start` that is not known; None if there is none, or the budget is spent.

        To be called on a budget.
        """
        automaton, budget = self._searching(), self._budget
        possible = self.possible_after(b"", known)
        found = fresh_text(automaton, start, b"", possible, known, budget)
        rest = None if found is None else shortest_end(automaton, found[1], budget)
        return None if found is None or rest is None else found[0] + rest

    def possible_after(self, text: bytes, seen: frozenset[object]) -> SeenValues:
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

    def _can_be_fresh(self, at: Configuration, text: bytes, barred: frozenset[object]) -> bool:
        key = (at, text, barred)
        is_possible = self._fresh.get(key)
        if is_possible is None:
            if len(self._fresh) >= _KEPT:
                self._fresh.clear()
            with self.on_budget():
                possible = self.possible_after(text, barred)
                found = fresh_text(self._searching(), at, text, possible, barred, self._budget)
                is_sure = not self.is_spent
            is_possible = found is not None or not is_sure
            if is_sure or not self.is_nested:
                self._fresh[key] = is_possible
        return is_possible

    def _inside_value(self, doubt: Doubt, way: Way, written: bytes) -> Configuration:
        """The place of a doubt after `written`, where nothing but the value is run."""
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

    def _searching(self) -> Automaton:
        """The automaton that searches are run on."""
        if self._searcher is None:
            self._searcher = self._automaton.searching(self._budget)
        return self._searcher

"""Which values are left for lists whose values must differ.

Values of most kinds are endless. Those of the others are found one by one, as far as they are asked
for, and each is remembered for every list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .distinct import value_of
from .fresh_search import FreshSearch
from .network import Network
from .owed_values import Owed
from .scopes import Value
from .value_search import all_differ, is_endless

if TYPE_CHECKING:
    from .automaton import Automaton

_KEPT = 4000
"""Supplies that are remembered before they are forgotten together."""


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


class ValueSupply:
    """The values of one automaton. A kind of them is the state of its network where they begin."""

    def __init__(self, automaton: Automaton, network: Network, search: FreshSearch) -> None:
        self._automaton = automaton
        self._network = network
        self._search = search
        self._careless: Automaton | None = None
        self._supplies: dict[tuple[Owed, frozenset[object]], Supply | None] = {}
        self._kinds: dict[int, _Kind] = {}
        self._scarce: dict[int, bool] = {}
        self._sorted_out = 0
        self._maybe_few: list[int] = []

    def of(self, owed: Owed, seen: frozenset[object]) -> Supply | None:
        """Fresh values for all that is owed; None if they do not suffice."""
        key = (owed, seen)
        if key not in self._supplies:
            if len(self._supplies) >= _KEPT:
                self._supplies.clear()
            kinds = [owing[0] for owing in owed if isinstance(owing, tuple)]
            fresh = {kind: self.fresh(kind, seen, len(owed) + 1) for kind in set(kinds)}
            choices = tuple(
                choice
                for kind in kinds
                # of more values, one is left whatever else is taken
                if (choice := fresh[kind]) is not None and len(choice) <= len(owed)
            )
            supply = Supply(choices, seen.union(*choices)) if all_differ(choices) else None
            if self._search.is_nested and None in fresh.values():
                return supply
            self._supplies[key] = supply
        return self._supplies[key]

    def fresh(self, kind: int, seen: frozenset[object], count: int) -> frozenset[object] | None:
        """Values of a kind that are not in `seen`: `count`, or all; None: there may be others."""
        search = self._search
        with search.on_budget():
            known = self._kinds.setdefault(kind, _Kind())
            fresh = [value for value in known.values if value not in seen]
            while len(fresh) < count and not known.is_complete:
                text = None if known.is_open else self._another_text(known, kind)
                if known.is_open or search.is_spent:
                    return None
                if text is None:
                    known.is_complete = True
                else:
                    known.values.append(value_of(text))
                    fresh += [value for value in known.values[-1:] if value not in seen]
        return frozenset(fresh[:count])

    def _another_text(self, known: _Kind, kind: int) -> bytes | None:
        """A value of a kind that is not known; None if there is none, or the budget is spent."""
        start = self._search.started_at(kind)
        if start is None:
            return None
        known.is_open = True
        try:
            return self._search.value_from(start, frozenset(known.values))
        finally:
            known.is_open = False

    def scarce_kinds(self) -> list[int]:
        """The kinds of values, of those that the network has by now, that may not be endless."""
        scopes = self._network.scopes
        while self._sorted_out < len(scopes):
            scope = scopes[self._sorted_out]
            if isinstance(scope, Value) and self.is_scarce(scope):
                self._maybe_few.append(scope.body)
            self._sorted_out += 1
        return self._maybe_few

    def is_scarce(self, value: Value) -> bool:
        """Whether there may be no more than so many of such values."""
        kind = value.body
        if kind not in self._scarce:
            if self._careless is None:
                self._careless = self._automaton.careless()
            start = self._careless.started_at(kind)
            self._scarce[kind] = start is None or not is_endless(self._careless, start)
        return self._scarce[kind]

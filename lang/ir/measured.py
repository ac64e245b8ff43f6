"""Automata whose texts have a bounded length: a pattern and a `maxLength`, without their product.

The product of an automaton and a length has a state for every pair of the two. Kept apart, a bound
of any size costs nothing, and what runs the node counts while it goes along.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from .dfa import Dfa
from .remainders import Remainders

MAX_WRITTEN_STATES = 20_000
"""States of a product that is written out."""

_KEPT_REMAINDERS = 128


@dataclass(frozen=True, slots=True)
class Measured:
    """The texts of `dfa` that are `min` to `max` units long; `max` None means without bound.

    A step into one of the first `units` states of `dfa` completes a unit; so spellings of several
    code points, such as the escapes of JSON, can count as one.
    """

    dfa: Dfa
    units: int
    min: int
    max: int | None

    def counted(self, count: int, state: int) -> int:
        """The number of units after a step into `state`, of which `count` came before it.

        Where nothing depends on more of them, a number stands for all greater ones.
        """
        count += state < self.units
        return min(count, self.min) if self.max is None else count

    def remainders(self) -> Remainders:
        """Which lengths the rest of a text can have. Raises ValueError if that is too much work."""
        return _remainders(self.dfa, self.units, self.max)

    def holds_empty(self) -> bool:
        """Whether the empty text is one of them."""
        return self.min == 0 and 0 in self.dfa.accepting

    def fits(self, remainders: Remainders, state: int, count: int) -> bool:
        """Whether a text of which `count` units lead to `state` can be completed."""
        high = None if self.max is None else self.max - count
        return remainders.has(state, self.min - count, high)

    def written(self) -> Dfa | None:
        """The same texts as an automaton; None if it would exceed MAX_WRITTEN_STATES states."""
        remainders = self.remainders()
        index = {(0, 0): 0}
        order = [(0, 0)]
        edges: list[tuple[tuple[int, int, int], ...]] = []
        for state, count in order:  # grows while it is walked
            found: list[tuple[int, int, int]] = []
            for low, high, to in self.dfa.edges[state]:
                place = (to, self.counted(count, to))
                if self.fits(remainders, *place):
                    if place not in index:
                        index[place] = len(order)
                        order.append(place)
                    found.append((low, high, index[place]))
            edges.append(tuple(found))
            if len(order) > MAX_WRITTEN_STATES:
                return None
        accepting = frozenset(
            number
            for (state, count), number in index.items()
            if state in self.dfa.accepting and self.min <= count
        )
        return Dfa(tuple(edges), accepting)


@lru_cache(_KEPT_REMAINDERS)
def _remainders(dfa: Dfa, units: int, longest: int | None) -> Remainders:
    return Remainders(dfa, units, longest)

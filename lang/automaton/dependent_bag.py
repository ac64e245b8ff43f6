"""Members of an object of which some come only with others (`dependentRequired`).

What is owed follows from the members that are there, so it needs no memory where they mix freely.
In an ordered object those passed over look like those taken; a frame then also remembers, above the
bits of `used`, the needed members that are there or are owed, as long as that matters.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from ..ir.needs import Need, companions
from .scopes import Bag

_KEPT = 1024


def with_needs(bag: Bag, needs: tuple[Need, ...]) -> Bag:
    """The same members, of which some need others."""
    if not needs:
        return bag
    with_each = companions(bag.count, needs)
    # what is required in any case is owed to no one
    owes = [others & ~(bag.required | 1 << i) for i, others in enumerate(with_each)]
    owed_later = [0]
    for owed in reversed(owes[1:]):
        owed_later.append(owed_later[-1] | owed)
    return DependentBag(
        bag.after,
        bag.separator,
        bag.keys,
        bag.extra,
        bag.count,
        bag.required,
        bag.min,
        bag.max,
        bag.ordered,
        tuple(owes),
        tuple(reversed(owed_later)),
    )


@dataclass(frozen=True, slots=True)
class DependentBag(Bag):
    """Sets of members are bits, here too.

    Attributes:
        owes: per member, those that must be there with it.
        owed_later: per member, those that must be there with one that follows it.
    """

    owes: tuple[int, ...] = ()
    owed_later: tuple[int, ...] = ()
    _known: dict[tuple[int, int], int] = field(default_factory=dict, compare=False)

    def may_end(self, used: int, taken: int) -> bool:
        return not self._missing(used) and taken >= self.min

    def takes(self, used: int, taken: int) -> int:
        key = (used, taken)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
            found = self._known[key] = self._find_takes(used, taken)
        return found

    def _find_takes(self, used: int, taken: int) -> int:
        possible: list[int] = []
        missing = self._missing(used)
        for member, owed in enumerate(self.owes):
            bit = 1 << member
            if used & bit:
                continue
            if self.ordered:
                if missing & (bit - 1):
                    break
                if self._is_barred(member, bit - 1, used):
                    continue
            least = taken + ((missing | owed) & ~used | bit).bit_count()
            if self.max is not None and least > self.max:
                continue
            possible.append(member)
        # what can follow a member can follow those before it, too, and so can the member itself
        end = bisect_left(
            possible, True, key=lambda member: not self._leaves_enough(member, used, taken)
        )
        return sum(1 << member for member in possible[:end])

    def takes_extra(self, used: int, taken: int) -> bool:
        missing = self._missing(used)
        if self.extra is None or (self.ordered and missing):
            return False
        return self.max is None or taken + missing.bit_count() < self.max

    def after_taking(self, member: int, used: int, taken: int) -> tuple[int, int]:
        if not self.ordered:
            return used | 1 << member, self._counted(taken)
        done = (2 << member) - 1
        known = used >> self.count | self.owes[member] | 1 << member
        return done | (known & (~done | self.owed_later[member])) << self.count, self._counted(
            taken
        )

    def _missing(self, used: int) -> int:
        """What must still come."""
        needed = self.required | used >> self.count
        if not self.ordered:
            for member, owed in enumerate(self.owes):
                if owed and used >> member & 1:
                    needed |= owed
        return needed & ~used

    def _is_barred(self, member: int, before: int, used: int) -> bool:
        """Whether this member needs one of those `before` the place that is not there."""
        return bool(self.owes[member] & before & ~(used >> self.count))

    def _leaves_enough(self, member: int, used: int, taken: int) -> bool:
        """Whether enough members can follow this one, where only declared ones can."""
        lacking = self.min - taken - 1
        if lacking <= 0 or self.extra is not None or not self.ordered:
            return True
        after, _ = self.after_taking(member, used, taken)
        absent = (2 << member) - 1 & ~(after >> self.count)
        barred = sum(bool(owed & absent) for owed in self.owes[member + 1 :])
        return lacking <= self.count - member - 1 - barred

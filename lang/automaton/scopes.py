"""What a stack frame of the automaton can count or remember, and what follows from it.

A frame holds two numbers (or a set, or a text) that mean what its scope says: the iterations a
`Loop` must and may still run; the members an object (`Bag`) has taken, and how many; the values a
list (`Distinct`) has seen; the text of the `Value` that is being written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Loop:
    """A counted repetition: `body`, which ends in RETURN, `min` to `max` times; then `after`."""

    body: int
    after: int
    min: int
    max: int | None


@dataclass(frozen=True, slots=True)
class Distinct:
    """`body`, in which the `Value`s differ; then `after`."""

    body: int
    after: int


@dataclass(frozen=True, slots=True)
class Value:
    """`body`, a JSON value that the innermost `Distinct` has not seen; then `after`."""

    body: int
    after: int


@dataclass(frozen=True, slots=True)
class Bag:
    """The members of an object. Sets of declared members are bits of a number.

    A frame's `used` are the declared members that can no longer come: those taken, and in an
    ordered object those passed over.

    Attributes:
        after: state after the last member.
        separator: state before the separator; it leads to a NEXT_MEMBER move.
        keys: root of the trie of declared keys; None if there are none.
        extra: state of a TAKE_EXTRA move; None if there can be no extra member.
        count: number of declared members; `required`: those that must come.
    """

    after: int
    separator: int
    keys: int | None
    extra: int | None
    count: int
    required: int
    min: int
    max: int | None
    ordered: bool

    def may_end(self, used: int, taken: int) -> bool:
        """Whether the object may end after `taken` members."""
        return not self.required & ~used and taken >= self.min

    def takes(self, used: int, taken: int) -> int:
        """The declared members that can come next."""
        possible = ~used & ((1 << self.count) - 1)
        missing = self.required & ~used
        if self.max is not None:
            room = self.max - taken - missing.bit_count()
            if room <= 0:
                possible &= missing if room == 0 else 0
        if self.ordered:
            if missing:
                possible &= ((missing & -missing) << 1) - 1
            if self.extra is None and self.min > taken:
                possible &= (1 << (self.count - (self.min - taken) + 1)) - 1
        return possible

    def takes_extra(self, used: int, taken: int) -> bool:
        """Whether an undeclared member can come next."""
        missing = self.required & ~used
        if self.extra is None or (self.ordered and missing):
            return False
        return self.max is None or taken + missing.bit_count() < self.max

    def after_taking(self, member: int, used: int, taken: int) -> tuple[int, int]:
        """(used, taken) once declared member number `member` has come."""
        used = (2 << member) - 1 if self.ordered else used | 1 << member
        return used, self._counted(taken)

    def after_extra(self, used: int, taken: int) -> tuple[int, int]:
        """(used, taken) once an undeclared member has come."""
        return (1 << self.count) - 1 if self.ordered else used, self._counted(taken)

    def _counted(self, taken: int) -> int:
        # without an upper bound nothing depends on how far the lower one is exceeded
        return taken + 1 if self.max is not None else min(taken + 1, self.min)


Scope: TypeAlias = Loop | Bag | Distinct | Value

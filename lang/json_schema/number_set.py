"""Sets of numbers as schemas describe them: bounds, multiples, integers, and what is excluded."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

from ..errors import SchemaError
from ..ir.nodes import NEVER, Node
from ..regular.nfa import TooLarge
from .multiples import least_common_multiple
from .number_node import number_node
from .scientific import LARGEST

Edge: TypeAlias = tuple[Decimal, bool]
"""A bound, and whether it is itself outside."""

_MAX_TRIED = 100_000
"""Multiples that are looked at to find one that is in a set."""

_CACHED_NODES = 1024


@dataclass(frozen=True, slots=True)
class NumberSet:
    """A set of numbers: those that satisfy every field. Numbers are decimals, exact ones.

    Attributes:
        low, high: the bounds.
        multiples, not_multiples: numbers above zero that divide, and do not divide, the value.
        integer: True for whole numbers only (1.0 is one), False for the others only.
        excluded: values that are not in the set.
        path: where errors point.
    """

    low: Edge | None = None
    high: Edge | None = None
    multiples: tuple[Decimal, ...] = ()
    not_multiples: tuple[Decimal, ...] = ()
    integer: bool | None = None
    excluded: frozenset[Decimal] = frozenset()
    path: str = "$"

    def __and__(self, other: NumberSet) -> NumberSet:
        """What is in both; errors point to this one's path."""
        kinds = {self.integer, other.integer} - {None}
        both = (Decimal(1),) if len(kinds) == 2 else ()
        return NumberSet(
            _tighter(self.low, other.low, 1),
            _tighter(self.high, other.high, -1),
            _joined(self.multiples, other.multiples),
            _joined(self.not_multiples, other.not_multiples, both),
            True if True in kinds else False if False in kinds else None,
            self.excluded | other.excluded,
            self.path,
        )

    def negated(self) -> list[NumberSet]:
        """Sets that hold all other numbers between them; they may overlap."""
        path = self.path
        others = [
            *(NumberSet(not_multiples=(number,), path=path) for number in self.multiples),
            *(NumberSet(multiples=(number,), path=path) for number in self.not_multiples),
            *(
                NumberSet((value, False), (value, False), path=path)
                for value in sorted(self.excluded)
            ),
        ]
        if self.low is not None:
            others.append(NumberSet(high=(self.low[0], not self.low[1]), path=path))
        if self.high is not None:
            others.append(NumberSet(low=(self.high[0], not self.high[1]), path=path))
        if self.integer is not None:
            others.append(NumberSet(integer=not self.integer, path=path))
        return others

    def contains(self, value: int | float | Decimal) -> bool:
        """Whether `value` is in the set; a float is the decimal that it is written as."""
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if not number.is_finite() or number in self.excluded:
            return False
        if self.low is not None and _is_outside(number, self.low, 1):
            return False
        if self.high is not None and _is_outside(number, self.high, -1):
            return False
        return self._divides(Fraction(number))

    def is_empty(self) -> bool:
        """Whether no number is in the set. Raises SchemaError if that takes too long to tell."""
        low = None if self.low is None else Fraction(self.low[0])
        high = None if self.high is None else Fraction(self.high[0])
        step = self.step
        if step is None:
            # what is not allowed are single points in an interval
            if low is None or high is None or low < high:
                return low is not None and high is not None and low > high
            return low > high or not self.contains(self.low[0] if self.low else 0)
        if not self._divides(step):
            return True  # every multiple of the step is refused with it
        if low is None or high is None:
            return False
        first, last = math.ceil(low / step), math.floor(high / step)
        for count in range(first, min(last, first + _MAX_TRIED) + 1):
            if self._holds(count * step):
                return False
        if last - first > _MAX_TRIED:
            raise SchemaError(
                "too many numbers are excluded to tell whether one is left", self.path, "multipleOf"
            )
        return True

    def node(self, *, integral_floats: bool = False, extremes: bool = False) -> Node:
        """The JSON numbers of the set: a node without references.

        `integral_floats`: whole numbers may also be written with a fraction of zeros, or as -0.
        `extremes`: exponents go as far as a double does, instead of to 299.
        Raises SchemaError, with path and keyword, for what has no grammar or too large a one.
        """
        for name, edge, sign in (("minimum", self.low, 1), ("maximum", self.high, -1)):
            if edge is not None and edge[0] * sign >= LARGEST:
                raise SchemaError(
                    f"only numbers beyond {LARGEST} are left, which a double cannot hold",
                    self.path,
                    name,
                )
        try:
            return _node(replace(self, path=""), integral_floats, extremes)
        except TooLarge as error:
            raise SchemaError(
                "the multiples and excluded numbers within these bounds need too large an "
                "automaton; use fewer and smaller ones",
                self.path,
                "multipleOf",
            ) from error

    @property
    def step(self) -> Fraction | None:
        """What all numbers of the set are multiples of; None if there is no such number."""
        multiples = [*self.multiples, *([Decimal(1)] if self.integer else [])]
        return least_common_multiple(multiples) if multiples else None

    @property
    def avoided(self) -> tuple[Fraction, ...]:
        """What no number of the set is a multiple of."""
        whole = [Fraction(1)] if self.integer is False else []
        return tuple(dict.fromkeys([*map(Fraction, self.not_multiples), *whole]))

    def _divides(self, number: Fraction) -> bool:
        """Whether `number` is a multiple of what it must be, and of nothing that it must not be."""
        step = self.step
        return (step is None or (number / step).denominator == 1) and all(
            (number / avoided).denominator != 1 for avoided in self.avoided
        )

    def _holds(self, number: Fraction) -> bool:
        """`contains`, for a number with a finite decimal."""
        return (
            self._divides(number)
            and all(number != Fraction(value) for value in self.excluded)
            and not (self.low is not None and self.low[1] and number == Fraction(self.low[0]))
            and not (self.high is not None and self.high[1] and number == Fraction(self.high[0]))
        )


def _tighter(one: Edge | None, other: Edge | None, sign: int) -> Edge | None:
    """The stricter of two lower (`sign` 1) or upper (-1) bounds."""
    edges = [edge for edge in (one, other) if edge is not None]
    return max(edges, key=lambda edge: (edge[0] * sign, edge[1]), default=None)


def _is_outside(number: Decimal, edge: Edge, sign: int) -> bool:
    value, exclusive = edge
    if number == value:
        return exclusive
    return (number < value) == (sign > 0)


def _joined(*parts: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
    return tuple(dict.fromkeys(number for part in parts for number in part))


@lru_cache(_CACHED_NODES)
def _node(numbers: NumberSet, integral_floats: bool, extremes: bool) -> Node:
    return NEVER if numbers.is_empty() else number_node(numbers, integral_floats, extremes)

"""How many values there are, where that is plain: lists of distinct ones are no longer."""

from __future__ import annotations

import math
from fractions import Fraction

from .build import Build
from .demand import ANYTHING, Demand
from .number_set import NumberSet
from .shapes import Listed, shapes_of
from .string_set import StringSet


def most_values(demand: Demand, build: Build) -> int | None:
    """How many values satisfy the demand at most, if that is plain."""
    if demand is ANYTHING:
        return None
    total = 0
    for shape in shapes_of(build.alternatives.cases(demand)):
        match shape:
            case Listed(values=values):
                count: int | None = len(values)
            case NumberSet():
                count = _most_numbers(shape)
            case StringSet():
                count = shape.most()
            case _:
                return None
        if count is None:
            return None
        total += count
    return total


def _most_numbers(numbers: NumberSet) -> int | None:
    """The multiples of the step that lie between the bounds."""
    if numbers.step is None or numbers.low is None or numbers.high is None:
        return None
    (low, without_low), (high, without_high) = numbers.low, numbers.high
    first, last = Fraction(low) / numbers.step, Fraction(high) / numbers.step
    least = math.floor(first) + 1 if without_low else math.ceil(first)
    most = math.ceil(last) - 1 if without_high else math.floor(last)
    return max(0, most - least + 1)

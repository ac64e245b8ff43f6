"""Bounded numbers in scientific notation, as `json.dumps` and JavaScript write extreme ones.

The mantissa has one digit before the point, so that the exponent alone says how large the number
is: all exponents between those of the bounds are free, and at a bound the mantissa is a bounded
decimal. Python writes floats this way below 1e-4 and from 1e16 on. What a double cannot hold is not
written: it would be read as zero or as infinity.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from ..ir.nodes import NEVER, Alt, CharClass, Literal, Node, Repeat, Seq
from .numbers import DIGIT, FRACTION, integer_range, mantissa_range
from .span import Span

SMALLEST = Decimal(repr(math.ulp(0.0)))
"""The smallest double above zero."""

LARGEST = Decimal(repr(sys.float_info.max))
"""The largest finite double."""


class Exponents(NamedTuple):
    """The exponents of numbers in scientific notation: of small numbers, and of large ones."""

    tiny: Span
    huge: Span


WRITTEN = Exponents(Span(-299, -5), Span(16, 299))
"""With a margin to what a double can hold, so that their grammar is short."""

FINITE = Exponents(Span(SMALLEST.adjusted(), -5), Span(16, LARGEST.adjusted()))
"""Everything that a double can hold."""

_MANTISSA = Seq((CharClass(((0x31, 0x39),)), FRACTION))
_E = CharClass(((0x45, 0x45), (0x65, 0x65)))
_MINUS = Literal("-")


def scientific_range(low: Decimal | None, high: Decimal | None, exponents: Span) -> Node:
    """The numbers x with low <= x <= high whose exponent is in `exponents`, either sign.

    A bound of None is absent. Zero is none of them, nor is what no double is near.
    """
    options: list[Node] = []
    if high is None or high > 0:
        options += _positive(max(low or Decimal(0), Decimal(0)), high, exponents)
    if low is None or low < 0:
        least = Decimal(0) if high is None or high >= 0 else -high
        blocks = _positive(least, None if low is None else -low, exponents)
        options += [Seq((_MINUS, block)) for block in blocks]
    return _alt(options)


def rounded_mantissa(exponents: Span, digits: int) -> Node:
    """Numbers with at most `digits` digits behind the point, without a sign; zeros may follow."""
    zeros = Repeat(Literal("0"), 0, None)
    some = Seq((Literal("."), Repeat(DIGIT, 1, digits), zeros))
    none = Seq((Literal(".0"), zeros))
    tail = Repeat(some if digits else none, 0, 1)
    return Seq((CharClass(((0x31, 0x39),)), tail, exponent_node(exponents)))


def _positive(low: Decimal, high: Decimal | None, exponents: Span) -> Iterator[Node]:
    assert exponents.high is not None
    low = max(low, SMALLEST)
    high = LARGEST if high is None else min(high, LARGEST)
    first = max(exponents.low, low.adjusted())
    last = min(exponents.high, high.adjusted())
    for exponent in sorted({first, last}):
        if first <= exponent <= last:
            least, most = low.scaleb(-exponent), high.scaleb(-exponent)
            free = least <= 1 and most >= 10
            at_most = None if most >= 10 else most
            mantissa = _MANTISSA if free else mantissa_range(max(least, Decimal(1)), at_most)
            yield Seq((mantissa, exponent_node(Span(exponent, exponent))))
    if first + 1 <= last - 1:
        yield Seq((_MANTISSA, exponent_node(Span(first + 1, last - 1))))


def exponent_node(exponents: Span) -> Node:
    """`e` and a number, which may have a plus and, below ten, a leading zero."""
    low, high = exponents.low, exponents.high
    assert high is not None
    if low < 0:
        sign: Node = _MINUS
        low, high = -high, -low
    else:
        sign = Repeat(Literal("+"), 0, 1)
    options: list[Node] = []
    if low < 10:
        one_digit = integer_range(low, min(high, 9))
        options.append(Seq((Repeat(Literal("0"), 0, 1), one_digit)))
    if high >= 10:
        options.append(integer_range(max(low, 10), high))
    return Seq((_E, sign, _alt(options)))


def _alt(options: list[Node]) -> Node:
    if not options:
        return NEVER
    return options[0] if len(options) == 1 else Alt(tuple(options))

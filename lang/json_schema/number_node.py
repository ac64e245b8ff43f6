"""The grammar of a set of numbers.

Whole numbers have one spelling, without a point or an exponent. Other numbers are plain decimals,
and where they are extreme also in scientific notation (`scientific.py`). What bounds alone
cannot say, multiples and excluded values, is done on automata of plain decimals.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor, inf
from typing import TYPE_CHECKING

from ..ir.nodes import NEVER, Alt, Literal, Node, Repeat, Seq, Terminal
from ..regular.dfa_texts import of_texts
from ..regular.table import Table, combine
from .multiples import multiples
from .numbers import DECIMAL, INTEGER, NUMBER, decimal_range, inclusive, integer_range
from .scientific import (
    FINITE,
    LARGEST,
    WRITTEN,
    Exponents,
    exponent_node,
    rounded_mantissa,
    scientific_range,
)
from .span import Span

if TYPE_CHECKING:
    from .number_set import Edge, NumberSet

_MAX_LISTED = 200
_TINY_BOUND = Fraction(1, 10_000)
_HUGE_BOUND = 10**16
_ANY_EXPONENT = (
    NUMBER,
    scientific_range(None, None, Span(FINITE.tiny.low, WRITTEN.tiny.low)),
    scientific_range(None, None, Span(WRITTEN.huge.high or 0, FINITE.huge.high)),
)
_ZEROS = Repeat(Literal("0"), 0, None)
_ZERO_FRACTION = Repeat(Seq((Literal(".0"), _ZEROS)), 0, 1)


def number_node(numbers: NumberSet, integral_floats: bool, extremes: bool) -> Node:
    """The texts of a set that is not empty. Raises TooLarge."""
    exponents = FINITE if extremes else WRITTEN
    if numbers.integer:
        return Terminal(_integers(numbers, integral_floats, exponents))
    return Terminal(_decimals(numbers, exponents))


def listed_integers(values: Iterable[int]) -> Node:
    """Exactly these whole numbers, with or without a fraction of zeros, in one automaton."""
    texts = {str(value) for value in values}
    if "0" in texts:
        texts.add("-0")
    return Terminal(Seq((of_texts(sorted(texts)), _ZERO_FRACTION)))


def _integers(numbers: NumberSet, integral_floats: bool, exponents: Exponents) -> Node:
    low, high = _whole_bounds(numbers)
    node = _plain_integers(numbers, low, high)
    if not integral_floats:
        return node
    options: list[Node] = [Seq((node, _ZERO_FRACTION))]
    if numbers.contains(0):
        options.append(Seq((Literal("-0"), _ZERO_FRACTION)))
    if numbers.step == 1 and not numbers.avoided and not _extreme(numbers):
        least, most = None if low is None else Decimal(low), None if high is None else Decimal(high)
        options.append(scientific_range(least, most, exponents.huge))
    return Alt(tuple(option for option in options if option != NEVER))


def _whole_bounds(numbers: NumberSet) -> tuple[int | None, int | None]:
    low = high = None
    if (edge := _bound(numbers.low)) is not None:
        low = floor(edge[0]) + 1 if edge[1] else ceil(edge[0])
    if (edge := _bound(numbers.high)) is not None:
        high = ceil(edge[0]) - 1 if edge[1] else floor(edge[0])
    return low, high


def _plain_integers(numbers: NumberSet, low: int | None, high: int | None) -> Node:
    step = numbers.step
    assert step is not None
    size = step.numerator  # the step of whole numbers is whole
    if low is not None and high is not None and (high - low) // size < _MAX_LISTED and size > 1:
        listed = range(-(-low // size) * size, high + 1, size)
        return Alt(tuple(Literal(str(n)) for n in listed if numbers.contains(n)))
    within = INTEGER if low is high is None else integer_range(low, high)
    values = [v for v in numbers.excluded if v == v.to_integral_value() and _in(v, low, high)]
    if size == 1 and not numbers.avoided and not values:
        return within
    required = [Table.of_node(within), *([multiples(step)] if size > 1 else [])]
    forbidden = [multiples(number) for number in numbers.avoided]
    if values:
        forbidden.append(Table.of_node(of_texts(str(int(value)) for value in values)))
    return combine(required, forbidden).dfa


def _in(value: Decimal, low: int | None, high: int | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _decimals(numbers: NumberSet, exponents: Exponents) -> Node:
    low, high = _bound(numbers.low), _bound(numbers.high)
    step, avoided, excluded = numbers.step, numbers.avoided, numbers.excluded
    if low is None and high is None and step is None and not avoided and not excluded:
        return NUMBER if exponents == WRITTEN else Alt(_ANY_EXPONENT)
    least = None if low is None else inclusive(*low, inf)
    most = None if high is None else inclusive(*high, -inf)
    plain = DECIMAL if low is high is None else decimal_range(least, most)
    if exponents == FINITE:
        # -0 is 0; and whole numbers are read exactly, however large
        zero = Seq((Literal("-0"), _ZERO_FRACTION)) if numbers.contains(0) else NEVER
        large = max((abs(edge[0]) for edge in (low, high) if edge), default=0) > 2**53
        whole = integer_range(*_whole_bounds(numbers)) if large else NEVER
        plain = Alt(tuple(option for option in (plain, zero, whole) if option != NEVER))
    if step is not None or avoided or excluded:
        required = [Table.of_node(plain), *([] if step is None else [multiples(step)])]
        forbidden = [multiples(number) for number in avoided]
        if excluded:
            forbidden.append(Table.of_node(Alt(tuple(map(_spelled, excluded)))))
        table = combine(required, forbidden)
        plain = NEVER if table.is_empty else table.dfa
    # an exclusive zero is no bound for what has an exponent: no such number is zero
    least = Decimal(0) if low is not None and not low[0] else least
    most = Decimal(0) if high is not None and not high[0] else most
    options = [plain, *_scientific(numbers, least, most, exponents)]
    options = [option for option in options if option != NEVER]
    return options[0] if len(options) == 1 else Alt(tuple(options))


def _scientific(
    numbers: NumberSet, low: Decimal | None, high: Decimal | None, exponents: Exponents
) -> list[Node]:
    """The parts that are written with an exponent."""
    step = numbers.step
    excluded = _extreme(numbers)
    parts: list[Node] = []
    if all(number >= _TINY_BOUND for number in numbers.avoided):
        if step is None:
            parts.append(scientific_range(low, high, exponents.tiny))
        elif step.numerator == 1 and not excluded:
            parts += _rounded(step.denominator, low, high, exponents.tiny)
    if not numbers.avoided and (step is None or (1 / step).denominator == 1):
        parts.append(scientific_range(low, high, exponents.huge))
    if not excluded:
        return parts
    spelled = [Table.of_node(_spelled_scientific(value)) for value in excluded]
    tables = [combine([Table.of_node(part)], spelled) for part in parts if part != NEVER]
    return [table.dfa for table in tables if not table.is_empty]


def _rounded(denominator: int, low: Decimal | None, high: Decimal | None, tiny: Span) -> list[Node]:
    """Tiny multiples of a power of ten: 1.5e-05 is one of 1e-06. Only where no bound is near."""
    places = len(str(denominator)) - 1
    if 10**places != denominator:
        return []
    parts: list[Node] = []
    for exponent in range(max(tiny.low, -places), (tiny.high or 0) + 1):
        one = rounded_mantissa(Span(exponent, exponent), places + exponent)
        top = Decimal(1).scaleb(exponent + 1)
        if (low is None or low <= 0) and (high is None or high >= top):
            parts.append(one)
        if (high is None or high >= 0) and (low is None or low <= -top):
            parts.append(Seq((Literal("-"), one)))
    return parts


def _extreme(numbers: NumberSet) -> list[Decimal]:
    """The excluded values that are also written with an exponent."""
    return [
        value
        for value in numbers.excluded
        if abs(value) >= _HUGE_BOUND or (value and abs(value) < _TINY_BOUND)
    ]


def _spelled(value: Decimal) -> Node:
    """Every plain decimal that equals `value`."""
    digits = format(abs(value), "f")
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    sign = Literal("-") if value < 0 else Repeat(Literal("-"), 0, 0 if value else 1)
    tail = Seq((Literal(f".{fraction}"), _ZEROS)) if fraction else _ZERO_FRACTION
    return Seq((sign, Literal(whole), tail))


def _spelled_scientific(value: Decimal) -> Node:
    """Every text with an exponent that equals `value` and has one digit before its point."""
    exponent = value.adjusted()
    mantissa = _spelled(value.scaleb(-exponent))
    return Seq((mantissa, exponent_node(Span(exponent, exponent))))


def _bound(edge: Edge | None) -> Edge | None:
    """The bound, or None if every double is within it."""
    return None if edge is None or abs(edge[0]) >= LARGEST else edge

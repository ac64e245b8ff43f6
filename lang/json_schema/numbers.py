"""Exact grammars for bounded integers and decimals.

A bound cuts the digit strings into blocks that share a literal prefix, then one digit of a range,
then free digits (`x <= 457` is `[1-3]dd | 4[0-4]d | 45[0-6] | 457` and fewer digits); the blocks
are listed flat, so that the nesting does not grow with the number of digits.

Numbers are read back as doubles, and a validator compares those. Rounding is monotone, so a decimal
within inclusive bounds stays within them; an exclusive bound is first turned into an inclusive one,
the shortest decimal of the neighbouring double, so that no text can round onto the bound itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal

from ..ir.nodes import EMPTY, NEVER, Alt, CharClass, Literal, Node, Repeat, Seq

DIGIT = CharClass(((0x30, 0x39),))
NON_ZERO = CharClass(((0x31, 0x39),))
_DIGITS = Repeat(DIGIT, 0, None)
FRACTION = Repeat(Seq((Literal("."), Repeat(DIGIT, 1, None))), 0, 1)
"""A point and digits, or nothing."""

_NATURAL = Alt((Literal("0"), Seq((NON_ZERO, _DIGITS))))

# An exponent of at most 299 keeps numbers with an ordinary mantissa finite in a double.
_EXPONENT = Seq(
    (
        CharClass(((0x45, 0x45), (0x65, 0x65))),
        Repeat(CharClass(((0x2B, 0x2B), (0x2D, 0x2D))), 0, 1),
        Repeat(CharClass(((0x31, 0x32),)), 0, 1),
        Repeat(DIGIT, 1, 2),
    )
)
INTEGER: Node = Alt((Literal("0"), Seq((Repeat(Literal("-"), 0, 1), NON_ZERO, _DIGITS))))
"""Any integer, without `-0` or leading zeros."""

NUMBER: Node = Seq((Repeat(Literal("-"), 0, 1), _NATURAL, FRACTION, Repeat(_EXPONENT, 0, 1)))
"""Any JSON number with an exponent below 300."""

DECIMAL: Node = Seq((Repeat(Literal("-"), 0, 1), _NATURAL, FRACTION))
"""Any JSON number without an exponent."""

_SMALLEST = Decimal("1e-16")


def integer_range(low: int | None, high: int | None) -> Node:
    """The integers x with low <= x <= high, as decimal text; a bound of None is absent.

    Each integer has one spelling: no leading zeros, no `-0`. Nothing matches if low > high.
    """
    if low is None and high is None:
        return INTEGER
    options: list[Node] = []
    if low is None or low < 0:
        least = 1 if high is None or high >= 0 else -high
        options += [
            Seq((Literal("-"), block)) for block in _naturals(least, None if low is None else -low)
        ]
    if high is None or high >= 0:
        options += _naturals(max(low or 0, 0), high)
    return _alt(options)


def decimal_range(low: Decimal | None, high: Decimal | None) -> Node:
    """The plain decimals (`-?int(.digits)?`) x with low <= x <= high; a bound of None is absent."""
    options: list[Node] = []
    if low is None or low < 0:
        least = Decimal(0) if high is None or high >= 0 else -high
        options += [
            Seq((Literal("-"), block)) for block in _decimals(least, None if low is None else -low)
        ]
    if high is None or high >= 0:
        options += _decimals(max(low or Decimal(0), Decimal(0)), high)
    return _alt(options)


def mantissa_range(low: Decimal, high: Decimal | None) -> Node:
    """The plain decimals x with 1 <= low <= x <= high < 10; a bound of None is absent."""
    if high is not None:
        return decimal_range(low, high)
    whole, fraction = _split(low)
    options: list[Node] = [Seq((Literal(str(whole)), _fraction(fraction, None)))]
    if whole < 9:
        options.append(Seq((CharClass(((0x31 + whole, 0x39),)), FRACTION)))
    return _alt(options)


def inclusive(bound: Decimal, exclusive: bool, towards: float) -> Decimal:
    """The bound, moved `towards` so that no text within it is read as a double beyond it.

    Above an exclusive zero the smallest number is 1e-16.
    """
    if exclusive and bound == 0:
        return _SMALLEST.copy_sign(Decimal(towards))
    near = float(bound)
    if exclusive:
        return Decimal(repr(math.nextafter(near, towards)))
    if abs(bound) > 2**53 and (near < bound if towards > 0 else near > bound):
        return Decimal(math.nextafter(near, towards))
    return bound


def _naturals(low: int, high: int | None) -> Iterator[Node]:
    """Blocks of the natural numbers in [low, high], by number of digits."""
    if high is not None and low > high:
        return
    if low == 0:
        yield Literal("0")
        if high == 0:
            return
        low = 1
    first, last = str(low), None if high is None else str(high)
    if last is not None and len(first) == len(last):
        yield from _between(first, last)
        return
    if first == "1" + "0" * (len(first) - 1):
        shortest = len(first)
    else:
        yield from _between(first, "9" * len(first))
        shortest = len(first) + 1
    longest = None if last is None else len(last) - 1
    if longest is None or shortest <= longest:
        yield Seq((NON_ZERO, Repeat(DIGIT, shortest - 1, None if longest is None else longest - 1)))
    if last is not None:
        yield from _between("1" + "0" * (len(last) - 1), last)


def _between(low: str, high: str) -> Iterator[Node]:
    """Blocks of the digit strings in [low, high], all of the same length."""
    if low == high:
        yield Literal(low)
        return
    at = next(i for i, (a, b) in enumerate(zip(low, high, strict=True)) if a != b)
    prefix, rest = low[:at], len(low) - at - 1
    first, last = int(low[at]), int(high[at])
    if set(low[at + 1 :]) <= {"0"}:
        first -= 1
    else:
        for i in range(at + 1, len(low)):
            yield from _block(low[:i], int(low[i]) + 1, 9, _digits(len(low) - i - 1))
        yield Literal(low)
    if set(high[at + 1 :]) <= {"9"}:
        last += 1
    yield from _block(prefix, first + 1, last - 1, _digits(rest))
    if last == int(high[at]):
        for i in range(at + 1, len(high)):
            yield from _block(high[:i], 0, int(high[i]) - 1, _digits(len(high) - i - 1))
        yield Literal(high)


def _decimals(low: Decimal, high: Decimal | None) -> Iterator[Node]:
    """Blocks of the decimals in [low, high], low >= 0, by integer part."""
    if high is not None and low > high:
        return
    low_int, low_fraction = _split(low)
    high_int, high_fraction = (None, "") if high is None else _split(high)
    if high_int == low_int:
        yield Seq((Literal(str(low_int)), _fraction(low_fraction, high_fraction)))
        return
    if low_fraction:
        yield Seq((Literal(str(low_int)), _fraction(low_fraction, None)))
        low_int += 1
    for block in _naturals(low_int, None if high_int is None else high_int - 1):
        yield Seq((block, FRACTION))
    if high_int is not None:
        yield Seq((Literal(str(high_int)), _fraction("", high_fraction)))


def _split(value: Decimal) -> tuple[int, str]:
    whole, _, fraction = format(value, "f").partition(".")
    return int(whole), fraction.rstrip("0")


def _fraction(low: str, high: str | None) -> Node:
    """The fractions, with their point, in [0.low, 0.high]; without a point is zero.

    `low` and `high` have no trailing zeros; a `high` of None is no bound.
    """
    options: list[Node] = [] if low else [EMPTY]
    tails = _fraction_tails(low, high)
    options += [Seq((Literal("."), tail)) for tail in tails]
    return _alt(options)


def _fraction_tails(low: str, high: str | None) -> Iterator[Node]:
    """At least one digit each."""
    if high is None:
        yield from _tails_at_least(low, 0)
        return
    width = max(len(low), len(high))
    padded_low, padded_high = low.ljust(width, "0"), high.ljust(width, "0")
    if padded_low == padded_high:
        for i in range(max(len(low), 1), len(high) + 1):
            yield Literal(high[:i])
        yield Seq((Literal(high), Repeat(Literal("0"), 1, None)))
        return
    at = next(i for i, (a, b) in enumerate(zip(padded_low, padded_high, strict=True)) if a != b)
    for i in range(max(len(low), 1), at + 1):
        yield Literal(high[:i])
    yield from _block(high[:at], int(padded_low[at]) + 1, int(high[at]) - 1, _DIGITS)
    if at < len(low):
        yield from _tails_at_least(low, at + 1)
    else:
        yield Seq((Literal(padded_low[: at + 1]), _DIGITS))
    yield from _tails_at_most(high, at + 1)


def _tails_at_least(low: str, start: int) -> Iterator[Node]:
    for i in range(start, len(low)):
        yield from _block(low[:i], int(low[i]) + 1, 9, _DIGITS)
    yield Seq((Literal(low), _DIGITS if low else Repeat(DIGIT, 1, None)))


def _tails_at_most(high: str, start: int) -> Iterator[Node]:
    for i in range(start, len(high)):
        if i:
            yield Literal(high[:i])
        yield from _block(high[:i], 0, int(high[i]) - 1, _DIGITS)
    yield Seq((Literal(high), Repeat(Literal("0"), 0 if high else 1, None)))


def _block(prefix: str, first: int, last: int, rest: Node) -> Iterator[Node]:
    if first <= last:
        digit = CharClass(((0x30 + first, 0x30 + last),))
        items = tuple(node for node in (Literal(prefix), digit, rest) if node != EMPTY)
        yield items[0] if len(items) == 1 else Seq(items)


def _digits(count: int) -> Node:
    return Repeat(DIGIT, count, count) if count else EMPTY


def _alt(options: list[Node]) -> Node:
    if not options:
        return NEVER
    return options[0] if len(options) == 1 else Alt(tuple(options))

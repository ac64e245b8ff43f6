"""The multiples of a number as decimal text.

A multiple of 0.25 is a decimal that, moved two places, 25 divides. So the automaton reads digits
and keeps the remainder; behind the point it also counts the places, and past the last one that
matters only zeros follow. Numbers are decimals here: 0.07 is a multiple of 0.01, although a double
divided by a double is not 7.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from ..regular.alphabet import distinguish
from ..regular.nfa import MAX_STATES, TooLarge
from ..regular.table import Table, explore

_ALPHABET, _CLASSES = distinguish([((ord(char), ord(char)),) for char in "0123456789-."])
_CLASS = {numbers[0]: char for numbers, char in zip(_CLASSES, "0123456789-.", strict=True)}
_SYMBOLS = [_CLASS.get(number, "") for number in range(_ALPHABET.size)]


class _Read(NamedTuple):
    """What has been read: the last kind of symbol, the remainder, and places behind the point."""

    kind: str
    remainder: int = 0
    places: int = 0


def least_common_multiple(numbers: Iterable[Decimal]) -> Fraction:
    """The smallest positive number that is a multiple of each of the positive `numbers`."""
    fractions = [Fraction(number) for number in numbers]
    return Fraction(
        math.lcm(*(fraction.numerator for fraction in fractions)),
        math.gcd(*(fraction.denominator for fraction in fractions)),
    )


def multiples(of: Fraction) -> Table:
    """The plain decimals that are multiples of `of`, a positive decimal. Raises TooLarge."""
    places = 0
    while (of * 10**places).denominator != 1:
        places += 1
    divisor = (of * 10**places).numerator
    if divisor * (places + 1) > MAX_STATES:
        raise TooLarge

    def after(read: _Read, char: str) -> _Read | None:
        match read.kind, char:
            case "start", "-":
                return _Read("minus")
            case (("digits" | "zero"), "."):
                return _Read("point", read.remainder)
            case (("start" | "minus"), "0"):
                return _Read("zero")
            case (("start" | "minus" | "digits"), digit) if digit.isdecimal():
                return _Read("digits", (read.remainder * 10 + int(digit)) % divisor)
            case (("point" | "fraction"), digit) if digit.isdecimal():
                if read.places < places:
                    remainder = (read.remainder * 10 + int(digit)) % divisor
                    return _Read("fraction", remainder, read.places + 1)
                return _Read("fraction", 0, places) if digit == "0" and not read.remainder else None
        return None

    def accepts(read: _Read) -> bool:
        is_number = read.kind in ("zero", "digits", "fraction")
        return is_number and read.remainder * 10 ** (places - read.places) % divisor == 0

    def step(read: _Read) -> list[_Read | None]:
        return [after(read, char) for char in _SYMBOLS]

    return explore(_ALPHABET, _Read("start"), step, accepts)

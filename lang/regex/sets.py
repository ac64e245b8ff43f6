"""Sets of code points for the regex parser: the classes, their algebra, and what `(?i)` adds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import cache
from typing import TypeAlias

from ..ir.nodes import MAX_CODE_POINT, SURROGATES

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Sorted, disjoint, inclusive ranges of code points, without surrogates."""


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The ranges in order, joined where they touch or overlap, without surrogates."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    below, above = SURROGATES[0] - 1, SURROGATES[1] + 1
    parts = [
        part
        for low, high in joined
        for part in ((low, min(high, below)), (max(low, above), high))
        if part[0] <= part[1]
    ]
    return tuple(parts)


def complement(ranges: Ranges) -> Ranges:
    """Every code point that is not in `ranges`."""
    gaps: list[tuple[int, int]] = []
    start = 0
    for low, high in ranges:
        if start < low:
            gaps.append((start, low - 1))
        start = high + 1
    if start <= MAX_CODE_POINT:
        gaps.append((start, MAX_CODE_POINT))
    return union(gaps)


def intersection(a: Ranges, b: Ranges) -> Ranges:
    """The code points in both."""
    found: list[tuple[int, int]] = []
    i = j = 0
    while i < len(a) and j < len(b):
        low, high = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if low <= high:
            found.append((low, high))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def characters(text: str) -> Ranges:
    """The set of the characters of `text`."""
    return union((ord(char), ord(char)) for char in text)


ANY = complement(())
DIGIT = union([(0x30, 0x39)])
WORD = union([(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)])
SPACE = characters(" \t\n\r\f\v")
NOT_NEWLINE = complement(characters("\n"))
ECMA_SPACE = characters(
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
NOT_ECMA_NEWLINE = complement(characters("\n\r\u2028\u2029"))


def fold_case(ranges: Ranges) -> Ranges:
    """`ranges` with both cases of every letter in it that pairs one to one with its other case."""
    cases = _other_case()
    if sum(high - low for low, high in ranges) < len(cases):
        inside = (code for low, high in ranges for code in range(low, high + 1) if code in cases)
    else:
        lows = [low for low, _ in ranges]
        inside = (c for c in cases if c >= lows[0] and c <= ranges[bisect_right(lows, c) - 1][1])
    return union([*ranges, *((cases[code], cases[code]) for code in inside)])


_CASED_END = 0x20000
"""Planes 0 and 1: Unicode has letters with case nowhere else."""


@cache
def _other_case() -> dict[int, int]:
    """Every letter for which `swapcase` there and back is the letter, with its other case.

    So `(?i)k` does not match the Kelvin sign, nor `(?i)s` the long s: nobody means a model to
    write those.
    """
    cases: dict[int, int] = {}
    for code in range(_CASED_END):
        char = chr(code)
        upper = char.upper()
        if upper != char and len(upper) == 1 and upper.swapcase() == char:
            cases[code], cases[ord(upper)] = ord(upper), code
    return cases

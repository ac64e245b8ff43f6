"""Sets of code points for the regex parser: the classes, their algebra, and what `(?i)` adds."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import TypeAlias

from .ir import MAX_CODE_POINT, SURROGATES

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


def characters(text: str) -> Ranges:
    """The set of the characters of `text`."""
    return union((ord(char), ord(char)) for char in text)


ANY = complement(())
DIGIT = union([(0x30, 0x39)])
WORD = union([(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)])
SPACE = characters(" \t\n\r\f\v")
NOT_NEWLINE = complement(characters("\n"))


def fold_case(ranges: Ranges) -> Ranges:
    """`ranges` with both cases of every letter in it that pairs one to one with its other case."""
    added = [
        (other, other)
        for low, high in ranges
        for first, second in _case_pairs()
        for code, other in ((first, second), (second, first))
        if low <= code <= high
    ]
    return union([*ranges, *added])


_CASED_END = 0x20000
"""Planes 0 and 1: Unicode has letters with case nowhere else."""


@cache
def _case_pairs() -> tuple[tuple[int, int], ...]:
    """Lower and upper case of every letter for which `swapcase` there and back is the letter.

    So `(?i)k` does not match the Kelvin sign, nor `(?i)s` the long s: nobody means a model to
    write those.
    """
    pairs = []
    for code in range(_CASED_END):
        char = chr(code)
        upper = char.upper()
        if upper != char and len(upper) == 1 and upper.swapcase() == char:
            pairs.append((code, ord(upper)))
    return tuple(pairs)


def category(name: str) -> Ranges | None:
    """The code points of a general category (`Lu`, or all of `L`); None for an unknown name."""
    found = [
        pair for key, ranges in _categories().items() if key.startswith(name) for pair in ranges
    ]
    return union(found) or None


@cache
def _categories() -> dict[str, list[tuple[int, int]]]:
    table: dict[str, list[tuple[int, int]]] = {}
    for code in range(MAX_CODE_POINT + 1):
        runs = table.setdefault(unicodedata.category(chr(code)), [])
        if runs and runs[-1][1] == code - 1:
            runs[-1] = (runs[-1][0], code)
        else:
            runs.append((code, code))
    return table

"""Partitions of the code points into classes that a language does not tell apart.

Automata over Unicode have few reasons to look at a character: `[^\\s<>]*` knows two kinds. Working
on classes instead of code points makes set operations as cheap as the languages are simple, however
many ranges `\\p{L}` has.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..ir.nodes import MAX_CODE_POINT, SURROGATES
from ..regex.sets import Ranges

NO_CLASS = -1
"""The class of the surrogates, which no text holds."""


@dataclass(frozen=True, slots=True)
class Alphabet:
    """Interval i holds the code points from `starts[i]` up to the next start; they are all in the
    class `classes[i]`. The classes are `range(size)`."""

    starts: tuple[int, ...]
    classes: tuple[int, ...]
    size: int

    def of(self, char: str) -> int:
        """The class of a character, or NO_CLASS."""
        return self.classes[bisect_right(self.starts, ord(char)) - 1]

    def ends(self) -> Iterable[int]:
        """The last code point of each interval."""
        yield from (start - 1 for start in self.starts[1:])
        yield MAX_CODE_POINT


def distinguish(sets: Sequence[Ranges]) -> tuple[Alphabet, list[tuple[int, ...]]]:
    """The coarsest alphabet in which each set is a union of classes, and those classes, per set."""
    toggles: dict[int, int] = {0: 0, SURROGATES[0]: 0, SURROGATES[1] + 1: 0}
    for i, ranges in enumerate(sets):
        for low, high in ranges:
            toggles[low] = toggles.get(low, 0) ^ 1 << i
            toggles[high + 1] = toggles.get(high + 1, 0) ^ 1 << i
    toggles.pop(MAX_CODE_POINT + 1, None)
    starts = sorted(toggles)
    members: dict[int, int] = {}
    classes: list[int] = []
    inside = 0
    for start in starts:
        inside ^= toggles[start]
        is_surrogate = SURROGATES[0] <= start <= SURROGATES[1]
        classes.append(NO_CLASS if is_surrogate else members.setdefault(inside, len(members)))
    of_set: list[list[int]] = [[] for _ in sets]
    for inside, number in members.items():
        while inside:
            lowest = inside & -inside
            of_set[lowest.bit_length() - 1].append(number)
            inside ^= lowest
    return Alphabet(tuple(starts), tuple(classes), len(members)), [tuple(s) for s in of_set]


def join(alphabets: Sequence[Alphabet]) -> tuple[Alphabet, list[tuple[int, ...]]]:
    """The coarsest alphabet that refines all of these; per class, the class that it is in each."""
    if len(alphabets) == 1:
        return alphabets[0], [(number,) for number in range(alphabets[0].size)]
    starts = sorted({start for alphabet in alphabets for start in alphabet.starts})
    at = [0] * len(alphabets)
    members: dict[tuple[int, ...], int] = {}
    classes: list[int] = []
    for start in starts:
        for i, alphabet in enumerate(alphabets):
            if at[i] + 1 < len(alphabet.starts) and alphabet.starts[at[i] + 1] == start:
                at[i] += 1
        key = tuple(alphabet.classes[at[i]] for i, alphabet in enumerate(alphabets))
        classes.append(NO_CLASS if NO_CLASS in key else members.setdefault(key, len(members)))
    return Alphabet(tuple(starts), tuple(classes), len(members)), list(members)

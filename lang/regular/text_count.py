"""How many texts an automaton accepts."""

from __future__ import annotations

from collections import Counter

from .alphabet import NO_CLASS
from .table import DEAD, Table


def text_count(table: Table, limit: int) -> int | None:
    """The number of texts of `table`; None if there are more than `limit`, or endlessly many."""
    if table.is_empty:
        return 0
    if table.lengths[1] is None:
        return None
    alphabet = table.alphabet
    sizes = [0] * alphabet.size
    intervals = zip(alphabet.starts, alphabet.ends(), alphabet.classes, strict=True)
    for first, last, number in intervals:
        if number != NO_CLASS:
            sizes[number] += last - first + 1
    found, ways = 0, Counter({0: 1})
    while ways and found <= limit:  # as often as the longest text has characters
        found += sum(count for state, count in ways.items() if state in table.accepting)
        longer: Counter[int] = Counter()
        for state, count in ways.items():
            for number, to in enumerate(table.rows[state]):
                if to != DEAD:
                    longer[to] += count * sizes[number]
        ways = longer
    return found if found <= limit else None

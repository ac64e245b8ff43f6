"""Minimal automata (Hopcroft, 1971): equal languages are equal values, and products stay small."""

from __future__ import annotations

from collections.abc import Sequence

from .alphabet import NO_CLASS, Alphabet

Row = tuple[int, ...]


def minimal(
    alphabet: Alphabet, rows: Sequence[Row], accepting: set[int]
) -> tuple[Alphabet, tuple[Row, ...], frozenset[int]]:
    """The smallest automaton of the same language, numbered in the order in which it is reached.

    A target of -1 is no move. Every state can be reached from state 0, and all but it can be
    completed.
    """
    block_of = _partition(alphabet.size, rows, accepting)
    behaviour = {
        number: tuple(-1 if row[number] < 0 else block_of[row[number]] for row in rows)
        for number in dict.fromkeys(alphabet.classes)
        if number != NO_CLASS
    }
    columns: dict[Row, int] = {}
    for number, column in behaviour.items():
        columns.setdefault(column, number)
    order = [0]
    numbers = {block_of[0]: 0}
    renumbered: list[Row] = []
    for state in order:
        row: list[int] = []
        for number in columns.values():
            to = rows[state][number]
            if to >= 0 and block_of[to] not in numbers:
                numbers[block_of[to]] = len(order)
                order.append(to)
            row.append(to if to < 0 else numbers[block_of[to]])
        renumbered.append(tuple(row))
    finals = frozenset(i for i, state in enumerate(order) if state in accepting)
    new = {column: number for number, column in enumerate(columns)}
    joined = {number: new[column] for number, column in behaviour.items()}
    return _coarser(alphabet, joined, len(columns)), tuple(renumbered), finals


def _partition(classes: int, rows: Sequence[Row], accepting: set[int]) -> list[int]:
    """Per state, the number of its block: states of one block accept the same rests of texts."""
    sources: list[dict[int, list[int]]] = [{} for _ in range(classes)]
    leading_to: list[set[int]] = [set() for _ in rows]  # the classes
    for state, row in enumerate(rows):
        for number, to in enumerate(row):
            if to >= 0:
                sources[number].setdefault(to, []).append(state)
                leading_to[to].add(number)
    others = set(range(len(rows))) - accepting
    blocks = [block for block in (set(accepting), others) if block]
    block_of = [0] * len(rows)
    for number, block in enumerate(blocks):
        for state in block:
            block_of[state] = number
    waiting: set[tuple[int, int]] = set()

    def await_turn(number: int) -> None:
        columns = set[int]().union(*(leading_to[state] for state in blocks[number]))
        waiting.update((number, column) for column in columns)

    for number in range(len(blocks)):
        await_turn(number)
    while waiting:
        splitter, column = waiting.pop()
        of_column = sources[column]
        hit: dict[int, set[int]] = {}
        for state in blocks[splitter]:
            for source in of_column.get(state, ()):
                hit.setdefault(block_of[source], set()).add(source)
        for number, inside in hit.items():
            if len(inside) == len(blocks[number]):
                continue
            rest = blocks[number] - inside
            small, large = (inside, rest) if len(inside) <= len(rest) else (rest, inside)
            blocks[number] = large
            fresh = len(blocks)
            blocks.append(small)
            for state in small:
                block_of[state] = fresh
            # what waited for the whole block now waits for both halves, else the smaller will do
            await_turn(fresh)
    return block_of


def _coarser(alphabet: Alphabet, joined: dict[int, int], size: int) -> Alphabet:
    """The alphabet with some classes joined to one."""
    starts: list[int] = []
    classes: list[int] = []
    for start, old in zip(alphabet.starts, alphabet.classes, strict=True):
        new = NO_CLASS if old == NO_CLASS else joined[old]
        if not classes or classes[-1] != new:
            starts.append(start)
            classes.append(new)
    return Alphabet(tuple(starts), tuple(classes), size)

"""Deterministic automata as tables, for the set operations that the grammar IR has no node for.

A node without references is regular: it becomes a table, and the result of the operations goes back
into the IR as a `Dfa`. A table is over classes of code points (`alphabet.py`), so its cost is in
its states, however many ranges of characters they look at. Sizes and time are bounded; what would
exceed them is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

from ..ir.dfa import Dfa, Edge
from ..ir.nodes import Node
from .alphabet import NO_CLASS, Alphabet, distinguish, join
from .nfa import MAX_STATES, MAX_WORK, Nfa, TooLarge
from .path_lengths import path_lengths
from .table_minimal import minimal

MAX_MOVES = 400_000
"""Entries of one table, over all its states and classes."""

MAX_MINIMISED_MOVES = 15_000
"""Larger tables are left as they are: minimising would take longer than running them."""

DEAD = -1

_State = TypeVar("_State", bound=Hashable)
Row = tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """A deterministic automaton: `rows[state][class]` is the next state, or DEAD.

    It starts in state 0. Every other state can be reached and can be completed to an accepted text.
    """

    alphabet: Alphabet
    rows: tuple[Row, ...]
    accepting: frozenset[int]

    @classmethod
    def of_node(cls, node: Node) -> Table:
        """The language of a node without references. Raises TooLarge."""
        nfa = Nfa.of(node)

        def step(states: int) -> list[int | None]:
            if nfa.work > MAX_WORK:
                raise TooLarge
            return nfa.step(states)

        return explore(nfa.alphabet, nfa.start, step, nfa.is_accepting)

    @classmethod
    def of_lengths(cls, low: int, high: int | None) -> Table:
        """The texts of `low` to `high` code points. Raises TooLarge."""
        last = low if high is None else high
        if last >= MAX_STATES:
            raise TooLarge
        alphabet, _ = distinguish([])
        rows = [(state + 1,) for state in range(last)]
        rows.append((last,) if high is None else (DEAD,))
        return cls(alphabet, tuple(rows), frozenset(range(low, last + 1)))

    def accepts(self, text: str) -> bool:
        """Whether `text` is in the language."""
        state = 0
        for char in text:
            number = self.alphabet.of(char)
            state = DEAD if number == NO_CLASS else self.rows[state][number]
            if state == DEAD:
                return False
        return state in self.accepting

    @property
    def is_empty(self) -> bool:
        """Whether nothing is accepted."""
        return not self.accepting

    @cached_property
    def lengths(self) -> tuple[int, int | None]:
        """The least and the greatest length of an accepted text; None if there is no greatest.

        (0, 0) if there is no text.
        """
        return path_lengths([set(row) - {DEAD} for row in self.rows], self.accepting)

    @cached_property
    def dfa(self) -> Dfa:
        """The same automaton as a node of the IR."""
        ends = tuple(self.alphabet.ends())
        intervals = list(zip(self.alphabet.starts, ends, self.alphabet.classes, strict=True))
        shapes: dict[Row, list[tuple[int, int, int]]] = {}
        edges: list[tuple[Edge, ...]] = []
        for row in self.rows:
            # rows that differ only in where they lead have the same ranges
            locals_: dict[int, int] = {DEAD: DEAD}
            shape = tuple(locals_.setdefault(to, len(locals_) - 1) for to in row)
            if shape not in shapes:
                shapes[shape] = _ranges(shape, intervals)
            targets = list(locals_)[1:]
            edges.append(tuple((low, high, targets[i]) for low, high, i in shapes[shape]))
        return Dfa(tuple(edges), self.accepting)


def _ranges(row: Row, intervals: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """The ranges of code points that lead on, with their targets, joined where they touch."""
    joined: list[tuple[int, int, int]] = []
    for low, high, number in intervals:
        to = DEAD if number == NO_CLASS else row[number]
        if to == DEAD:
            continue
        if joined and joined[-1][1] == low - 1 and joined[-1][2] == to:
            joined[-1] = (joined[-1][0], high, to)
        else:
            joined.append((low, high, to))
    return joined


def combine(required: Sequence[Table], forbidden: Sequence[Table] = ()) -> Table:
    """What all `required` accept and none of `forbidden` does. Raises TooLarge."""
    required = required or [Table.of_lengths(0, None)]
    parts = [*required, *forbidden]
    if len(parts) == 1:
        return parts[0]
    product = _product(required, forbidden)
    if any(part.is_empty for part in required):
        alphabet = product.alphabet
        return Table(alphabet, ((DEAD,) * alphabet.size,), frozenset())
    return explore(product.alphabet, product.start, product.step, product.accepts)


def have_common_text(required: Sequence[Table], forbidden: Sequence[Table] = ()) -> bool:
    """Whether `combine` of these is not empty: a search that ends at the shortest text.

    Raises TooLarge.
    """
    if any(part.is_empty for part in required):
        return False
    product = _product(required or [Table.of_lengths(0, None)], forbidden)
    seen = {product.start}
    todo = [product.start]
    for states in todo:  # grows while it is walked
        if product.accepts(states):
            return True
        for target in product.step(states):
            if target is not None and target not in seen:
                seen.add(target)
                todo.append(target)
        if len(seen) > MAX_STATES or len(seen) * product.alphabet.size > MAX_MOVES:
            raise TooLarge
    return False


class _Product(NamedTuple):
    """Several automata run side by side; a state is one of each, what only forbids may be DEAD."""

    alphabet: Alphabet
    start: Row
    step: Callable[[Row], list[Row | None]]
    accepts: Callable[[Row], bool]


def _product(required: Sequence[Table], forbidden: Sequence[Table]) -> _Product:
    parts = [*required, *forbidden]
    alphabet, keys = join([part.alphabet for part in parts])
    must = len(required)
    tables = [part.rows for part in parts]
    columns = [[key[i] for key in keys] for i in range(len(parts))]
    nowhere = [DEAD] * len(keys)

    def step(states: Row) -> list[Row | None]:
        targets = zip(
            *(
                nowhere if state == DEAD else map(table[state].__getitem__, column)
                for table, column, state in zip(tables, columns, states, strict=True)
            ),
            strict=True,
        )
        return [None if DEAD in target[:must] else target for target in targets]

    def accepts(states: Row) -> bool:
        return all(
            (state in part.accepting) == (i < must)
            for i, (state, part) in enumerate(zip(states, parts, strict=True))
        )

    return _Product(alphabet, (0,) * len(parts), step, accepts)


def explore(
    alphabet: Alphabet,
    start: _State,
    step: Callable[[_State], Sequence[_State | None]],
    accepts: Callable[[_State], bool],
) -> Table:
    """The automaton of everything reachable from `start`, trimmed and, if that pays, minimal.

    `step` gives the next state per class. Raises TooLarge.
    """
    index: dict[_State | None, int] = {None: DEAD, start: 0}
    order = [start]
    rows: list[Row] = []
    accepting: set[int] = set()
    for number, state in enumerate(order):
        row: list[int] = []
        for target in step(state):
            to = index.get(target)
            if to is None:
                assert target is not None
                to = index[target] = len(order)
                order.append(target)
            row.append(to)
        rows.append(tuple(row))
        if len(order) > MAX_STATES or len(rows) * len(row) > MAX_MOVES:
            raise TooLarge
        if accepts(state):
            accepting.add(number)
    return _finished(alphabet, rows, accepting)


def _finished(alphabet: Alphabet, rows: list[Row], accepting: set[int]) -> Table:
    rows, accepting = _trimmed(rows, accepting)
    if len(rows) * alphabet.size <= MAX_MINIMISED_MOVES:
        return Table(*minimal(alphabet, rows, accepting))
    return Table(alphabet, tuple(rows), frozenset(accepting))


def _trimmed(rows: list[Row], accepting: set[int]) -> tuple[list[Row], set[int]]:
    """Without the states that lead nowhere; the start stays."""
    sources: list[set[int]] = [set() for _ in rows]
    for state, row in enumerate(rows):
        for to in set(row):
            if to != DEAD:
                sources[to].add(state)
    live = set(accepting)
    todo = list(live)
    while todo:
        for source in sources[todo.pop()]:
            if source not in live:
                live.add(source)
                todo.append(source)
    if len(live) == len(rows):
        return rows, accepting
    kept = sorted(live | {0})
    number = [DEAD] * (len(rows) + 1)  # the last entry is for DEAD itself
    for new, old in enumerate(kept):
        number[old] = new
    left = [tuple(number[to] for to in rows[old]) for old in kept]
    return left, {number[state] for state in accepting}

"""The texts of an automaton that have certain lengths: numbers beside it, not their product."""

from __future__ import annotations

from ..ir.measured import Measured
from ..ir.nodes import NEVER, Node
from .nfa import TooLarge
from .table import Table, combine


def bounded(table: Table, low: int, high: int | None) -> Node:
    """The texts of `table` that have `low` to `high` code points (None: any number from `low` on).

    NEVER if there are none. Raises TooLarge.
    """
    if table.is_empty:
        return NEVER
    shortest, longest = table.lengths
    if low <= shortest and (high is None or (longest is not None and longest <= high)):
        return table.dfa
    if low == 1 and high is None:
        table = combine([table, Table.of_lengths(1, None)])
        return NEVER if table.is_empty else table.dfa
    return within(Measured(table.dfa, len(table.rows), low, high))


def within(node: Measured) -> Node:
    """The node itself, or NEVER if it has no text. Raises TooLarge."""
    try:
        return node if node.fits(node.remainders(), 0, 0) else NEVER
    except ValueError as error:
        raise TooLarge from error

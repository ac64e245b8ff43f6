"""Regular languages as `Dfa` nodes: made from other nodes, and combined.

Schemas intersect and exclude: a pattern and a length, two patterns, keys that are not declared. A
node without references is regular, so it becomes an automaton (`table.py`), and the operation is
done there. Sizes and time are bounded; what would exceed them is refused.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..ir.dfa import Dfa
from ..ir.nodes import Node
from .dfa_texts import of_texts
from .nfa import TooLarge as TooLarge
from .table import Table, combine


def from_node(node: Node) -> Dfa:
    """The language of a node without references. Raises TooLarge."""
    return Table.of_node(node).dfa


def from_texts(texts: Iterable[str]) -> Dfa:
    """Exactly these texts."""
    return of_texts(texts)


def intersect(a: Dfa, b: Dfa) -> Dfa:
    """What both accept. Raises TooLarge."""
    return combine([Table.of_node(a), Table.of_node(b)]).dfa


def complement(a: Dfa) -> Dfa:
    """Every text that `a` does not accept. Raises TooLarge."""
    return combine([], [Table.of_node(a)]).dfa

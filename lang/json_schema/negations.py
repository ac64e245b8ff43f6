"""Where leaving out a keyword would refuse more instead of less: below `not` and `if`.

A schema that says less holds more values, and the negation of it fewer. What `lenient` leaves out
there is therefore the whole `not` or `if` (and with it its `then` and `else`).
"""

from __future__ import annotations

from collections.abc import Container

from ..errors import SchemaError
from .demand import Demand
from .keywords import CHILDREN, child
from .refs import Document

_NEGATING = ("not", "if")
_REFERRING = ("$ref", "$dynamicRef", "$recursiveRef")
_UNUSED = ("$defs", "definitions", "contentSchema")

Place = tuple[str, str]
"""The path of a node, and one of its keywords."""


def outermost_negation(document: Document, path: str, dropped: Container[Place]) -> Place | None:
    """The `not` or `if` that the node at `path`, or one of equal content, is used below.

    The outermost one, also through references; None if there is none. What is at a place of
    `dropped` does not count.
    """
    at_path: Demand | None = None
    negated: dict[Demand, Place] = {}
    seen: set[tuple[str, bool]] = set()
    todo: list[tuple[Demand, Place | None]] = [(document.root, None)]
    while todo:
        demand, around = todo.pop()
        key = (demand.path, around is not None)
        if not isinstance(demand.schema, dict) or key in seen:
            continue
        seen.add(key)
        if demand.path == path:
            at_path = demand
        if around is not None:
            negated.setdefault(demand, around)
        for keyword, value in demand.schema.items():
            place = (demand.path, keyword)
            if place in dropped:
                continue
            inner = around or (place if keyword in _NEGATING else None)
            todo += [(below, inner) for below in _below(document, demand, keyword, value)]
    return None if at_path is None else negated.get(at_path)


def _below(document: Document, demand: Demand, keyword: str, value: object) -> list[Demand]:
    """The demands that a keyword uses."""
    if keyword not in document.keywords or keyword in _UNUSED:
        return []
    if keyword in _REFERRING:
        try:
            return [document.resolve(keyword, str(value), demand)]
        except SchemaError:
            return []
    if keyword not in CHILDREN:
        return []
    where, scope = child(demand.path, keyword), demand.scope
    if isinstance(value, list):
        members = [(item, child(where, i)) for i, item in enumerate(value)]
    elif CHILDREN[keyword] in ("one", "either"):
        members = [(value, where)]
    elif isinstance(value, dict):
        members = [(item, child(where, name)) for name, item in value.items()]
    else:
        members = []
    return [document.demand(s, at, scope) for s, at in members if isinstance(s, dict)]

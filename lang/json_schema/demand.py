"""What a value must satisfy: a schema, a listed value, or the "and", "or" and "not" of such.

Demands are unevaluated: two schemas for one property become a conjunction of both, which is worked
out when the property's turn comes, and a recursive schema stays finite. Equal demands compare equal
(schemas by their content, conjunctions whatever their order), so that each is worked out once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from .keywords import Schema

Operation: TypeAlias = Literal["schema", "listed", "all", "any", "not"]


class Demand:
    """One demand.

    Attributes:
        operation: what it is.
        content: what tells it apart from others of its operation; of a "listed" one, the values.
        parts: the demands that it joins or negates.
        schema, path, scope: of a "schema": the node, where it stands, and the base URI there.
    """

    __slots__ = ("_hash", "content", "operation", "parts", "path", "schema", "scope")

    def __init__(
        self,
        operation: Operation,
        content: object,
        *,
        parts: tuple[Demand, ...] = (),
        schema: Schema = True,
        path: str = "$",
        scope: str = "",
    ) -> None:
        self.operation, self.parts = operation, parts
        self.schema, self.path, self.scope = schema, path, scope
        self.content = content
        self._hash = hash((operation, content))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Demand):
            return NotImplemented
        return self is other or (
            self._hash == other._hash
            and self.operation == other.operation
            and self.content == other.content
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self.parts))
        return f"{self.operation}({inside or self.path})"


ANYTHING = Demand("all", frozenset())
NOTHING = Demand("any", frozenset())


def every(demands: Iterable[Demand]) -> Demand:
    """All of the demands."""
    return _join("all", demands, ANYTHING, NOTHING)


def some(demands: Iterable[Demand]) -> Demand:
    """At least one of the demands."""
    return _join("any", demands, NOTHING, ANYTHING)


def both(a: Demand, b: Demand) -> Demand:
    """The two demands together."""
    if a is ANYTHING or a is b:
        return b
    return a if b is ANYTHING else every((a, b))


def negation(demand: Demand) -> Demand:
    """What does not satisfy `demand`."""
    if demand is ANYTHING:
        return NOTHING
    if demand is NOTHING:
        return ANYTHING
    if demand.operation == "not":
        return demand.parts[0]
    return Demand("not", demand, parts=(demand,), path=demand.path)


def _join(
    operation: Literal["all", "any"], demands: Iterable[Demand], neutral: Demand, absorbing: Demand
) -> Demand:
    parts: dict[Demand, None] = {}
    for demand in demands:
        if demand is absorbing:
            return absorbing
        for part in demand.parts if demand.operation == operation else (demand,):
            parts[part] = None
    for part in parts:
        if part.operation == "not" and part.parts[0] in parts:
            return absorbing
    if not parts:
        return neutral
    first = next(iter(parts))
    if len(parts) == 1:
        return first
    return Demand(operation, frozenset(parts), parts=tuple(parts), path=first.path)

"""What a schema comes to: for each JSON type, the shapes that a value of it may have.

A schema without references and combinators gives at most one shape per type. A shape is a
conjunction of plain keywords of its type; the shapes of one type are alternatives. `and`, `or` and
`not` of schemas then work type by type (`merge.py`, `json_negate.py`).
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from .demand import ANYTHING, NOTHING, Demand, every
from .number_set import NumberSet
from .span import Span
from .string_set import StringSet

KINDS = ("object", "array", "string", "number", "boolean", "null")
"""The types; integers are numbers."""

ANY_KEY = StringSet()
ANY_COUNT = Span()


@dataclass(frozen=True, slots=True)
class SeenKeys:
    """The keys that `unevaluatedProperties` leaves alone."""

    names: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()
    everything: bool = False

    def __or__(self, other: SeenKeys) -> SeenKeys:
        return SeenKeys(
            self.names | other.names,
            self.patterns | other.patterns,
            self.everything or other.everything,
        )


@dataclass(frozen=True, slots=True)
class SeenItems:
    """The items that `unevaluatedItems` leaves alone: the first `count`, and what `matching` is."""

    count: int = 0
    everything: bool = False
    matching: tuple[Demand, ...] = ()

    def __or__(self, other: SeenItems) -> SeenItems:
        return SeenItems(
            max(self.count, other.count),
            self.everything or other.everything,
            tuple(dict.fromkeys(self.matching + other.matching)),
        )


@dataclass(frozen=True, eq=False)
class ObjectShape:
    """Objects.

    Attributes:
        path: where errors point.
        declared: keys with a demand of their own, in order.
        others: what the values of all other keys must satisfy, by sets of keys: all that hold.
        witnesses: `(keys, demand)`: at least one member has such a key and such a value.
        required: declared keys that must be there, with all that they need.
        size: how many members.
        needs: pairs of declared keys: where the first one is there, the second one must be.
    """

    path: str = "$"
    declared: Mapping[str, Demand] = field(default_factory=dict)
    others: tuple[tuple[StringSet, Demand], ...] = ()
    witnesses: tuple[tuple[StringSet, Demand], ...] = ()
    required: frozenset[str] = frozenset()
    size: Span = ANY_COUNT
    seen: SeenKeys = SeenKeys()
    needs: frozenset[tuple[str, str]] = frozenset()

    @cached_property
    def key(self) -> tuple[object, ...]:
        """Equal for equal shapes, wherever they stand."""
        return (
            tuple(self.declared.items()),
            self.others,
            self.witnesses,
            self.required,
            self.size,
            self.seen,
            self.needs,
        )

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, ObjectShape) and self.key == other.key)

    @cached_property
    def _hash(self) -> int:
        return hash(self.key)

    def __hash__(self) -> int:
        return self._hash

    def demand(self, key: str) -> Demand:
        """What the value of `key` must satisfy."""
        found = self.declared.get(key)
        if found is not None:
            return found
        return every(demand for keys, demand in self.others if keys.contains(key))

    @property
    def is_closed(self) -> bool:
        """Whether no other key than the declared ones is allowed, plainly."""
        return any(demand is NOTHING and keys == ANY_KEY for keys, demand in self.others)


@dataclass(frozen=True, slots=True)
class Contains:
    """Of the items from `start` on, how many satisfy `demand`."""

    start: int
    demand: Demand
    count: Span


@dataclass(frozen=True, eq=False)
class ArrayShape:
    """Arrays: `prefix` for the first items, `items` for all others, `count` items, and so on."""

    path: str = "$"
    count: Span = ANY_COUNT
    prefix: tuple[Demand, ...] = ()
    items: Demand = ANYTHING
    contains: tuple[Contains, ...] = ()
    unique: bool = False
    seen: SeenItems = SeenItems()

    @cached_property
    def key(self) -> tuple[object, ...]:
        """Equal for equal shapes, wherever they stand."""
        return (self.count, self.prefix, self.items, self.contains, self.unique, self.seen)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, ArrayShape) and self.key == other.key)

    @cached_property
    def _hash(self) -> int:
        return hash(self.key)

    def __hash__(self) -> int:
        return self._hash

    def demand(self, index: int) -> Demand:
        """What the item at `index` must satisfy."""
        return self.prefix[index] if index < len(self.prefix) else self.items

    @property
    def longest(self) -> int | None:
        """The most items there can be, plainly; None is no bound."""
        allowed = len(self.prefix) if self.items is NOTHING else None
        if NOTHING in self.prefix:
            allowed = self.prefix.index(NOTHING)
        highs = [high for high in (self.count.high, allowed) if high is not None]
        return min(highs, default=None)


class Listed:
    """These values, all of one type, and no others; `values` are distinct.

    `is_integer`: numbers that must be integers, which in draft 4 have no fraction, not even of
    zeros.
    """

    __slots__ = ("_identities", "is_integer", "path", "texts", "values")

    _identities: frozenset[Hashable] | None

    def __init__(
        self, values: Iterable[object], path: str = "$", *, is_integer: bool = False
    ) -> None:
        self.path = path
        self.is_integer = is_integer
        self.values = tuple(values)
        self.texts = tuple(json.dumps(value) for value in self.values)
        self._identities = None

    @property
    def identities(self) -> frozenset[Hashable]:
        """The `identity` of each value."""
        if self._identities is None:
            self._identities = frozenset(map(identity, self.values))
        return self._identities

    def contains(self, value: object) -> bool:
        """Whether the value is one of them."""
        return identity(value) in self.identities

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Listed)
            and self.texts == other.texts
            and self.is_integer == other.is_integer
        )

    def __hash__(self) -> int:
        return hash(self.texts)


Shape: TypeAlias = ObjectShape | ArrayShape | StringSet | NumberSet | Listed
Cases: TypeAlias = Mapping[str, tuple[Shape, ...]]
"""By type, the shapes that a value may have; a type that is missing is not allowed."""

OBJECT = ObjectShape()
ARRAY = ArrayShape()
STRING = StringSet()
NUMBER = NumberSet()
INTEGER = NumberSet(integer=True)
BOOLEAN = Listed((False, True))
NULL = Listed((None,))

WHOLE: Mapping[str, Shape] = {
    "object": OBJECT,
    "array": ARRAY,
    "string": STRING,
    "number": NUMBER,
    "boolean": BOOLEAN,
    "null": NULL,
}
"""By type, the shape of all its values."""

ALL: Cases = {kind: (shape,) for kind, shape in WHOLE.items()}
NONE: Cases = {}


def shapes_of(cases: Cases) -> Iterator[Shape]:
    """All shapes, type by type."""
    for kind in KINDS:
        yield from cases.get(kind, ())


def union(parts: Iterable[Cases]) -> Cases:
    """What satisfies any of `parts`; equal shapes are one, and a whole type swallows the rest."""
    joined: dict[str, dict[Shape, None]] = {}
    for cases in parts:
        for kind, shapes in cases.items():
            joined.setdefault(kind, {}).update(dict.fromkeys(shapes))
    return {
        kind: (WHOLE[kind],) if WHOLE[kind] in shapes else tuple(shapes)
        for kind, shapes in joined.items()
    }


def is_void(shape: Shape) -> bool:
    """Whether it is plain, without looking into demands, that no value has this shape."""
    match shape:
        case ObjectShape():
            return _is_void_object(shape)
        case ArrayShape():
            longest = shape.longest
            return (longest is not None and longest < shape.count.low) or any(
                clause.count.is_empty
                or (longest is not None and longest - clause.start < clause.count.low)
                or (clause.demand is NOTHING and clause.count.low > 0)
                for clause in shape.contains
            )
        case Listed(values=values):
            return not values
        case StringSet():
            return shape.length.is_empty
        case NumberSet():
            return False


def _is_void_object(shape: ObjectShape) -> bool:
    size = shape.size
    if size.is_empty or (size.high is not None and size.high < len(shape.required)):
        return True
    if any(shape.declared[key] is NOTHING for key in shape.required):
        return True
    if not shape.is_closed:
        return any(demand is NOTHING for _, demand in shape.witnesses)
    possible = [key for key, demand in shape.declared.items() if demand is not NOTHING]
    return len(possible) < size.low or any(
        not any(keys.contains(key) for key in possible) for keys, _ in shape.witnesses
    )


def identity(value: object) -> Hashable:
    """Equal for equal JSON values and for no others: 1 is 1.0, and true is not 1."""
    match value:
        case bool():
            return ("boolean", value)
        case list():
            return ("array", *map(identity, value))
        case dict():
            members = ((key, identity(below)) for key, below in value.items())
            return ("object", frozenset(members))
        case _:
            assert value is None or isinstance(value, str | int | float)
            return value


def kind_of(value: object) -> str:
    """The JSON type of a value; integers are numbers."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"

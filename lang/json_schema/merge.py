"""Conjunction and negation of two shapes of one type.

A conjunction is one shape again: demands on the same member or item are joined, unevaluated. A
negation is a union of shapes, each of which breaks one keyword: a required key is missing, a member
violates its demand, there are too few items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from ..errors import SchemaError
from .demand import ANYTHING, NOTHING, Demand, both, negation
from .needs import with_needed
from .number_set import NumberSet
from .shapes import (
    ANY_KEY,
    ARRAY,
    BOOLEAN,
    OBJECT,
    WHOLE,
    ArrayShape,
    Contains,
    Listed,
    ObjectShape,
    Shape,
    is_void,
    kind_of,
)
from .span import Span
from .string_set import StringSet


def merge(a: Shape, b: Shape, holds: Callable[[object, Shape], bool]) -> Shape | None:
    """What has both shapes, which are of one type, or None if it is plain that nothing has.

    `holds(value, shape)` says whether a value has a shape. Raises SchemaError where that cannot be
    told.
    """
    if a is b:
        return a
    merged: Shape
    if isinstance(a, Listed) or isinstance(b, Listed):
        if not isinstance(a, Listed):
            a, b = b, a
        assert isinstance(a, Listed)
        if b is WHOLE["object"] or b is WHOLE["array"]:
            return a
        is_integer = a.is_integer or (isinstance(b, Listed) and b.is_integer)
        is_integer |= isinstance(b, NumberSet) and b.integer is True
        kept = [value for value in a.values if holds(value, b)]
        merged = Listed(kept, a.path, is_integer=is_integer)
    elif isinstance(a, ObjectShape):
        assert isinstance(b, ObjectShape)
        merged = _merge_objects(a, b)
    elif isinstance(a, ArrayShape):
        assert isinstance(b, ArrayShape)
        merged = _merge_arrays(a, b)
    elif isinstance(a, StringSet):
        assert isinstance(b, StringSet)
        merged = a & b
    else:
        assert isinstance(b, NumberSet)
        merged = a & b
    return None if is_void(merged) else merged


def _merge_objects(a: ObjectShape, b: ObjectShape) -> ObjectShape:
    if a == OBJECT or b == OBJECT:
        return b if a == OBJECT else a
    declared = dict(a.declared)
    if b.others:
        declared = {key: both(demand, b.demand(key)) for key, demand in a.declared.items()}
    for key, demand in b.declared.items():
        if key not in declared:
            declared[key] = both(a.demand(key), demand)
        elif not b.others:
            declared[key] = both(declared[key], demand)
    needs = a.needs | b.needs
    return ObjectShape(
        a.path,
        declared,
        tuple(dict.fromkeys(a.others + b.others)),
        tuple(dict.fromkeys(a.witnesses + b.witnesses)),
        with_needed(a.required | b.required, needs),
        a.size & b.size,
        a.seen | b.seen,
        needs,
    )


def _merge_arrays(a: ArrayShape, b: ArrayShape) -> ArrayShape:
    if a == ARRAY or b == ARRAY:
        return b if a == ARRAY else a
    width = max(len(a.prefix), len(b.prefix))
    return ArrayShape(
        a.path,
        a.count & b.count,
        tuple(both(a.demand(i), b.demand(i)) for i in range(width)),
        both(a.items, b.items),
        tuple(dict.fromkeys(a.contains + b.contains)),
        a.unique or b.unique,
        a.seen | b.seen,
    )


def negate(shape: Shape) -> Iterator[Shape]:
    """Shapes of the same type that hold all other values between them. Raises SchemaError."""
    match shape:
        case ObjectShape():
            yield from _other_objects(shape)
        case ArrayShape():
            yield from _other_arrays(shape)
        case StringSet() | NumberSet():
            yield from shape.negated()
        case Listed(values=values):
            yield from _other_values(values, shape.path)


def _other_values(values: tuple[object, ...], path: str) -> Iterator[Shape]:
    if not values:
        return
    match kind_of(values[0]):
        case "string":
            texts = frozenset(value for value in values if isinstance(value, str))
            yield StringSet(excluded=texts, path=path)
        case "number":
            numbers = (value for value in values if isinstance(value, int | float))
            yield NumberSet(excluded=frozenset(map(exactly, numbers)), path=path)
        case "boolean":
            left = [value for value in BOOLEAN.values if value not in values]
            if left:
                yield Listed(left, path)
        case "null":
            return
        case _:
            yield from _other_containers(values, path)


def _other_containers(values: tuple[object, ...], path: str) -> Iterator[Shape]:
    """Objects or arrays other than the listed ones."""
    left: list[Shape] = [WHOLE[kind_of(values[0])]]
    for value in values:
        options = list(negate(structure(value, path)))
        merged = (merge(shape, option, _never_listed) for shape in left for option in options)
        left = list(dict.fromkeys(shape for shape in merged if shape is not None))
        if len(left) > 64:
            raise SchemaError(
                "the negation of listed objects or arrays has too many cases; list what is allowed",
                path,
                "enum",
            )
    yield from left


def _never_listed(value: object, shape: Shape) -> bool:
    raise AssertionError(f"{value!r} is no part of a structure")


def structure(value: object, path: str) -> ObjectShape | ArrayShape:
    """A listed object or array as keywords."""
    if isinstance(value, list):
        size = len(value)
        return ArrayShape(path, Span(size, size), tuple(_constant(v, path) for v in value))
    assert isinstance(value, dict)
    return ObjectShape(
        path,
        {key: _constant(below, path) for key, below in value.items()},
        ((ANY_KEY, NOTHING),),
        required=frozenset(value),
    )


def _constant(value: object, path: str) -> Demand:
    listed = Listed((value,), path)
    return Demand("listed", listed, path=path)


def _other_objects(shape: ObjectShape) -> Iterator[ObjectShape]:
    path = shape.path
    for key, demand in shape.declared.items():
        # A required member is missing or violates its demand: that is an optional one that does.
        if key in shape.required:
            yield ObjectShape(path, {key: negation(demand)})
        elif demand is not ANYTHING:
            yield ObjectShape(path, {key: negation(demand)}, required=frozenset((key,)))
    undeclared = StringSet(excluded=frozenset(shape.declared), path=path)
    for keys, demand in shape.others:
        if demand is not ANYTHING:
            yield ObjectShape(path, witnesses=((keys & undeclared, negation(demand)),))
    for keys, demand in shape.witnesses:
        yield ObjectShape(path, others=((keys, negation(demand)),))
    for count in _outside(shape.size):
        yield ObjectShape(path, size=count)
    for key, other in sorted(shape.needs):
        if key not in shape.required:
            both_keys = {key: ANYTHING, other: NOTHING}
            yield ObjectShape(path, both_keys, required=frozenset((key,)))


def _other_arrays(shape: ArrayShape) -> Iterator[ArrayShape]:
    path = shape.path
    if shape.unique:
        raise SchemaError(
            "the negation of uniqueItems (some items are equal) has no grammar; say what is "
            "allowed instead",
            path,
            "uniqueItems",
        )
    for i, demand in enumerate(shape.prefix):
        if demand is not ANYTHING:
            before = (ANYTHING,) * i
            yield ArrayShape(path, Span(i + 1), (*before, negation(demand)))
    if shape.items is not ANYTHING:
        yield containing(path, len(shape.prefix), negation(shape.items), Span(1))
    for clause in shape.contains:
        for count in _outside(clause.count):
            yield containing(path, clause.start, clause.demand, count)
    for count in _outside(shape.count):
        yield ArrayShape(path, count)


def containing(path: str, start: int, demand: Demand, count: Span) -> ArrayShape:
    """Arrays in which so many of the items from `start` on satisfy `demand`."""
    if count.high == 0:
        return ArrayShape(path, prefix=(ANYTHING,) * start, items=negation(demand))
    if demand is ANYTHING:
        high = None if count.high is None else count.high + start
        return ArrayShape(path, Span(count.low + start if count.low else 0, high))
    return ArrayShape(path, contains=(Contains(start, demand, count),))


def _outside(count: Span) -> Iterator[Span]:
    if count.low > 0:
        yield Span(0, count.low - 1)
    if count.high is not None:
        yield Span(count.high + 1)


def exactly(value: int | float) -> Decimal:
    """A number of a schema, exactly as it was written."""
    return Decimal(value) if isinstance(value, int) else Decimal(repr(value))

"""`unevaluatedProperties` and `unevaluatedItems`: what is left over by the keywords beside them.

Each shape remembers which members the keywords evaluated that led to it (`SeenKeys`, `SeenItems`).
Where shapes are told apart by what they evaluate, the keyword is the same as `additionalProperties`
or `items` of one more schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .demand import ANYTHING, Demand, some
from .shapes import (
    ArrayShape,
    ObjectShape,
    SeenItems,
    SeenKeys,
    Shape,
)
from .string_set import StringSet


def unseen_keys(shape: ObjectShape, demand: Demand, *, tracked: bool) -> ObjectShape | None:
    """What `unevaluatedProperties` adds to the shape; None is nothing.

    `tracked`: a schema around it asks in its turn what has been evaluated.
    """
    seen = shape.seen
    if seen.everything:
        return None
    unseen = StringSet(not_patterns=tuple(sorted(seen.patterns)), path=shape.path)
    return ObjectShape(
        shape.path,
        dict.fromkeys(sorted(seen.names), ANYTHING),
        ((unseen, demand),),
        seen=SeenKeys(everything=tracked),
    )


def unseen_items(shape: ArrayShape, demand: Demand, *, tracked: bool) -> ArrayShape | None:
    """What `unevaluatedItems` adds to the shape; None is nothing. `tracked`: see `unseen_keys`."""
    seen = shape.seen
    if seen.everything:
        return None
    return ArrayShape(
        shape.path,
        prefix=(ANYTHING,) * seen.count,
        items=some((*seen.matching, demand)),
        seen=SeenItems(everything=tracked),
    )


def untracked(shapes: Iterable[Shape]) -> tuple[Shape, ...]:
    """The shapes without their memory; equal ones are one."""
    return tuple(dict.fromkeys(map(_forgetful, shapes)))


def _forgetful(shape: Shape) -> Shape:
    match shape:
        case ObjectShape():
            return replace(shape, seen=SeenKeys())
        case ArrayShape():
            return replace(shape, seen=SeenItems())
        case _:
            return shape

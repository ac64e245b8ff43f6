"""Which alternatives add nothing, because another one has room for all their values.

Only what can be read off the shapes is compared, no demand is worked out: enough to keep the cases
of a negation few, and cheap.
"""

from __future__ import annotations

from collections.abc import Iterable

from .demand import ANYTHING, NOTHING, Demand
from .shapes import ArrayShape, Listed, ObjectShape, Shape
from .span import Span

_MAX_COMPARED = 1_000


def widest(shapes: Iterable[Shape]) -> tuple[Shape, ...]:
    """The shapes, all of one type, without those that another one plainly covers."""
    listed = tuple(shapes)
    if len(listed) < 2 or len(listed) > _MAX_COMPARED:
        return listed
    kept: list[Shape] = []
    for shape in listed:
        if any(covers(other, shape) for other in kept):
            continue
        kept = [other for other in kept if not covers(shape, other)]
        kept.append(shape)
    return tuple(kept)


def covers(wide: Shape, narrow: Shape) -> bool:
    """Whether it is plain that every value of the shape `narrow` has the shape `wide`."""
    if isinstance(wide, ObjectShape) and isinstance(narrow, ObjectShape):
        return (
            wide.required <= narrow.required
            and _is_within(narrow.size, wide.size)
            and set(wide.others) <= set(narrow.others)
            and set(wide.witnesses) <= set(narrow.witnesses)
            and wide.seen == narrow.seen
            and wide.needs <= narrow.needs
            and all(_implies(narrow.demand(k), demand) for k, demand in wide.declared.items())
            and all(
                _implies(demand, wide.demand(k))
                for k, demand in narrow.declared.items()
                if k not in wide.declared
            )
        )
    if isinstance(wide, ArrayShape) and isinstance(narrow, ArrayShape):
        width = max(len(wide.prefix), len(narrow.prefix))
        return (
            _is_within(narrow.count, wide.count)
            and (narrow.unique or not wide.unique)
            and set(wide.contains) <= set(narrow.contains)
            and wide.seen == narrow.seen
            and all(_implies(narrow.demand(i), wide.demand(i)) for i in range(width + 1))
        )
    if isinstance(wide, Listed) and isinstance(narrow, Listed):
        return set(narrow.texts) <= set(wide.texts)
    return wide == narrow


def _implies(strict: Demand, loose: Demand) -> bool:
    if loose is ANYTHING or strict is NOTHING or strict == loose:
        return True
    parts = strict.parts if strict.operation == "all" else (strict,)
    needed = loose.parts if loose.operation == "all" else (loose,)
    return all(part in parts for part in needed)


def _is_within(inner: Span, outer: Span) -> bool:
    return inner.low >= outer.low and (
        outer.high is None or (inner.high is not None and inner.high <= outer.high)
    )

"""Keys that are there only together with others (`dependentRequired`).

Mostly the object says so itself while it is written (`ir/needs.py`). Only where it also needs a
member that is not declared, or where keys that need each other are counted, the needs become
alternatives: with such a key, and without it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..errors import SchemaError
from ..ir.needs import companions, has_circle
from .demand import NOTHING
from .shapes import ObjectShape, is_void

_MAX_CASES = 256


def with_needed(keys: frozenset[str], needs: frozenset[tuple[str, str]]) -> frozenset[str]:
    """The keys, and all that they need, however indirectly."""
    needed: dict[str, list[str]] = {}
    for key, other in needs:
        needed.setdefault(key, []).append(other)
    found = dict.fromkeys(keys)
    for key in (todo := list(keys)):  # grows while it is walked
        fresh = [other for other in needed.get(key, ()) if other not in found]
        found.update(dict.fromkeys(fresh))
        todo += fresh
    return frozenset(found)


def possible_keys(shape: ObjectShape, usable: Collection[str]) -> list[str]:
    """The declared keys that can be there if no other declared key than `usable` ones can."""
    with_each = _companions(shape)
    dead = sum(1 << i for i, key in enumerate(shape.declared) if key not in usable)
    required = sum(1 << i for i, key in enumerate(shape.declared) if key in shape.required)
    most = len(with_each) if shape.size.high is None else shape.size.high
    return [
        key
        for key, others in zip(shape.declared, with_each, strict=True)
        if not others & dead and (others | required).bit_count() <= most
    ]


def need_each_other(shape: ObjectShape) -> bool:
    """Whether some keys need each other."""
    return has_circle(_companions(shape))


def without_needs(shape: ObjectShape) -> list[ObjectShape]:
    """Shapes without needs that hold the same objects between them. Raises SchemaError."""
    ways = [replace(shape, needs=frozenset())]
    for key in sorted({key for key, _ in shape.needs}):
        together = with_needed(frozenset((key,)), shape.needs)
        ways = [
            half
            for way in ways
            for half in (
                replace(way, required=way.required | together),
                replace(way, declared={**way.declared, key: NOTHING}),
            )
            if not is_void(half)
        ]
        if len(ways) > _MAX_CASES:
            raise SchemaError(
                f"the keys that need others come in more than {_MAX_CASES} ways, which together "
                "with the number of properties or a negation is too many; require more of them",
                shape.path,
                "dependentRequired",
            )
    return ways


def _companions(shape: ObjectShape) -> list[int]:
    places = {key: i for i, key in enumerate(shape.declared)}
    needs = tuple((places[key], places[other]) for key, other in shape.needs)
    return companions(len(places), needs)

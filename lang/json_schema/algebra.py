"""The set algebra of schemas: what satisfies both of two, and one but not the other.

It works type by type on lists of shapes. What is surely empty is left out early, and so is what
another alternative covers, because alternatives multiply; there is a limit to them and to the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

from ..errors import SchemaError
from .demand import ANYTHING, Demand
from .merge import merge, negate
from .shapes import (
    ALL,
    ANY_COUNT,
    WHOLE,
    ArrayShape,
    Cases,
    Listed,
    ObjectShape,
    Shape,
    shapes_of,
)
from .shapes import is_void as is_plainly_void
from .string_set import StringSet
from .subsumption import widest
from .validate import Validator

MAX_ALTERNATIVES = 256
_MAX_MERGES = 20_000
_LOOK_AHEAD = 2
_COMPARED_DEPTH = 4


class Algebra:
    """Operations on cases. `cases` works out a demand. All of them raise SchemaError.

    The `path` and `keyword` of an operation are what its errors name.
    """

    def __init__(self, cases: Callable[[Demand], Cases]) -> None:
        self._cases = cases
        self._holds = Validator(cases).holds
        self._voids: dict[tuple[Shape, int], bool] = {}
        self._merges = 0

    def meet(self, a: Cases, b: Cases, path: str, keyword: str | None = None) -> Cases:
        """What satisfies both."""
        if a is ALL or b is ALL:
            return b if a is ALL else a
        found: dict[str, tuple[Shape, ...]] = {}
        for kind, shapes in a.items():
            others = b.get(kind)
            if others is None:
                continue
            whole = WHOLE[kind]
            if others == (whole,) or shapes == (whole,):
                found[kind] = shapes if others == (whole,) else others
                continue
            self._count(len(shapes) * len(others), path, keyword)
            merged = (merge(x, y, self._holds) for x, y in product(shapes, others))
            kept = dict.fromkeys(shape for shape in merged if shape is not None)
            if len(kept) > 1:
                kept = dict.fromkeys(
                    shape for shape in kept if not self.is_void(shape, _LOOK_AHEAD)
                )
            if kept:
                found[kind] = self._bounded(kept, path, keyword)
        return found

    def minus(self, a: Cases, b: Cases, path: str, keyword: str) -> Cases:
        """What satisfies `a` and not `b`."""
        found: dict[str, tuple[Shape, ...]] = {}
        for kind, shapes in a.items():
            others = b.get(kind)
            left = shapes
            if others:
                each = (x for s in shapes for x in self._without_any(s, others, path, keyword))
                left = self._bounded(dict.fromkeys(each), path, keyword)
            if left:
                found[kind] = left
        return found

    def _without_any(
        self, shape: Shape, others: tuple[Shape, ...], path: str, keyword: str
    ) -> tuple[Shape, ...]:
        """`shape` without all of `others`."""
        # What leaves the fewest cases first: each of them may be clear of the others.
        pieces = [(other, tuple(self._without(shape, other, path, keyword))) for other in others]
        pieces.sort(key=lambda piece: len(piece[1]))
        left = pieces[0][1]
        for other, _ in pieces[1:]:
            taken = (x for s in left for x in self._without(s, other, path, keyword))
            left = self._bounded(dict.fromkeys(taken), path, keyword)
        return left

    def _without(self, shape: Shape, other: Shape, path: str, keyword: str) -> Iterator[Shape]:
        if shape == other:
            return
        if isinstance(shape, Listed):
            left = [value for value in shape.values if not self._holds(value, other)]
            if left:
                yield Listed(left, shape.path)
            return
        common = merge(shape, other, self._holds)
        if common is None or self.is_void(common, _COMPARED_DEPTH):
            yield shape
            return
        try:
            options = list(negate(other))
        except SchemaError as error:
            raise SchemaError(
                f"{keyword} has no exact grammar here: {error}", path, keyword
            ) from error
        for broken in options:
            self._count(1, path, keyword)
            kept = merge(shape, broken, self._holds)
            if kept is not None and not self.is_void(kept, _COMPARED_DEPTH):
                yield kept

    def _count(self, merges: int, path: str, keyword: str | None) -> None:
        self._merges += merges
        if self._merges > _MAX_MERGES:
            raise _too_many(path, keyword)

    def _bounded(
        self, shapes: dict[Shape, None], path: str, keyword: str | None
    ) -> tuple[Shape, ...]:
        kept = widest(shapes)
        if len(kept) > MAX_ALTERNATIVES:
            raise _too_many(path, keyword)
        return kept

    def is_void(self, shape: Shape, depth: int) -> bool:
        """Whether it is sure, looking `depth` levels down, that no value has this shape."""
        key = (shape, depth)
        found = self._voids.get(key)
        if found is None:
            found = self._voids[key] = self._has_no_value(shape, depth)
        return found

    def _has_no_value(self, shape: Shape, depth: int) -> bool:
        if is_plainly_void(shape):
            return True
        match shape:
            case StringSet() if _is_combined(shape):
                try:
                    return shape.is_empty()
                except SchemaError:
                    return False  # too large to tell
            case ObjectShape() if depth:
                demands = [shape.declared[key] for key in shape.declared if key in shape.required]
                return any(self._is_unsatisfiable(demand, depth - 1) for demand in demands)
            case ArrayShape() if depth:
                few = min(shape.count.low, len(shape.prefix) + 1)
                demands = [shape.demand(i) for i in range(few)]
                return any(self._is_unsatisfiable(demand, depth - 1) for demand in demands)
            case Listed() | StringSet() | ObjectShape() | ArrayShape():
                return False
            case _:
                return shape.is_empty()

    def _is_unsatisfiable(self, demand: Demand, depth: int) -> bool:
        if demand is ANYTHING:
            return False
        try:
            cases = self._cases(demand)
        except SchemaError:
            return False  # refused or circular: it is reported, if it matters, when it is compiled
        return all(self.is_void(shape, depth) for shape in shapes_of(cases))


def _is_combined(strings: StringSet) -> bool:
    """Whether the languages of the set may have nothing in common: a single one has some text."""
    languages = len(strings.patterns) + len(strings.formats)
    return languages > 1 or bool(
        strings.not_patterns
        or strings.not_formats
        or strings.excluded
        or (languages and strings.length != ANY_COUNT)
    )


def _too_many(path: str, keyword: str | None) -> SchemaError:
    return SchemaError(
        f"the combinators multiply out to more than {MAX_ALTERNATIVES} cases; write fewer options, "
        "or options that a required property tells apart",
        path,
        keyword,
    )

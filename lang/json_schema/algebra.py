"""The set algebra of schemas: what satisfies both of two, and one but not the other.

It works type by type on lists of shapes. What is surely empty is left out early, and so is what
another alternative covers, because alternatives multiply; there is a limit to them and to the work,
which is counted, not timed, so that a schema compiles always or never.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from itertools import product

from ..errors import SchemaError
from .demand import ANYTHING, Demand
from .discriminators import Discriminators
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
    identity,
    shapes_of,
)
from .shapes import is_void as is_plainly_void
from .string_set import StringSet
from .subsumption import widest
from .validate import Validator

MAX_ALTERNATIVES = 256
MAX_WORK = 50_000
"""Shapes merged for one document, large ones and sets of strings weighted: about two seconds."""

_MEMBERS_PER_WORK = 16
_COMPARISONS_PER_WORK = 32
_LOOK_AHEAD = 2
_COMPARED_DEPTH = 4


class Algebra:
    """Operations on cases. `cases` works out a demand. All of them raise SchemaError.

    The `path` and `keyword` of an operation are what its errors name.
    """

    def __init__(self, cases: Callable[[Demand], Cases]) -> None:
        self._cases = cases
        self._holds = Validator(cases).holds
        self._are_apart = Discriminators(cases).are_apart
        self._voids: dict[tuple[Shape, int], bool] = {}
        self._work = 0

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
            self._spend(len(shapes) * len(others) // _COMPARISONS_PER_WORK, path, keyword)
            kept: dict[Shape, None] = {}
            for x, y in product(shapes, others):
                if not self._are_apart(x, y):
                    self._spend(_bulk(x) + _bulk(y), path, keyword)
                    shape = merge(x, y, self._holds)
                    if shape is not None:
                        kept[shape] = None
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
                self._spend(len(shapes) * len(others) // _COMPARISONS_PER_WORK, path, keyword)
                each = (x for s in shapes for x in self._without_any(s, others, path, keyword))
                left = self._bounded(dict.fromkeys(each), path, keyword)
            if left:
                found[kind] = left
        return found

    def _without_any(
        self, shape: Shape, others: tuple[Shape, ...], path: str, keyword: str
    ) -> tuple[Shape, ...]:
        """`shape` without all of `others`."""
        if isinstance(shape, Listed):
            return self._unlisted(shape, others)
        others = tuple([other for other in others if not self._are_apart(shape, other)])
        if not others:
            return (shape,)
        # What leaves the fewest cases first: each of them may be clear of the others.
        pieces = [(other, tuple(self._without(shape, other, path, keyword))) for other in others]
        pieces.sort(key=lambda piece: len(piece[1]))
        left = pieces[0][1]
        for other, _ in pieces[1:]:
            taken = (x for s in left for x in self._without(s, other, path, keyword))
            left = self._bounded(dict.fromkeys(taken), path, keyword)
        return left

    def _unlisted(self, shape: Listed, others: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """The values that have none of the shapes `others`."""
        listed = [other.identities for other in others if isinstance(other, Listed)]
        taken = frozenset[Hashable]().union(*listed)
        left = [value for value in shape.values if identity(value) not in taken]
        for other in others:
            if not isinstance(other, Listed):
                left = [value for value in left if not self._holds(value, other)]
        return (Listed(left, shape.path, is_integer=shape.is_integer),) if left else ()

    def _without(self, shape: Shape, other: Shape, path: str, keyword: str) -> Iterator[Shape]:
        if shape == other:
            return
        self._spend(_bulk(shape) + _bulk(other), path, keyword)
        common = merge(shape, other, self._holds)
        if common is None or self.is_void(common, _COMPARED_DEPTH):
            yield shape
            return
        if isinstance(shape, ArrayShape) and isinstance(other, ArrayShape) and _is_distinct(shape):
            # of distinct items nothing is left that has equal ones
            other = replace(other, unique=False)
        try:
            options = list(negate(other))
        except SchemaError as error:
            raise SchemaError(
                f"{keyword} has no exact grammar here: {error}", path, keyword
            ) from error
        for broken in options:
            self._spend(_bulk(shape), path, keyword)
            kept = merge(shape, broken, self._holds)
            if kept is not None and not self.is_void(kept, _COMPARED_DEPTH):
                yield kept

    def _spend(self, work: int, path: str, keyword: str | None) -> None:
        self._work += work
        if self._work > MAX_WORK:
            raise SchemaError(
                "the combinators and references up to here take too long to work out; write fewer "
                "options and smaller ones, or describe what is wanted without not and oneOf",
                path,
                keyword,
            )

    def _bounded(
        self, shapes: dict[Shape, None], path: str, keyword: str | None
    ) -> tuple[Shape, ...]:
        self._spend(len(shapes) ** 2 // _COMPARISONS_PER_WORK, path, keyword)
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
                self._spend(_languages(shape) ** 3 // 2, shape.path, None)
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


def _bulk(shape: Shape) -> int:
    """What it takes to copy a shape, a small one being 1."""
    match shape:
        case ObjectShape():
            parts = len(shape.declared) + len(shape.others) + len(shape.needs)
            return 1 + parts // _MEMBERS_PER_WORK
        case ArrayShape():
            return 1 + len(shape.prefix) // _MEMBERS_PER_WORK
        case Listed():
            return 1 + len(shape.values) // _MEMBERS_PER_WORK
        case _:
            return 1


def _is_distinct(shape: ArrayShape) -> bool:
    return shape.unique or (shape.longest is not None and shape.longest <= 1)


def _is_combined(strings: StringSet) -> bool:
    """Whether the languages of the set may have nothing in common: a single one has some text."""
    languages = _languages(strings)
    return languages > 1 or bool(
        strings.not_patterns
        or strings.not_formats
        or strings.excluded
        or (languages and strings.length != ANY_COUNT)
    )


def _languages(strings: StringSet) -> int:
    """How many languages the set is made of; telling whether it is empty takes their product."""
    patterns = len(strings.patterns) + len(strings.not_patterns)
    return patterns + len(strings.formats) + len(strings.not_formats)


def _too_many(path: str, keyword: str | None) -> SchemaError:
    return SchemaError(
        f"the combinators multiply out to more than {MAX_ALTERNATIVES} cases; write fewer options, "
        "or options that a required property tells apart",
        path,
        keyword,
    )

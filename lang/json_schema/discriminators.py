"""Objects that a listed property tells apart, as the tag of a union does.

Most options of a `oneOf` differ in such a property. Seeing it in their shapes is what makes a union
of hundreds cheap: joining each with every other one only finds, slowly, that nothing is in both.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

from ..errors import SchemaError
from .demand import Demand
from .shapes import Cases, Listed, ObjectShape, Shape, shapes_of

_LISTING = frozenset(("const", "enum", "$ref"))


class Discriminators:
    """Compares shapes by their listed required properties; `cases` works out a demand."""

    def __init__(self, cases: Callable[[Demand], Cases]) -> None:
        self._cases = cases
        self._values: dict[Demand, frozenset[Hashable] | None] = {}
        self._tags: dict[Shape, Mapping[str, frozenset[Hashable]]] = {}

    def are_apart(self, one: Shape, other: Shape) -> bool:
        """Whether it is plain that no object has both shapes: a property has no value for both."""
        if not (isinstance(one, ObjectShape) and isinstance(other, ObjectShape)):
            return False
        tags = self._tags_of(one)
        if not tags:
            return False
        others = self._tags_of(other)
        return any(key in others and tags[key].isdisjoint(others[key]) for key in tags)

    def _tags_of(self, shape: ObjectShape) -> Mapping[str, frozenset[Hashable]]:
        found = self._tags.get(shape)
        if found is None:
            listed = {key: self._listed(shape.declared[key]) for key in shape.required}
            found = {key: values for key, values in listed.items() if values is not None}
            self._tags[shape] = found
        return found

    def _listed(self, demand: Demand) -> frozenset[Hashable] | None:
        """The identities of the values that satisfy the demand, if it plainly lists them."""
        if demand not in self._values:
            self._values[demand] = self._worked_out(demand) if _may_list(demand) else None
        return self._values[demand]

    def _worked_out(self, demand: Demand) -> frozenset[Hashable] | None:
        try:
            shapes = list(shapes_of(self._cases(demand)))
        except SchemaError:
            return None  # it is reported, if it matters, when it is compiled
        values: set[Hashable] = set()
        for shape in shapes:
            if not isinstance(shape, Listed):
                return None
            values |= shape.identities
        return frozenset(values)


def _may_list(demand: Demand) -> bool:
    if demand.operation == "schema":
        return isinstance(demand.schema, dict) and not _LISTING.isdisjoint(demand.schema)
    return demand.operation == "listed"

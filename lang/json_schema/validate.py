"""Whether a value satisfies a demand: how `enum` and `const` values meet the other keywords."""

from __future__ import annotations

from collections.abc import Callable

from .demand import Demand
from .shapes import (
    ArrayShape,
    Cases,
    Listed,
    ObjectShape,
    Shape,
    identity,
    kind_of,
)


class Validator:
    """Judges values; `cases` gives the shapes of a demand."""

    def __init__(self, cases: Callable[[Demand], Cases]) -> None:
        self._cases = cases

    def satisfies(self, value: object, demand: Demand) -> bool:
        """Whether the value satisfies the demand. Raises SchemaError where that has no answer."""
        shapes = self._cases(demand).get(kind_of(value), ())
        return any(self.holds(value, shape) for shape in shapes)

    def holds(self, value: object, shape: Shape) -> bool:
        """Whether the value, which is of the shape's type, has the shape. Raises SchemaError."""
        match shape:
            case Listed():
                return shape.contains(value)
            case ObjectShape():
                assert isinstance(value, dict)
                return (
                    len(value) in shape.size
                    and shape.required <= value.keys()
                    and all(key not in value or other in value for key, other in shape.needs)
                    and all(self.satisfies(v, shape.demand(key)) for key, v in value.items())
                    and all(
                        any(keys.contains(k) and self.satisfies(v, d) for k, v in value.items())
                        for keys, d in shape.witnesses
                    )
                )
            case ArrayShape():
                assert isinstance(value, list)
                return (
                    len(value) in shape.count
                    and all(self.satisfies(v, shape.demand(i)) for i, v in enumerate(value))
                    and all(
                        sum(self.satisfies(v, clause.demand) for v in value[clause.start :])
                        in clause.count
                        for clause in shape.contains
                    )
                    and not (shape.unique and _has_equals(value))
                )
            case _:
                return shape.contains(value)  # type: ignore[arg-type]  # of the same type


def _has_equals(values: list[object]) -> bool:
    return len(set(map(identity, values))) < len(values)

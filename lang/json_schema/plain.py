"""The keywords of one schema node that are neither references nor combinators, as shapes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from decimal import Decimal
from typing import Any, Literal, TypeAlias

from .demand import ANYTHING, Demand, both, every
from .formats import STANDARD_FORMATS
from .keywords import child
from .merge import exactly, structure
from .number_set import NumberSet
from .refs import Document
from .shapes import (
    ALL,
    INTEGER,
    WHOLE,
    ArrayShape,
    Cases,
    Contains,
    Listed,
    ObjectShape,
    SeenItems,
    SeenKeys,
    Shape,
    identity,
    kind_of,
)
from .span import Span
from .string_set import StringSet, check_pattern

Formats: TypeAlias = Literal["enforced", "annotation"]
"""Whether the formats of the standard constrain, or are annotations: the standard allows both."""

_OBJECT = frozenset(
    "properties patternProperties additionalProperties required minProperties maxProperties".split()
)
_ARRAY = frozenset(
    "prefixItems items additionalItems minItems maxItems uniqueItems contains minContains "
    "maxContains".split()
)
_STRING = frozenset(("minLength", "maxLength", "pattern", "format"))
_NUMBER = frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"))


class PlainKeywords:
    """Reads plain keywords. `note(path, keyword, reason)` is told what constrains nothing."""

    def __init__(
        self, document: Document, note: Callable[[str, str, str], None], formats: Formats
    ) -> None:
        self._document = document
        self._note = note
        self._formats: Formats = formats

    def cases(self, node: Demand, schema: dict[str, Any], *, tracked: bool) -> Cases:
        """At most one shape per type. `tracked`: shapes say which members they evaluate."""
        used = schema.keys() & self._document.keywords
        kinds, whole_numbers = _types(schema) if "type" in used else (tuple(ALL), False)
        cases: dict[str, tuple[Shape, ...]] = {}
        for kind in kinds:
            shape = WHOLE[kind]
            match kind:
                case "object" if used & _OBJECT:
                    shape = self._object(node, schema, used, tracked)
                case "array" if used & _ARRAY:
                    shape = self._array(node, schema, used, tracked)
                case "string" if used & _STRING:
                    shape = self._string(node, schema, used)
                case "number" if used & _NUMBER:
                    shape = _number(schema, used, whole_numbers, node.path)
                case "number" if whole_numbers:
                    shape = INTEGER
            cases[kind] = (shape,)
        return cases

    def _object(
        self, node: Demand, schema: dict[str, Any], used: set[str], tracked: bool
    ) -> ObjectShape:
        declared = self._children(node, schema, "properties")
        patterns = self._children(node, schema, "patternProperties")
        extra = self._child(node, schema, "additionalProperties")
        sets = {pattern: StringSet(patterns=(pattern,), path=node.path) for pattern in patterns}
        others = [(sets[p], demand) for p, demand in patterns.items() if demand is not ANYTHING]
        for key in declared:
            for keys, demand in others:
                if keys.contains(key):
                    declared[key] = both(declared[key], demand)
        if extra is not ANYTHING:
            rest = StringSet(not_patterns=tuple(patterns), path=node.path)
            others.append((rest, extra))
        required = schema.get("required", ())
        for key in required:
            if key not in declared:
                declared[key] = every(demand for keys, demand in others if keys.contains(key))
        seen = SeenKeys()
        if tracked:
            names = frozenset(schema.get("properties", ()))
            seen = SeenKeys(names, frozenset(patterns), "additionalProperties" in used)
        return ObjectShape(
            node.path,
            declared,
            tuple(others),
            required=frozenset(required),
            size=_span(schema, "minProperties", "maxProperties"),
            seen=seen,
        )

    def _array(
        self, node: Demand, schema: dict[str, Any], used: set[str], tracked: bool
    ) -> ArrayShape:
        # A list as `items` is how drafts up to 2019-09 spell prefixItems.
        first, rest = "prefixItems", "items"
        if isinstance(schema.get("items"), list):
            first, rest = "items", "additionalItems"
        listed = schema.get(first, ()) if first in used else ()
        prefix = tuple(self._demand(node, sub, first, i) for i, sub in enumerate(listed))
        contains: tuple[Contains, ...] = ()
        matching: tuple[Demand, ...] = ()
        count = _span(schema, "minItems", "maxItems")
        if "contains" in used:
            demand = self._child(node, schema, "contains")
            least = schema.get("minContains", 1) if "minContains" in self._document.keywords else 1
            most = schema.get("maxContains") if "maxContains" in self._document.keywords else None
            span = Span(int(least), None if most is None else int(most))
            matching = (demand,) if self._document.draft >= 2020 else ()
            if demand is ANYTHING:
                count &= span
            elif span != Span():
                contains = (Contains(0, demand, span),)
        seen = SeenItems()
        if tracked:
            seen = SeenItems(len(prefix), rest in used, matching)
        return ArrayShape(
            node.path,
            count,
            prefix,
            self._child(node, schema, rest),
            contains,
            schema.get("uniqueItems") is True,
            seen,
        )

    def _string(self, node: Demand, schema: dict[str, Any], used: set[str]) -> StringSet:
        if "pattern" in used:
            check_pattern(schema["pattern"], node.path)  # here, where it stands
        formats: tuple[str, ...] = ()
        if "format" in used:
            name = schema["format"]
            if name not in STANDARD_FORMATS:
                reason = f"{name!r:.80} is no format of the standard: an annotation"
                self._note(node.path, "format", reason)
            elif self._formats == "annotation":
                self._note(node.path, "format", f"{name!r} is an annotation, as was asked for")
            else:
                formats = (name,)
        return StringSet(
            _span(schema, "minLength", "maxLength"),
            (schema["pattern"],) if "pattern" in used else (),
            formats=formats,
            path=node.path,
        )

    def _demand(self, node: Demand, schema: object, *steps: str | int) -> Demand:
        return self._document.demand(schema, child(node.path, *steps), node.scope)

    def _child(self, node: Demand, schema: dict[str, Any], keyword: str) -> Demand:
        if keyword not in schema or keyword not in self._document.keywords:
            return ANYTHING
        return self._demand(node, schema[keyword], keyword)

    def _children(self, node: Demand, schema: dict[str, Any], keyword: str) -> dict[str, Demand]:
        members = schema.get(keyword)
        if not members:
            return {}
        where = child(node.path, keyword)
        demand, scope = self._document.demand, node.scope
        return {name: demand(sub, child(where, name), scope) for name, sub in members.items()}


def listed_cases(values: list[object], path: str, *, tracked: bool = False) -> Cases:
    """These values, by type; equal ones are one.

    `tracked`: objects and arrays become shapes that can remember which members were evaluated.
    """
    by_kind: dict[str, list[object]] = {}
    known: set[Hashable] = set()
    for value in values:
        identified = identity(value)
        if identified not in known:
            known.add(identified)
            by_kind.setdefault(kind_of(value), []).append(value)
    cases: dict[str, tuple[Shape, ...]] = {}
    for kind, found in by_kind.items():
        if tracked and kind in ("object", "array"):
            cases[kind] = tuple(structure(value, path) for value in found)
        else:
            cases[kind] = (Listed(found, path),)
    return cases


def _types(schema: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    """The types, and whether its numbers are whole ones only."""
    named = schema["type"]
    if type(named) is str:
        return (("number",), True) if named == "integer" else ((named,), False)
    whole = "integer" in named and "number" not in named
    return tuple(dict.fromkeys("number" if n == "integer" else n for n in named)), whole


def _number(schema: dict[str, Any], used: set[str], whole: bool, path: str) -> NumberSet:
    ends: list[tuple[Decimal, bool] | None] = []
    for plain, exclusive, is_low in (
        ("minimum", "exclusiveMinimum", True),
        ("maximum", "exclusiveMaximum", False),
    ):
        strict = schema.get(exclusive)
        bounds: list[tuple[Decimal, bool]] = []
        if plain in schema:
            bounds.append((exactly(schema[plain]), strict is True))
        if strict is not None and not isinstance(strict, bool):
            bounds.append((exactly(strict), True))
        # Of two equal bounds the exclusive one is the tighter.
        sign = 1 if is_low else -1
        ends.append(max(bounds, key=lambda b: (b[0] * sign, b[1]), default=None))
    multiples = (exactly(schema["multipleOf"]),) if "multipleOf" in used else ()
    return NumberSet(ends[0], ends[1], multiples, integer=True if whole else None, path=path)


def _span(schema: dict[str, Any], low: str, high: str) -> Span:
    most = schema.get(high)
    return Span(int(schema.get(low, 0)), None if most is None else int(most))

"""Conjunctions of schemas: one node without references or combinators, and how two become one.

`allOf`, a `$ref` with siblings and an `anyOf` with siblings are rewritten into a list of `Flat`
schemas, any of which a value may satisfy. Sub-schemas stay unevaluated: two demands on the same
property become an `allOf` that is compiled when the property is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from .errors import SchemaError
from .json_keywords import REFUSED, Schema, child

ALL_TYPES = frozenset(("object", "array", "string", "number", "boolean", "null"))


@dataclass(frozen=True, slots=True)
class Sub:
    """A sub-schema and where it stands in the document."""

    schema: Schema
    path: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Numeric bounds: (value, is exclusive), the tightest so far."""

    low: tuple[Decimal, bool] | None = None
    high: tuple[Decimal, bool] | None = None
    multiple_of: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A count from `low` to `high`; None is no bound."""

    low: int = 0
    high: int | None = None

    def __and__(self, other: Span) -> Span:
        highs = [high for high in (self.high, other.high) if high is not None]
        return Span(max(self.low, other.low), min(highs, default=None))

    @property
    def is_empty(self) -> bool:
        return self.high is not None and self.high < self.low


@dataclass(frozen=True, slots=True)
class Flat:
    """A conjunction of plain keywords.

    Attributes:
        path: where errors point.
        types: allowed types; integers are numbers with `integer` set.
        values: the allowed values (`enum`, `const`), None if any.
        patterns, formats: all of them hold.
        excluded: string values that are not allowed.
        properties: declared keys in order. `extra` is for all other keys, after `key_patterns`.
        names: what each key must satisfy.
        prefix: schemas of the first items. `items` is for all others.
        refused: keywords without a grammar, by the type they constrain.
    """

    path: str
    types: frozenset[str] = ALL_TYPES
    integer: bool = False
    values: tuple[object, ...] | None = None
    limits: Limits = Limits()
    length: Span = Span()
    patterns: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    count: Span = Span()
    prefix: tuple[Sub, ...] = ()
    items: Sub = Sub(True, "$")
    unique: bool = False
    size: Span = Span()
    properties: tuple[tuple[str, Sub], ...] = ()
    key_patterns: tuple[tuple[str, Sub], ...] = ()
    extra: Sub = Sub(True, "$")
    names: tuple[Sub, ...] = ()
    required: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


def flat_of(schema: Mapping[str, object], path: str) -> Flat:
    """The plain keywords of one checked node; its references and combinators are not looked at."""
    flat = Flat(path, items=Sub(True, path), extra=Sub(True, path))
    if "type" in schema:
        named = schema["type"]
        names = set(named) if isinstance(named, list) else {named}
        integer = "integer" in names and "number" not in names
        if "integer" in names:
            names = names - {"integer"} | {"number"}
        flat = replace(flat, types=frozenset(str(name) for name in names), integer=integer)
    values: list[object] | None = None
    if "enum" in schema:
        values = list(schema["enum"])  # type: ignore[call-overload]
    if "const" in schema:
        constant = schema["const"]
        values = [v for v in values if same(v, constant)] if values is not None else [constant]
    refused = tuple(
        (name, kind)
        for name, (kind, _) in REFUSED.items()
        if name in schema and not (name.startswith("unevaluated") and schema[name] is True)
    )
    flat = replace(
        flat,
        values=None if values is None else tuple(values),
        limits=_limits(schema),
        length=_span(schema, "minLength", "maxLength"),
        patterns=_texts(schema, "pattern"),
        formats=_texts(schema, "format"),
        count=_span(schema, "minItems", "maxItems"),
        unique=schema.get("uniqueItems") is True,
        size=_span(schema, "minProperties", "maxProperties"),
        properties=_subs(schema, "properties", path),
        key_patterns=_subs(schema, "patternProperties", path),
        extra=_sub(schema, "additionalProperties", path),
        required=tuple(dict.fromkeys(schema.get("required", ()))),  # type: ignore[call-overload]
        refused=refused,
    )
    if "propertyNames" in schema:
        flat = replace(flat, names=(_sub(schema, "propertyNames", path),))
    # A list as `items` is how drafts up to 2019-09 spell prefixItems.
    first = "items" if isinstance(schema.get("items"), list) else "prefixItems"
    rest = "additionalItems" if first == "items" else "items"
    prefix = schema.get(first, [])
    assert isinstance(prefix, list)
    located = tuple(Sub(item, child(path, first, i)) for i, item in enumerate(prefix))
    return replace(flat, prefix=located, items=_sub(schema, rest, path))


def merge(a: Flat, b: Flat) -> Flat | None:
    """What satisfies both, or None if nothing does. Raises SchemaError if that is no `Flat`."""
    types = a.types & b.types
    if a.values is None or b.values is None:
        values = b.values if a.values is None else a.values
    else:
        values = tuple(v for v in a.values if any(same(v, w) for w in b.values))
    if not types or values == ():
        return None
    keys = dict.fromkeys([*(key for key, _ in a.properties), *(key for key, _ in b.properties)])
    properties = tuple((key, both(_declared(a, key), _declared(b, key))) for key in keys)
    _check_key_patterns(a, b)
    width = max(len(a.prefix), len(b.prefix))
    return Flat(
        a.path,
        types=types,
        integer=a.integer or b.integer,
        values=values,
        limits=_tightest(a.limits, b.limits, b.path),
        length=a.length & b.length,
        patterns=tuple(dict.fromkeys(a.patterns + b.patterns)),
        formats=tuple(dict.fromkeys(a.formats + b.formats)),
        count=a.count & b.count,
        prefix=tuple(both(_item(a, i), _item(b, i)) for i in range(width)),
        items=both(a.items, b.items),
        unique=a.unique or b.unique,
        size=a.size & b.size,
        properties=properties,
        key_patterns=a.key_patterns or b.key_patterns,
        extra=both(a.extra, b.extra),
        names=a.names + b.names,
        required=tuple(dict.fromkeys(a.required + b.required)),
        refused=tuple(dict.fromkeys(a.refused + b.refused)),
    )


def both(a: Sub, b: Sub) -> Sub:
    """The conjunction of two sub-schemas."""
    if _is_true(a.schema) or a.schema is False:
        return b if a.schema is not False else a
    if _is_true(b.schema):
        return a
    if b.schema is False or fingerprint(a.schema) == fingerprint(b.schema):
        return b
    return Sub({"allOf": [a.schema, b.schema]}, a.path)


def fingerprint(schema: object) -> str:
    """Equal for schemas with equal text; the order of keys counts, as it is the order of output."""
    return json.dumps(schema)


def same(a: object, b: object) -> bool:
    """JSON equality: 1 is 1.0, and true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


def type_of(value: object) -> str:
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


def _is_true(schema: Schema) -> bool:
    return schema is True or schema == {}


def _declared(flat: Flat, key: str) -> Sub:
    return next((sub for name, sub in flat.properties if name == key), _undeclared(flat))


def _undeclared(flat: Flat) -> Sub:
    # Keys of a pattern are sorted out when the object is compiled, which adds the pattern's schema
    # to each declared key that it matches; only `extra` must not be added to those.
    return Sub(True, flat.path) if flat.key_patterns else flat.extra


def _check_key_patterns(a: Flat, b: Flat) -> None:
    if a.key_patterns == b.key_patterns:
        if not a.key_patterns or (_is_true(a.extra.schema) and _is_true(b.extra.schema)):
            return
        if {key for key, _ in a.properties} == {key for key, _ in b.properties}:
            return
    elif any(
        _is_true(flat.extra.schema) and not flat.properties and not flat.key_patterns
        for flat in (a, b)
    ) or (
        (not a.key_patterns or not b.key_patterns)
        and all(_is_true(flat.extra.schema) for flat in (a, b))
    ):
        return
    raise SchemaError(
        "patternProperties cannot be combined with another schema's properties; "
        "write one object schema",
        (a if a.key_patterns else b).path,
        "patternProperties",
    )


def _item(flat: Flat, index: int) -> Sub:
    return flat.prefix[index] if index < len(flat.prefix) else flat.items


def _sub(schema: Mapping[str, object], keyword: str, path: str) -> Sub:
    return Sub(schema.get(keyword, True), child(path, keyword))  # type: ignore[arg-type]


def _subs(schema: Mapping[str, object], keyword: str, path: str) -> tuple[tuple[str, Sub], ...]:
    members = schema.get(keyword, {})
    assert isinstance(members, Mapping)
    return tuple((key, Sub(sub, child(path, keyword, key))) for key, sub in members.items())


def _texts(schema: Mapping[str, object], keyword: str) -> tuple[str, ...]:
    return (str(schema[keyword]),) if keyword in schema else ()


def _span(schema: Mapping[str, object], low: str, high: str) -> Span:
    most = schema.get(high)
    return Span(int(schema.get(low, 0)), None if most is None else int(most))  # type: ignore[call-overload]


def decimal(value: object) -> Decimal:
    """A number of a schema, exactly as it was written."""
    return Decimal(value) if isinstance(value, int) else Decimal(repr(value))


def _limits(schema: Mapping[str, object]) -> Limits:
    ends: list[tuple[Decimal, bool] | None] = []
    for plain, exclusive, tighter in (
        ("minimum", "exclusiveMinimum", max),
        ("maximum", "exclusiveMaximum", min),
    ):
        strict = schema.get(exclusive)
        bounds: list[tuple[Decimal, bool]] = []
        if plain in schema:
            bounds.append((decimal(schema[plain]), strict is True))
        if strict is not None and not isinstance(strict, bool):
            bounds.append((decimal(strict), True))
        ends.append(_tighter(bounds, tighter is max))
    multiple = schema.get("multipleOf")
    return Limits(ends[0], ends[1], None if multiple is None else decimal(multiple))


def _tighter(bounds: Iterable[tuple[Decimal, bool]], low: bool) -> tuple[Decimal, bool] | None:
    found = list(bounds)
    if not found:
        return None
    edge = max(value for value, _ in found) if low else min(value for value, _ in found)
    return edge, any(strict for value, strict in found if value == edge)


def _tightest(a: Limits, b: Limits, path: str) -> Limits:
    multiples = {m for m in (a.multiple_of, b.multiple_of) if m is not None}
    if any(m != m.to_integral_value() for m in multiples) and len(multiples) > 1:
        raise SchemaError("two fractional multipleOf cannot be combined", path, "multipleOf")
    return Limits(
        _tighter((end for end in (a.low, b.low) if end), True),
        _tighter((end for end in (a.high, b.high) if end), False),
        Decimal(math.lcm(*map(int, multiples)))
        if len(multiples) > 1
        else next(iter(multiples), None),
    )

"""Random JSON Schemas with an instance each, and jsonschema's opinion of any value.

A value is drawn first and a schema that is true of it second, so that every keyword and nesting of
them occurs and always has an instance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import jsonschema
from hypothesis import assume
from hypothesis import strategies as st

DRAFTS = {
    "http://json-schema.org/draft-07/schema#": jsonschema.Draft7Validator,
    "https://json-schema.org/draft/2020-12/schema": jsonschema.Draft202012Validator,
}

Json = Any
Draw = Callable[[st.SearchStrategy[Any]], Any]

PATTERNS = [
    "^[a-z]+$",
    "a",
    "^.{0,9}$",
    "[0-9]{2}",
    "^(x|y|ab)?",
    "é|日",
    "^\\S*$",
    "b$",
    "^[^b]*$",
]
FORMATS = ["date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]
FORMATTED = [
    *("2024-02-29", "23:59:59Z", "2026-11-21T09:37:41.5-08:00", "P1DT2H3M4S", "a.b@example.com"),
    *("a.b-c.example.org", "255.0.10.99", "2001:db8::1", "123e4567-e89b-12d3-a456-426614174000"),
]
KEYS = st.sampled_from(["a", "b", "ab", "a1", "é", "日本", 'q"\\', "x-y", ""])
TEXTS = st.one_of(
    st.text(alphabet='ab19 é日😀"\\/\n\t\x7f', max_size=6),
    st.sampled_from(FORMATTED),
    st.sampled_from(["null", "1", "{}"]),
)
NUMBERS = st.one_of(
    st.integers(-300, 300),
    st.integers(-3000, 3000).map(lambda n: n / 100),
    st.sampled_from([0, 1.0, -0.5, 1e-7, 12345678901234567890, 1e21]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda v: st.one_of(st.lists(v, max_size=4), st.dictionaries(KEYS, v, max_size=4)),
    max_leaves=8,
)


# --- a schema that is true of a value -----------------------------------------------------------


class Describer:
    """Draws keywords that hold for a value; `modern` is draft 2020-12, otherwise draft 7."""

    def __init__(self, draw: Draw, modern: bool) -> None:
        self.draw = draw
        self.modern = modern
        self.definitions: dict[str, Json] = {}

    def holds(self, schema: Json, value: Json) -> bool:
        """Whether the value satisfies a part of the document."""
        if not isinstance(schema, dict):
            return valid(schema, value)
        where = "$defs" if self.modern else "definitions"
        return valid(
            {"$schema": list(DRAFTS)[self.modern], **schema, where: self.definitions}, value
        )

    def some(self, chance: float = 0.35) -> bool:
        return bool(self.draw(st.floats(0, 1)) > 1 - chance)

    def document(self, value: Json) -> dict[str, Json]:
        """A whole schema, with its definitions."""
        schema = self.schema(value, 2)
        schema = schema if isinstance(schema, dict) else {"description": "anything"}
        uri = list(DRAFTS)[self.modern]
        where = "$defs" if self.modern else "definitions"
        defined = {where: self.definitions} if self.definitions else {}
        return {"$schema": uri, **schema, **defined}

    def schema(self, value: Json, depth: int) -> Json:
        if self.some(0.06):
            return True
        schema = self.typed(value, depth)
        if depth > 0 and self.some(0.3):
            schema = self.combined(value, schema, depth - 1)
        return schema

    def typed(self, value: Json, depth: int) -> dict[str, Json]:
        schema: dict[str, Json] = {}
        name = type_name(value)
        if self.some(0.75):
            names = [name, *self.draw(st.lists(st.sampled_from(["null", "string"]), max_size=2))]
            schema["type"] = name if self.some(0.7) else list(dict.fromkeys(names))
        if self.some(0.08):
            schema["const"] = value
        elif self.some(0.1):
            schema["enum"] = unique([*self.draw(st.lists(SCALARS, max_size=3)), value])
        elif isinstance(value, str):
            schema |= self.string(value)
        elif isinstance(value, list):
            schema |= self.array(value, depth - 1)
        elif isinstance(value, dict):
            schema |= self.object(value, depth - 1)
        elif value is not None and not isinstance(value, bool):
            schema |= self.number(value)
        return schema

    def string(self, value: str) -> dict[str, Json]:
        schema: dict[str, Json] = {}
        if self.some():
            schema["minLength"] = self.draw(st.integers(0, len(value)))
        if self.some():
            schema["maxLength"] = len(value) + self.draw(st.sampled_from([0, 1, 3, 40000]))
        if self.some(0.3) and (fit := [p for p in PATTERNS if re.search(p, value)]):
            schema["pattern"] = self.draw(st.sampled_from(fit))
        checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        if self.some(0.5) and (fit := [f for f in FORMATS if checker.conforms(value, f)]):
            schema["format"] = self.draw(st.sampled_from(fit))
        return schema

    def number(self, value: float) -> dict[str, Json]:
        schema: dict[str, Json] = {}
        room = st.sampled_from([0, 1, 2.5, 1000])
        if self.some():
            schema["minimum"] = value - self.draw(room)
        elif self.some():
            schema["exclusiveMinimum"] = value - 0.5 - self.draw(room)
        if self.some():
            schema["maximum"] = value + self.draw(room)
        elif self.some():
            schema["exclusiveMaximum"] = value + 0.5 + self.draw(room)
        steps = [
            s
            for s in (1, 2, 3, 7, 0.5, 0.25, 0.1, 0.01)
            if number(str(value)) % number(str(s)) == 0
        ]
        if self.some(0.3) and steps and abs(value) < 1e6:
            schema["multipleOf"] = self.draw(st.sampled_from(steps))
        return {k: v for k, v in schema.items() if abs(v) < 1e6}

    def array(self, value: list[Json], depth: int) -> dict[str, Json]:
        schema: dict[str, Json] = {}
        head = self.draw(st.integers(0, len(value))) if self.some() else 0
        names = ("prefixItems", "items") if self.modern else ("items", "additionalItems")
        if head:
            schema[names[0]] = [self.schema(item, depth) for item in value[:head]]
        rest = value[head:]
        if self.some(0.6) and (head or self.modern or rest):
            schema[names[1] if head or self.modern else "items"] = self.common(rest, depth)
        if self.some():
            schema["minItems"] = self.draw(st.integers(0, len(value)))
        if self.some():
            schema["maxItems"] = len(value) + self.draw(st.sampled_from([0, 1, 5]))
        if self.some(0.2) and len(unique(value)) == len(value):
            schema["uniqueItems"] = True
        if self.some(0.2) and value:
            schema["contains"] = self.typed(self.draw(st.sampled_from(value)), 0)
            found = sum(self.holds(schema["contains"], item) for item in value)
            if self.modern and self.some():
                schema["minContains"] = self.draw(st.integers(0, found))
            if self.modern and self.some():
                schema["maxContains"] = found + self.draw(st.integers(0, 2))
        return schema

    def common(self, values: list[Json], depth: int) -> Json:
        """A schema of every one of some values."""
        if not values:
            return self.draw(st.sampled_from([False, {"type": "integer"}]))
        shared = self.schema(self.draw(st.sampled_from(values)), depth)
        if all(self.holds(shared, value) for value in values):
            return shared
        return {"anyOf": [self.schema(value, depth) for value in values]}

    def object(self, value: dict[str, Json], depth: int) -> dict[str, Json]:
        schema: dict[str, Json] = {}
        keys = list(value)
        declared = keys[: self.draw(st.integers(0, len(keys)))]
        if declared or self.some():
            schema["properties"] = {key: self.schema(value[key], depth) for key in declared}
            for key in self.draw(st.lists(KEYS.filter(lambda k: k not in value), max_size=2)):
                schema["properties"][key] = {"type": "integer"}
        extra = keys[len(declared) :]
        if self.some(0.3) and extra:
            pattern = self.draw(st.sampled_from(["^a", "b", "é|日"]))
            fitting = [k for k in keys if re.search(pattern, k)]
            if fitting and all(k in extra for k in fitting):
                schema["patternProperties"] = {
                    pattern: self.common([value[k] for k in fitting], depth)
                }
                extra = [k for k in extra if k not in fitting]
        if self.some(0.5):
            schema["additionalProperties"] = self.common([value[k] for k in extra], depth)
        if keys and self.some(0.6):
            schema["required"] = self.draw(st.lists(st.sampled_from(keys), unique=True))
        if self.some(0.2):
            schema["minProperties"] = self.draw(st.integers(0, len(keys)))
        if self.some(0.2):
            schema["maxProperties"] = len(keys) + self.draw(st.integers(0, 2))
        if self.some(0.15):
            longest = max(map(len, keys), default=0)
            schema["propertyNames"] = self.draw(
                st.sampled_from([{"maxLength": longest + 1}, {"pattern": "^[^0]*$"}])
            )
        if self.some(0.2) and keys:
            first = self.draw(st.sampled_from(keys))
            needed = self.draw(st.lists(st.sampled_from(keys), max_size=2, unique=True))
            name = "dependentRequired" if self.modern else "dependencies"
            schema[name] = {first: needed, "absent": ["a"]}
        if self.modern and self.some(0.1) and keys:
            schema["dependentSchemas"] = {
                self.draw(st.sampled_from(keys)): {"minProperties": 1},
                "absent": False,
            }
        return schema

    def combined(self, value: Json, schema: dict[str, Json], depth: int) -> dict[str, Json]:
        other = self.typed(self.draw(SCALARS), 0)
        kind = self.draw(st.sampled_from(["anyOf", "oneOf", "allOf", "not", "if", "$ref", "open"]))
        holds = self.holds(other, value)
        match kind:
            case "anyOf":
                return {"anyOf": [other, schema] if self.some(0.5) else [schema, other]}
            case "oneOf" if not holds:
                return {"oneOf": [schema, other]}
            case "allOf":
                return {**schema, "allOf": [self.typed(value, depth), *([other] if holds else [])]}
            case "not" if not holds:
                return {**schema, "not": other}
            case "if":
                branches = {"then": schema} if holds else {"then": other, "else": schema}
                return {"if": other, **branches}
            case "$ref":
                name = f"d{len(self.definitions)}"
                self.definitions[name] = schema
                return {"$ref": f"#/{'$defs' if self.modern else 'definitions'}/{name}"}
            case "open" if self.modern and isinstance(value, dict):
                every = {key: self.typed(value[key], 0) for key in value}
                return {"allOf": [{"properties": every}], "unevaluatedProperties": False}
            case "open" if self.modern and isinstance(value, list) and value:
                items = [self.typed(item, 0) for item in value]
                return {"prefixItems": items, "unevaluatedItems": False}
            case _:
                return schema


@st.composite
def described(draw: Draw) -> tuple[dict[str, Json], Json]:
    """A schema and an instance of it."""
    value = draw(VALUES)
    schema = Describer(draw, draw(st.booleans())).document(value)
    assume(valid(schema, value))
    return schema, value


def type_name(value: Json) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "integer" if value == int(value) else "number"
    return {type(None): "null", str: "string", list: "array", dict: "object"}[type(value)]


def unique(values: list[Json]) -> list[Json]:
    """The values without repeats, as JSON compares them."""
    kept: list[Json] = []
    for value in values:
        if not valid({"enum": kept}, value):
            kept.append(value)
    return kept


# --- the other opinion --------------------------------------------------------------------------


def exact(text: str) -> Json:
    """A JSON text's value, with numbers that binary floats do not round."""
    return json.loads(text, parse_float=number)


def number(text: str) -> int | Decimal:
    found = Decimal(text)
    return int(found) if found == found.to_integral_value() else found


def valid(schema: Json, value: Json) -> bool:
    """Whether jsonschema accepts the value, formats asserted."""
    return valid_text(schema, json.dumps(value))


def valid_text(schema: Json, text: str) -> bool:
    uri = schema.get("$schema") if isinstance(schema, dict) else None
    validator = DRAFTS.get(uri or "", jsonschema.Draft202012Validator)
    with localcontext(prec=1000):
        checked = validator(exact(json.dumps(schema)), format_checker=validator.FORMAT_CHECKER)
        return bool(checked.is_valid(exact(text)))

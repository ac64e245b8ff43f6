"""The keywords of JSON Schema: what the value of each must be, and which are refused.

The one table of what treegram makes of a schema. A keyword that the standard does not define is an
annotation, as the standard says; one that it defines and that has no exact grammar is refused where
it could constrain a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from .errors import SchemaError

Schema: TypeAlias = "bool | Mapping[str, object]"

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")

ANNOTATIONS = frozenset(
    (
        *("$anchor", "$comment", "$defs", "$id", "$schema", "$vocabulary", "id", "definitions"),
        *("title", "description", "default", "example", "examples", "deprecated"),
        *("readOnly", "writeOnly", "discriminator"),
        *("contentEncoding", "contentMediaType", "contentSchema"),
    )
)
"""Known keywords that constrain nothing."""

REFUSED: Mapping[str, tuple[str, str]] = {
    "$dynamicRef": ("any", "use $ref"),
    "$recursiveRef": ("any", "use $ref"),
    "if": ("any", "write the cases as anyOf"),
    "contains": ("array", "constrain every item with items, or positions with prefixItems"),
    "unevaluatedItems": ("array", "use items"),
    "unevaluatedProperties": ("object", "use additionalProperties"),
}
"""Refused keyword -> the type of value it constrains, and what to write instead."""


def child(path: str, *steps: str | int) -> str:
    """The JSON path of a node below `path`."""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif re.fullmatch(r"[A-Za-z_$][\w$-]*", step):
            path += f".{step}"
        else:
            path += f"[{step!r}]"
    return path


def check_keywords(schema: Mapping[str, object], path: str) -> None:
    """Raises SchemaError on a keyword whose value is malformed or contradicts another one."""
    for keyword, value in schema.items():
        rule = _VALUES.get(keyword)
        if rule is not None and not rule[1](value):
            raise SchemaError(f"{keyword} must be {rule[0]}, not {value!r}", path, keyword)
    for low_name, high_name in _BOUNDS:
        low, high = schema.get(low_name), schema.get(high_name)
        if _is_number(low) and _is_number(high) and low > high:  # type: ignore[operator]
            raise SchemaError(
                f"no value has {low_name} {low!r} and {high_name} {high!r}", path, low_name
            )


def constrains(schema: Mapping[str, object]) -> bool:
    """Whether the node has any keyword that is not an annotation."""
    return any(keyword in CONSTRAINING for keyword in schema)


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _is_bound(value: object) -> bool:
    return _is_number(value) or isinstance(value, bool)  # draft 4: exclusiveMinimum is a flag


def _is_count(value: object) -> bool:
    return _is_number(value) and value == int(value) and value >= 0  # type: ignore[call-overload,operator]


def _is_schema(value: object) -> bool:
    return isinstance(value, bool | Mapping)


def _is_schema_list(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_schema, value))


def _is_schema_map(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_is_schema, value.values()))


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_type(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in TYPES for name in names)


_COUNT = ("a whole number, 0 or more", _is_count)
_NUMBER = ("a number", _is_number)
_LIMIT = ("a number", _is_bound)
_SCHEMA = ("a schema (an object or a boolean)", _is_schema)
_SCHEMAS = ("a list of schemas", _is_schema_list)
_SOME_SCHEMAS = ("a non-empty list of schemas", lambda v: bool(v) and _is_schema_list(v))
_SCHEMA_MAP = ("an object of schemas", _is_schema_map)
_STRING = ("a string", lambda v: isinstance(v, str))

_VALUES: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "$ref": _STRING,
    "type": (f"one of {', '.join(TYPES)}, or a list of these", _is_type),
    "enum": ("a non-empty list", lambda v: isinstance(v, list) and bool(v)),
    "allOf": _SOME_SCHEMAS,
    "anyOf": _SOME_SCHEMAS,
    "oneOf": _SOME_SCHEMAS,
    "not": _SCHEMA,
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "exclusiveMinimum": _LIMIT,
    "exclusiveMaximum": _LIMIT,
    "multipleOf": ("a number above 0", lambda v: _is_number(v) and v > 0),  # type: ignore[operator]
    "minLength": _COUNT,
    "maxLength": _COUNT,
    "pattern": _STRING,
    "format": _STRING,
    "items": (
        "a schema, or a list of schemas",
        lambda v: _is_schema(v) or _is_schema_list(v),
    ),
    "additionalItems": _SCHEMA,
    "prefixItems": _SCHEMAS,
    "minItems": _COUNT,
    "maxItems": _COUNT,
    "uniqueItems": ("true or false", lambda v: isinstance(v, bool)),
    "properties": _SCHEMA_MAP,
    "patternProperties": _SCHEMA_MAP,
    "additionalProperties": _SCHEMA,
    "propertyNames": _SCHEMA,
    "required": ("a list of strings", _is_names),
    "minProperties": _COUNT,
    "maxProperties": _COUNT,
    "dependentRequired": (
        "an object of lists of strings",
        lambda v: isinstance(v, Mapping) and all(map(_is_names, v.values())),
    ),
    "dependentSchemas": _SCHEMA_MAP,
    "dependencies": (
        "an object of schemas or lists of strings",
        lambda v: isinstance(v, Mapping) and all(_is_schema(d) or _is_names(d) for d in v.values()),
    ),
    "$defs": ("an object", lambda v: isinstance(v, Mapping)),
}

CONSTRAINING = frozenset(_VALUES) - ANNOTATIONS | frozenset(REFUSED) | {"const"}

_BOUNDS = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)

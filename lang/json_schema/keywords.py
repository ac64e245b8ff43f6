"""The keywords of JSON Schema: what the value of each must be, and since which draft it is one.

The one table of what treegram makes of a schema. A keyword that the schema's draft does not define
is an annotation, as the standard says. A schema that names no draft is read as the newest one,
with the older spellings that do not contradict it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from ..errors import SchemaError

Schema: TypeAlias = "bool | Mapping[str, object]"

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")

LATEST = 2020
_DRAFT = re.compile(
    r"https?://json-schema\.org/(?:draft-0(?P<old>[4-7])/(?:hyper-)?schema"
    r"|draft/(?P<new>2019-09|2020-12)/(?:hyper-)?schema|schema)#?"
)


def draft_of(schema: Schema) -> int:
    """The draft that the document names: 4, 6, 7, 2019 or 2020; the newest if it names none.

    Raises SchemaError for a `$schema` that is not one of the standard's: nothing says what the
    keywords mean there.
    """
    name = LATEST if isinstance(schema, bool) else schema.get("$schema", LATEST)
    if name == LATEST:
        return LATEST
    found = _DRAFT.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise SchemaError(
            f"$schema {name!r:.80} is no draft from 4 to 2020-12; drop it, or name one",
            "$",
            "$schema",
        )
    if found["old"]:
        return max(4, int(found["old"])) if found["old"] != "5" else 4
    return int(found["new"][:4]) if found["new"] else LATEST


def child(path: str, *steps: str | int) -> str:
    """The JSON path of a node below `path`."""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _NAME.fullmatch(step):
            path += f".{step}"
        else:
            path += f"[{step!r}]"
    return path


_NAME = re.compile(r"[A-Za-z_$][\w$-]*")


def check_keywords(schema: Mapping[str, object], path: str) -> None:
    """Raises SchemaError on a keyword whose value is malformed or contradicts another one."""
    for keyword, value in schema.items():
        rule = _VALUES.get(keyword)
        if rule is not None and not rule[1](value):
            raise SchemaError(f"{keyword} must be {rule[0]}, not {value!r:.80}", path, keyword)
    for low_name, high_name in _BOUNDS:
        if low_name in schema and high_name in schema:
            low, high = schema[low_name], schema[high_name]
            if low > high:  # type: ignore[operator]  # both are numbers: checked above
                raise SchemaError(
                    f"no value has {low_name} {low!r} and {high_name} {high!r}", path, low_name
                )


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _is_bound(value: object) -> bool:
    return _is_number(value) or isinstance(value, bool)  # draft 4: exclusiveMinimum is a flag


def _is_count(value: object) -> bool:
    return _is_number(value) and value == int(value) and value >= 0  # type: ignore[call-overload,operator]


def _is_schema(value: object) -> bool:
    return isinstance(value, bool | dict)


def _is_schema_list(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_schema, value))


def _is_schema_map(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_schema, value.values()))


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_type(value: object) -> bool:
    if type(value) is str:
        return value in TYPES
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(name, str) and name in TYPES for name in value)
    )


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
    "$dynamicRef": _STRING,
    "$recursiveRef": ("'#'", lambda v: v == "#"),
    "type": (f"one of {', '.join(TYPES)}, or a list of these", _is_type),
    "enum": ("a non-empty list", lambda v: isinstance(v, list) and bool(v)),
    "const": ("any value", lambda v: True),
    "allOf": _SOME_SCHEMAS,
    "anyOf": _SOME_SCHEMAS,
    "oneOf": _SOME_SCHEMAS,
    "not": _SCHEMA,
    "if": _SCHEMA,
    "then": _SCHEMA,
    "else": _SCHEMA,
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "exclusiveMinimum": _LIMIT,
    "exclusiveMaximum": _LIMIT,
    "multipleOf": ("a number above 0", lambda v: _is_number(v) and v > 0),  # type: ignore[operator]
    "minLength": _COUNT,
    "maxLength": _COUNT,
    "pattern": _STRING,
    "format": _STRING,
    "items": ("a schema, or a list of schemas", lambda v: _is_schema(v) or _is_schema_list(v)),
    "additionalItems": _SCHEMA,
    "prefixItems": _SCHEMAS,
    "unevaluatedItems": _SCHEMA,
    "contains": _SCHEMA,
    "minContains": _COUNT,
    "maxContains": _COUNT,
    "minItems": _COUNT,
    "maxItems": _COUNT,
    "uniqueItems": ("true or false", lambda v: isinstance(v, bool)),
    "properties": _SCHEMA_MAP,
    "patternProperties": _SCHEMA_MAP,
    "additionalProperties": _SCHEMA,
    "unevaluatedProperties": _SCHEMA,
    "propertyNames": _SCHEMA,
    "required": ("a list of strings", _is_names),
    "minProperties": _COUNT,
    "maxProperties": _COUNT,
    "dependentRequired": (
        "an object of lists of strings",
        lambda v: isinstance(v, dict) and all(map(_is_names, v.values())),
    ),
    "dependentSchemas": _SCHEMA_MAP,
    "discriminator": ("any value", lambda v: True),  # OpenAPI
    "dependencies": (
        "an object of schemas or lists of strings",
        lambda v: isinstance(v, dict) and all(_is_schema(d) or _is_names(d) for d in v.values()),
    ),
}

_SINCE: Mapping[str, int] = {
    **dict.fromkeys(("const", "contains", "propertyNames"), 6),
    **dict.fromkeys(("if", "then", "else"), 7),
    **dict.fromkeys(("minContains", "maxContains", "dependentRequired", "dependentSchemas"), 2019),
    **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties", "$recursiveRef"), 2019),
    **dict.fromkeys(("prefixItems", "$dynamicRef"), 2020),
}


def keywords_of(draft: int) -> frozenset[str]:
    """The keywords that constrain values in this draft.

    Older spellings stay (`dependencies`, a list as `items`), except `$recursiveRef`.
    """
    since = frozenset(name for name in _VALUES if _SINCE.get(name, 4) <= draft)
    return since - {"$recursiveRef"} if draft == LATEST else since


CHILDREN: Mapping[str, str] = {
    **dict.fromkeys(("not", "if", "then", "else", "additionalItems", "contains"), "one"),
    **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties"), "one"),
    **dict.fromkeys(("additionalProperties", "propertyNames", "contentSchema"), "one"),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), "list"),
    **dict.fromkeys(("properties", "patternProperties", "dependentSchemas"), "map"),
    **dict.fromkeys(("$defs", "definitions", "dependencies"), "map"),
    "items": "either",
}
"""Keywords that hold schemas: one, a list, a map from names to schemas, or one or a list."""


_BOUNDS = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)

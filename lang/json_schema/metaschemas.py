"""The metaschemas of the drafts, for schemas that refer to them: a value is itself a schema.

OpenAPI and other formats that embed schemas refer to them by their URI. They are made here from
what the drafts say of each keyword, with the names that pointers into them use
(`#/properties/title`, `#/definitions/positiveInteger`). The newer drafts split theirs into
vocabularies, which together say the same as one schema that refers to itself.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from .format_regexes import regex_of_regexes
from .keywords import TYPES

Json = dict[str, Any]

_URIS = {
    **{f"http://json-schema.org/draft-0{draft}/schema": draft for draft in (4, 6, 7)},
    "https://json-schema.org/draft/2019-09/schema": 2019,
    "https://json-schema.org/draft/2020-12/schema": 2020,
}

_SCHEMA: Json = {"$ref": "#"}
_STRING: Json = {"type": "string"}
_BOOLEAN: Json = {"type": "boolean"}
_NUMBER: Json = {"type": "number"}
_REGEX: Json = {"type": "string", "format": "regex"}


def metaschema_draft(uri: str) -> int | None:
    """The draft whose metaschema has this URI, written without a fragment."""
    return _URIS.get(uri)


@cache
def metaschema(draft: int) -> Json:
    """The metaschema of a draft. Not to be changed: all callers share it."""
    properties = _properties(draft)
    own: Json = {"type": "object" if draft == 4 else ["object", "boolean"]}
    if draft == 4:
        own["allOf"] = [
            _needs("exclusiveMinimum", "minimum"),
            _needs("exclusiveMaximum", "maximum"),
        ]
    return {**own, "definitions": _definitions(draft), "properties": properties}


def _definitions(draft: int) -> Json:
    count: Json = {"type": "integer", "minimum": 0}
    name = "positiveInteger" if draft == 4 else "nonNegativeInteger"
    strings: Json = {"type": "array", "items": _STRING, "uniqueItems": True}
    return {
        "schemaArray": {"type": "array", "minItems": 1, "items": _SCHEMA},
        name: count,
        f"{name}Default0": count,
        "simpleTypes": {"enum": sorted(TYPES)},
        "stringArray": {**strings, "minItems": 1} if draft == 4 else strings,
    }


def _properties(draft: int) -> Json:
    schemas = _ref("schemaArray")
    count = _ref("positiveInteger" if draft == 4 else "nonNegativeInteger")
    schema_map: Json = {"type": "object", "additionalProperties": _SCHEMA}
    flag = _BOOLEAN if draft == 4 else _NUMBER
    rest = {"anyOf": [_BOOLEAN, _SCHEMA]} if draft == 4 else _SCHEMA
    types = {"type": "array", "items": _ref("simpleTypes"), "minItems": 1, "uniqueItems": True}
    # as a pattern, because what is not of this format has no grammar
    names: Json = {} if draft == 4 else {"propertyNames": {"pattern": f"^({regex_of_regexes()})$"}}
    values: Json = {"type": "array"}
    if draft == 4:
        values |= {"minItems": 1, "uniqueItems": True}
    one_or_more = {"anyOf": [_SCHEMA, schemas]}
    properties = {
        "$schema": _STRING if draft == 4 else _text("uri"),
        **dict.fromkeys(("title", "description", "format"), _STRING),
        "default": {},
        "enum": values,
        "type": {"anyOf": [_ref("simpleTypes"), types]},
        "multipleOf": {"type": "number", "exclusiveMinimum": 0},
        **dict.fromkeys(("minimum", "maximum"), _NUMBER),
        **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), flag),
        **{
            f"{end}{of}": count
            for of in ("Length", "Items", "Properties")
            for end in ("min", "max")
        },
        "pattern": _REGEX,
        "uniqueItems": _BOOLEAN,
        "items": _SCHEMA if draft >= 2020 else one_or_more,
        "required": _ref("stringArray"),
        **dict.fromkeys(("definitions", "properties"), schema_map),
        "patternProperties": {**schema_map, **names},
        "additionalProperties": rest,
        "dependencies": {
            "type": "object",
            "additionalProperties": {"anyOf": [_SCHEMA, _ref("stringArray")]},
        },
        **dict.fromkeys(("allOf", "anyOf", "oneOf"), schemas),
        "not": _SCHEMA,
    }
    if draft <= 2019:
        properties["additionalItems"] = rest
    if draft == 4:
        return {"id": _STRING, **properties}
    properties |= {"$id": _text("uri-reference"), "$ref": _text("uri-reference")}
    properties |= {"examples": {"type": "array"}, "const": {}}
    properties |= dict.fromkeys(("contains", "propertyNames"), _SCHEMA)
    if draft >= 7:
        properties |= dict.fromkeys(("$comment", "contentMediaType", "contentEncoding"), _STRING)
        properties |= dict.fromkeys(("readOnly", "writeOnly"), _BOOLEAN)
        properties |= dict.fromkeys(("if", "then", "else"), _SCHEMA)
    return properties | (_newer(draft, schema_map, schemas, count) if draft >= 2019 else {})


def _newer(draft: int, schema_map: Json, schemas: Json, count: Json) -> Json:
    """What came with the vocabularies."""
    anchor = r"^[A-Za-z][-A-Za-z0-9.:_]*$" if draft == 2019 else r"^[A-Za-z_][-A-Za-z0-9._]*$"
    named: Json = {"type": "string", "pattern": anchor}
    properties: Json = {
        "$id": {**_text("uri-reference"), "pattern": "^[^#]*#?$"},
        "$anchor": named,
        "$recursiveRef": _text("uri-reference"),
        "$recursiveAnchor": _BOOLEAN if draft == 2019 else named,
        "$vocabulary": {
            "type": "object",
            "propertyNames": _text("uri"),
            "additionalProperties": _BOOLEAN,
        },
        "deprecated": _BOOLEAN,
        **dict.fromkeys(("$defs", "dependentSchemas"), schema_map),
        "dependentRequired": {"type": "object", "additionalProperties": _ref("stringArray")},
        **dict.fromkeys(("minContains", "maxContains"), count),
        **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties", "contentSchema"), _SCHEMA),
    }
    if draft >= 2020:
        properties |= {"$dynamicRef": _text("uri-reference"), "$dynamicAnchor": named}
        properties["prefixItems"] = schemas
    return properties


def _ref(name: str) -> Json:
    return {"$ref": f"#/definitions/{name}"}


def _text(format_name: str) -> Json:
    return {"type": "string", "format": format_name}


def _needs(keyword: str, other: str) -> Json:
    return {"anyOf": [{"properties": {keyword: {"not": {}}}}, {"required": [keyword, other]}]}

"""Objects: declared, patterned and other keys, counts, and members that some must be."""

from __future__ import annotations

from typing import Any

import pytest

CASES: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "overlapping patterns": (
        {"patternProperties": {"^a": {"type": "integer"}, "z$": {"minimum": 5}}},
        [{"a": 1}, {"z": "x"}, {"az": 6}, {"b": None}],
        [{"a": "x"}, {"z": 4}, {"az": 4}, {"az": "x"}],
    ),
    "patterns of two schemas": (
        {
            "type": "object",
            "allOf": [
                {"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False},
                {"patternProperties": {"b$": {"minimum": 5}}, "properties": {"ab": {"maximum": 9}}},
            ],
        },
        [{}, {"a": 1}, {"ab": 7}, {"acb": 6}],
        [{"b": 6}, {"ab": 10}, {"ab": 4}, {"acb": 4}, {"c": 1}],
    ),
    "closed against open": (
        {
            "allOf": [
                {"properties": {"a": {"type": "integer"}}, "additionalProperties": False},
                {"properties": {"b": {"type": "integer"}}},
            ],
        },
        [{}, {"a": 1}],
        [{"b": 1}, {"a": 1, "b": 1}],
    ),
    "names by length": (
        {"type": "object", "propertyNames": {"maxLength": 2}},
        [{}, {"ab": 1}],
        [{"abc": 1}],
    ),
    "names and declared": (
        {"properties": {"abc": {}, "a": {"type": "null"}}, "propertyNames": {"pattern": "^.$"}},
        [{"a": None}, {"b": 1}],
        [{"abc": 1}, {"a": 1}],
    ),
    "names of several kinds": (
        {"propertyNames": {"anyOf": [{"const": "key"}, {"pattern": "^x-"}]}, "type": "object"},
        [{"key": 1}, {"x-a": 1, "key": 2}],
        [{"kez": 1}, {"x": 1}],
    ),
    "no names": ({"propertyNames": False, "type": "object"}, [{}], [{"a": 1}]),
    "two free keys": (
        {"type": "object", "minProperties": 2, "additionalProperties": {"type": "integer"}},
        [{"a": 1, "b": 1}, {"a": 1, "b": 2, "c": 3}],
        [{}, {"a": 1}],
    ),
    "counted among declared": (
        {"type": "object", "properties": {"a": {}}, "minProperties": 3, "maxProperties": 4},
        [{"a": 1, "b": 1, "c": 1}, {"x": 1, "y": 2, "z": 3, "a": 4}],
        [{"a": 1, "b": 1}, {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}],
    ),
    "required by number": (
        {"type": "object", "required": ["a", "b"], "maxProperties": 2},
        [{"a": 1, "b": 2}],
        [{"a": 1}, {"a": 1, "b": 2, "c": 3}],
    ),
    "non-ASCII keys": (
        {
            "type": "object",
            "properties": {"名前": {"type": "string"}, "é": {"type": "integer"}},
            "required": ["名前"],
        },
        [{"名前": "x"}, {"é": 1, "名前": "😀"}, {"名前": "y", "مفتاح": []}],
        [{}, {"名前": 1}, {"é": "x", "名前": "x"}],
    ),
    "keys that need escapes": (
        {"properties": {'a"\\\n\x01': {"type": "null"}}, "additionalProperties": False},
        [{}, {'a"\\\n\x01': None}],
        [{'a"\\\n\x01': 1}, {"a": None}],
    ),
    "dependencies": (
        {
            "properties": {"a": {}, "b": {}, "c": {"type": "integer"}},
            "dependentRequired": {"a": ["b"]},
            "dependentSchemas": {"b": {"properties": {"c": {"minimum": 3}}}},
        },
        [{}, {"b": 1}, {"a": 1, "b": 1, "c": 3}, {"c": 1}, 7],
        [{"a": 1}, {"b": 1, "c": 2}, {"a": 1, "b": 1, "c": 2}],
    ),
    "old dependencies": (
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "dependencies": {"a": ["b"], "c": {"required": ["d"]}},
            "type": "object",
        },
        [{}, {"a": 1, "b": 1}, {"c": 1, "d": 1}],
        [{"a": 1}, {"c": 1}, {"a": 1, "b": 1, "c": 1}],
    ),
    "mutual dependencies": (
        {"type": "object", "dependentRequired": {"a": ["b"], "b": ["a"]}},
        [{}, {"a": 1, "b": 1}, {"c": 1}],
        [{"a": 1}, {"b": 1}],
    ),
    "some other key": (
        {"type": "object", "not": {"additionalProperties": False}},
        [{"a": 1}],
        [{}],
    ),
    "some other key beside declared ones": (
        {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a"],
            "not": {"properties": {"a": {}, "b": {}}, "additionalProperties": False},
        },
        [{"a": 1, "c": 1}, {"c": 1, "b": 2, "a": 1}],
        [{"a": 1}, {"a": 1, "b": 2}, {"c": 1}, {"a": "x", "c": 1}],
    ),
    "some member of a pattern": (
        {
            "type": "object",
            "properties": {"x1": {"type": "integer"}},
            "not": {"patternProperties": {"^x": {"maximum": 5}}},
        },
        [{"x1": 6}, {"x2": 6}, {"x2": 6, "x1": 1}, {"y": 1, "xx": 9}],
        [{}, {"x1": 5}, {"x2": 5}, {"y": 9}, {"x1": "a", "x2": 9}],
    ),
    "some bad name": (
        {"type": "object", "not": {"propertyNames": {"maxLength": 1}}},
        [{"ab": 1}, {"a": 1, "bc": 1}],
        [{}, {"a": 1}],
    ),
    "two witnesses": (
        {
            "type": "object",
            "allOf": [
                {"not": {"additionalProperties": {"type": "integer"}}},
                {"not": {"additionalProperties": {"type": "string"}}},
            ],
        },
        [{"a": None}, {"a": 1, "b": "x"}, {"a": 1, "b": None}],
        [{}, {"a": 1}, {"a": "x", "b": "y"}],
    ),
    "not a count": (
        {"type": "object", "not": {"minProperties": 1, "maxProperties": 1}},
        [{}, {"a": 1, "b": 2}],
        [{"a": 1}],
    ),
    "enumerated objects": (
        {"enum": [{"a": 1}, {"a": 2, "b": None}, 5], "required": ["a"], "maxProperties": 1},
        [{"a": 1}, {"a": 1.0}, 5],
        [{"a": 2, "b": None}, {"a": 3}, 6],
    ),
    "not an enumerated object": (
        {"type": "object", "not": {"const": {"a": 1}}},
        [{}, {"a": 2}, {"a": 1, "b": 1}],
        [{"a": 1}],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_objects(name: str, check_schema: Any) -> None:
    check_schema(*CASES[name])

"""`unevaluatedProperties` and `unevaluatedItems`, resolved per alternative."""

from __future__ import annotations

from typing import Any

import pytest

CASES: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "closed over allOf": (
        {
            "allOf": [{"properties": {"a": {"type": "integer"}}}],
            "properties": {"b": {}},
            "unevaluatedProperties": False,
            "type": "object",
        },
        [{}, {"a": 1}, {"a": 1, "b": 2}],
        [{"c": 1}, {"a": "x"}],
    ),
    "of the options that hold": (
        {
            "type": "object",
            "anyOf": [
                {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"type": "integer"}}, "required": ["b"]},
            ],
            "unevaluatedProperties": False,
        },
        [{"a": 1}, {"b": 1}, {"a": 1, "b": 2}],
        [{}, {"a": 1, "b": "x"}, {"a": 1, "c": 1}],
    ),
    "a schema for the rest": (
        {
            "type": "object",
            "if": {"properties": {"k": {"const": 1}}, "required": ["k"]},
            "then": {"properties": {"x": {"type": "string"}}},
            "unevaluatedProperties": {"type": "integer"},
        },
        [{"k": 1, "x": "s", "z": 2}, {"k": 2, "x": 3}, {}],
        [{"k": 1, "x": 3}, {"k": 2, "x": "s"}, {"z": "s"}],
    ),
    "through a reference": (
        {
            "$defs": {"base": {"properties": {"a": {}}, "patternProperties": {"^x": {}}}},
            "$ref": "#/$defs/base",
            "unevaluatedProperties": False,
            "type": "object",
        },
        [{"a": 1, "xx": 2}],
        [{"b": 1}],
    ),
    "nested": (
        {
            "type": "object",
            "allOf": [{"properties": {"a": {}}, "unevaluatedProperties": {"type": "integer"}}],
            "unevaluatedProperties": False,
        },
        [{"a": "x"}, {"a": "x", "b": 1}],
        [{"b": "x"}],
    ),
    "not what is under not": (
        {
            "type": "object",
            "not": {"not": {"properties": {"a": {}}}},
            "unevaluatedProperties": False,
        },
        [{}],
        [{"a": 1}],
    ),
    "items after prefixes": (
        {
            "type": "array",
            "allOf": [{"prefixItems": [{"type": "integer"}]}],
            "prefixItems": [{}, {"type": "string"}],
            "unevaluatedItems": False,
        },
        [[], [1], [1, "x"]],
        [["x"], [1, 2], [1, "x", 3]],
    ),
    "items that some schema contains": (
        {
            "type": "array",
            "contains": {"type": "null"},
            "unevaluatedItems": {"type": "integer"},
        },
        [[None], [1, None, 2]],
        [[], [1], [None, "x"]],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_unevaluated(name: str, check_schema: Any) -> None:
    check_schema(*CASES[name])

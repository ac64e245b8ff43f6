"""References, identifiers, anchors, and what the drafts say about them."""

from __future__ import annotations

from typing import Any

import pytest

from treegram.lang.errors import SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.compile import compile_schema
from treegram.lang.json_schema.layout import Layout

DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2019 = "https://json-schema.org/draft/2019-09/schema"

CASES: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "relative to a nested identifier": (
        {
            "$id": "https://example.com/root",
            "items": {
                "$id": "inner",
                "$defs": {"x": {"type": "null"}},
                "anyOf": [{"$ref": "#/$defs/x"}, {"$ref": "root#/$defs/y"}],
            },
            "$defs": {"y": {"const": 1}},
        },
        [[None], [1]],
        [[2]],
    ),
    "by identifier": (
        {"$defs": {"a": {"$id": "urn:x:a", "type": "null"}}, "items": {"$ref": "urn:x:a"}},
        [[None]],
        [[1]],
    ),
    "anchors of two bases": (
        {
            "$defs": {
                "a": {"$id": "one", "$anchor": "here", "type": "null"},
                "b": {"$anchor": "here", "type": "string"},
            },
            "prefixItems": [{"$ref": "#here"}, {"$ref": "one#here"}],
        },
        [["x", None]],
        [[None], ["x", "x"]],
    ),
    "a dynamic anchor of its own": (
        {
            "$dynamicAnchor": "node",
            "type": "object",
            "additionalProperties": {"$dynamicRef": "#node"},
        },
        [{}, {"a": {}}],
        [1, {"a": 1}],
    ),
    "a recursive reference": (
        {"$schema": DRAFT_2019, "type": "array", "items": {"$recursiveRef": "#"}},
        [[], [[], [[]]]],
        [1, [1]],
    ),
    "siblings of a reference, now": (
        {"$defs": {"a": {"type": "integer"}}, "$ref": "#/$defs/a", "minimum": 3},
        [3],
        [2, "x"],
    ),
    "siblings of a reference, then": (
        {
            "$schema": DRAFT_7,
            "definitions": {"a": {"type": "integer"}},
            "items": {"$ref": "#/definitions/a", "minimum": 3},
        },
        [[2]],
        [["x"]],
    ),
    "draft 4 bounds": (
        {"$schema": DRAFT_4, "type": "integer", "minimum": 3, "exclusiveMinimum": True},
        [4],
        [3],
    ),
    "draft 4 has no const": ({"$schema": DRAFT_4, "const": 1}, [1, 2], []),
    "draft 7 tuples": (
        {"$schema": DRAFT_7, "items": [{"type": "integer"}], "additionalItems": False},
        [[], [1]],
        [["x"], [1, 1]],
    ),
    "draft 4 identifiers": (
        {
            "$schema": DRAFT_4,
            "id": "http://example.com/root",
            "definitions": {"a": {"id": "#a", "type": "null"}},
            "items": {"$ref": "#a"},
        },
        [[None]],
        [[1]],
    ),
    "a reference to a boolean": ({"$defs": {"a": True}, "$ref": "#/$defs/a"}, [1, "x"], []),
    "an identifier inside a constant": (
        {"enum": [{"$id": "x", "type": "null"}], "$defs": {"a": {"$id": "x", "type": "string"}}},
        [{"$id": "x", "type": "null"}],
        ["a"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_references(name: str, check_schema: Any) -> None:
    check_schema(*CASES[name])


def test_a_whole_float_is_no_integer_in_draft_4() -> None:
    for draft, is_integer in ((DRAFT_4, False), (DRAFT_7, True)):
        schema = {"$schema": draft, "type": "integer"}
        grammar = Grammar(compile_schema(schema, Layout.accepting()).rules)
        assert grammar.accepts("1.0") is is_integer


@pytest.mark.parametrize(
    ("schema", "path", "keyword"),
    [
        ({"$schema": "https://example.com/mine"}, "$", "$schema"),
        ({"items": {"$ref": "#/$defs/none"}}, "$.items", "$ref"),
        ({"$ref": "other.json"}, "$", "$ref"),
        ({"allOf": [{"$ref": "#"}]}, "$.allOf[0]", None),
        ({"anyOf": [{"not": {"$ref": "#"}}]}, "$.anyOf[0]", None),
        ({"if": {"$ref": "#"}, "then": False}, "$.if", None),
        (
            {
                "$defs": {
                    "a": {"$id": "a", "$dynamicAnchor": "x"},
                    "b": {"$id": "b", "$dynamicAnchor": "x", "items": {"$dynamicRef": "#x"}},
                },
                "$ref": "b",
            },
            "$.$defs.b.items",
            "$dynamicRef",
        ),
    ],
)
def test_references_without_one_target_are_refused(
    schema: Any, path: str, keyword: str | None
) -> None:
    with pytest.raises(SchemaError) as caught:
        compile_schema(schema)
    assert (caught.value.path, caught.value.keyword) == (path, keyword)

"""`not`, `if`, `oneOf`, `anyOf`, `allOf`, and constants beside other keywords."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from treegram.lang.errors import SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.random_text import random_text
from treegram.lang.json_schema.compile import compile_schema
from treegram.lang.json_schema.layout import Layout

SETTINGS = settings(derandomize=True, deadline=None)

COUNTED = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

CASES: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "not a number": ({"not": {"type": "number"}}, ["1", None, [], {}], [1, 1.5]),
    "not an integer": ({"not": {"type": "integer"}}, [1.5, "1"], [1, 2.0]),
    "not a range": (
        {"type": "number", "not": {"minimum": 2, "maximum": 3}},
        [1, 3.5, 1.99],
        [2, 2.5, 3],
    ),
    "not a multiple": ({"type": "integer", "not": {"multipleOf": 3}}, [1, 2, 4], [0, 3, -6]),
    "not a pattern": ({"type": "string", "not": {"pattern": "^a|b$"}}, ["", "ba"], ["a", "xb"]),
    "not a length": ({"type": "string", "not": {"minLength": 2}}, ["", "😀"], ["ab"]),
    "not constants": (
        {"not": {"enum": ["a", 1, None, True]}},
        ["b", 2, False, [], {}],
        ["a", 1, 1.0, None, True],
    ),
    "not an object": (
        {"not": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}},
        [1, {}, {"a": 1}, {"b": "x"}],
        [{"a": "x"}, {"a": "", "b": 1}],
    ),
    "not not": ({"not": {"not": COUNTED}}, [{"n": 1}], [{}, {"n": "x"}, 3]),
    "not anyOf": (
        {"not": {"anyOf": [{"type": "string"}, {"minimum": 3}]}},
        [1, 2.5],
        ["x", 3, None, []],
    ),
    "not allOf": (
        {"type": "integer", "not": {"allOf": [{"minimum": 3}, {"maximum": 5}]}},
        [2, 6],
        [3, 4, 5],
    ),
    "not oneOf": (
        {"type": "integer", "not": {"oneOf": [{"minimum": 3}, {"maximum": 5}]}},
        [3, 4, 5],
        [2, 6],
    ),
    "if then else": (
        {
            "properties": {"kind": {"enum": ["a", "b"]}, "n": {"type": "integer"}},
            "required": ["kind"],
            "if": {"properties": {"kind": {"const": "a"}}},
            "then": {"required": ["n"]},
            "else": {"properties": {"n": False}},
            "type": "object",
        },
        [{"kind": "a", "n": 1}, {"kind": "b"}],
        [{"kind": "a"}, {"kind": "b", "n": 1}, {}, {"kind": "c"}],
    ),
    "if without else": (
        {"if": {"type": "string"}, "then": {"minLength": 2}},
        ["ab", 1, None],
        ["a", ""],
    ),
    "if without then": ({"if": {"type": "string"}, "else": {"const": 1}}, ["x", 1], [2, None]),
    "if alone": ({"type": "integer", "if": {"minimum": 3}}, [1, 5], ["x"]),
    "overlapping oneOf": ({"oneOf": [{"type": "integer"}, {"minimum": 3}]}, [1, 3.5], [3, 4, 2.5]),
    "overlapping objects": (
        {
            "oneOf": [
                {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"type": "integer"}}, "required": ["b"]},
            ]
        },
        [{"a": 1}, {"b": 1, "c": 2}, {"a": 1, "b": "x"}],
        [{}, {"a": 1, "b": 2}, {"a": "x"}, 5],
    ),
    "closed in open": (
        {
            "oneOf": [
                {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
                {"type": "object", "properties": {"a": {}, "b": {}}},
            ]
        },
        [{"b": 1}, {"a": 1, "c": 1}],
        [{}, {"a": 1}],
    ),
    "arrays of options": (
        {
            "oneOf": [
                {"type": "array", "items": {"type": ["integer", "null"]}},
                {"type": "array", "items": {"type": ["integer", "string"]}},
            ]
        },
        [[None], ["x"], [1, "x"], [None, 1]],
        [[], [1], ["x", None]],
    ),
    "overlapping formats": (
        {"type": "string", "oneOf": [{"format": "ipv4"}, {"maxLength": 7}]},
        ["127.0.0.1", "short"],
        ["1.1.1.1", "much too long"],
    ),
    "equal options": (
        {"oneOf": [{"type": "string"}, {"type": "string"}, {"const": 1}]},
        [1],
        ["x"],
    ),
    "three options": (
        {"oneOf": [{"minimum": 0}, {"maximum": 10}, {"multipleOf": 5}], "type": "integer"},
        [-1, 11],
        [-5, 5, 15, 7],
    ),
    "optional tags": (
        {
            "type": "object",
            "oneOf": [
                {"properties": {"t": {"const": 1}, "x": {"type": "string"}}},
                {"properties": {"t": {"const": 2}, "x": {"type": "integer"}}},
            ],
        },
        [{"t": 1}, {"t": 2, "x": 3}, {"x": "s"}, {"t": 1, "x": "s"}],
        [{}, {"t": 1, "x": 3}, {"x": None}],
    ),
    "refs in anyOf": (
        {
            "$defs": {
                "leaf": {"type": "integer"},
                "tree": {
                    "anyOf": [
                        {"$ref": "#/$defs/leaf"},
                        {"type": "array", "items": {"$ref": "#/$defs/tree"}},
                    ]
                },
            },
            "$ref": "#/$defs/tree",
        },
        [1, [], [1, [2, []]]],
        ["x", [None], [["x"]]],
    ),
    "recursion under not": (
        {
            "$defs": {
                "clean": {
                    "type": "object",
                    "properties": {"kid": {"$ref": "#/$defs/clean"}},
                    "additionalProperties": False,
                }
            },
            "type": "object",
            "not": {"$ref": "#/$defs/clean"},
        },
        [{"a": 1}, {"kid": 1}, {"kid": {"kid": {"a": 1}}}],
        [{}, {"kid": {}}, {"kid": {"kid": {}}}],
    ),
    "bare not in recursion": (
        {"type": ["object", "null"], "properties": {"a": {"not": {"$ref": "#"}}}},
        [None, {}, {"a": 1}, {"a": {"a": None}}, {"b": {}}],
        [{"a": None}, {"a": {}}, {"a": {"a": 1}}, 1],
    ),
    "constants under keywords": (
        {
            "enum": [{"n": 1}, {"n": "x"}, [1], ["x"], "ab", "abc", 3, 7],
            "properties": {"n": {"type": "integer"}},
            "items": {"type": "integer"},
            "maxLength": 2,
            "maximum": 5,
        },
        [{"n": 1}, [1], "ab", 3],
        [{"n": "x"}, ["x"], "abc", 7],
    ),
    "constants of two schemas": (
        {"allOf": [{"enum": [1, "a", [1], {"a": 1}]}, {"enum": [[1.0], {"a": 1.0}, "b", 1.0]}]},
        [1, [1], {"a": 1}],
        ["a", "b"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_combinators(name: str, check_schema: Any) -> None:
    check_schema(*CASES[name])


KEYS = ["a", "b", "ab"]
scalars = st.sampled_from([None, True, 0, 1, 3, -2, 1.5, "", "a", "b", "abc"])
instances = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=5,
)
leaves = st.one_of(
    st.booleans(),
    st.sampled_from(
        [
            {},
            {"type": "string"},
            {"type": "integer"},
            {"type": ["null", "number"]},
            {"minimum": 1},
            {"maximum": 1},
            {"multipleOf": 3},
            {"minLength": 1},
            {"pattern": "^a"},
            {"enum": [1, "a", None]},
            {"const": {"a": 1}},
            {"const": [1]},
            {"required": ["a"]},
            {"minItems": 1},
            {"maxItems": 1},
            {"minProperties": 1},
            {"maxProperties": 1},
        ]
    ),
)


def _composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    key = st.sampled_from(KEYS)
    some = st.lists(inner, min_size=1, max_size=3)
    keyword = st.one_of(
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"if": inner, "then": inner}, optional={"else": inner}),
        *(st.fixed_dictionaries({k: some}) for k in ("oneOf", "anyOf", "allOf")),
        st.fixed_dictionaries({"items": inner}, optional={"contains": inner}),
        st.fixed_dictionaries({"prefixItems": some}),
        st.fixed_dictionaries({"properties": st.dictionaries(key, inner, min_size=1)}),
        st.fixed_dictionaries({"patternProperties": st.fixed_dictionaries({"^a": inner})}),
        st.fixed_dictionaries({"additionalProperties": inner}),
        st.fixed_dictionaries({"propertyNames": inner}),
        st.fixed_dictionaries({"dependentSchemas": st.dictionaries(key, inner, max_size=1)}),
        st.fixed_dictionaries({"contains": inner}, optional={"maxContains": st.just(1)}),
        st.fixed_dictionaries({"unevaluatedProperties": inner}),
        st.fixed_dictionaries({"unevaluatedItems": inner}),
    )
    return st.builds(lambda *parts: {k: v for p in parts for k, v in p.items()}, keyword, keyword)


schemas = st.recursive(leaves, _composed, max_leaves=5)


@pytest.mark.slow
@settings(SETTINGS, max_examples=120)
@given(schemas, st.lists(instances, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_random_schemas_agree_with_jsonschema(
    schema: Any, values: list[Any], rng: random.Random
) -> None:
    try:
        grammar = Grammar(compile_schema(schema, Layout.accepting()).rules)
    except SchemaError:
        assume(False)
    validator = jsonschema.Draft202012Validator(schema)
    for value in values:
        assert grammar.accepts(json.dumps(value)) == validator.is_valid(value), value
    for _ in range(3):
        text = random_text(grammar.rules, rng, max_depth=4)
        assert validator.is_valid(json.loads(text)), text

"""Compiled schemas against jsonschema: a grammar accepts what is valid and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from treegram.lang.errors import SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.nodes import Rules
from treegram.lang.ir.random_text import random_text
from treegram.lang.ir.walk import walk
from treegram.lang.json_schema.compile import compile_schema
from treegram.lang.json_schema.layout import Layout

SETTINGS = settings(derandomize=True, deadline=None)

Json = Any

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "v": {"type": "integer"},
                "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["v"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
ANIMAL = {
    "oneOf": [
        {"$ref": "#/$defs/Cat"},
        {"$ref": "#/$defs/Dog"},
    ],
    "discriminator": {"propertyName": "kind", "mapping": {}},
    "$defs": {
        "Cat": {
            "type": "object",
            "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}},
            "required": ["lives"],
        },
        "Dog": {
            "type": "object",
            "properties": {"kind": {"const": "dog"}, "name": {"type": "string"}},
            "required": ["kind"],
        },
    },
}


def rules_of(schema: Json, layout: Layout | None = None) -> Rules:
    return compile_schema(schema, layout).rules


def obj(**properties: Json) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


CASES: dict[str, tuple[Json, list[Json], list[Json]]] = {
    # name: (schema, accepted instances, refused instances); jsonschema must agree with both
    "anything": ({}, [None, True, 1, -2.5, "x", [], {"a": [1, {"b": None}]}], []),
    "true": (True, [None, {"a": 1}], []),
    "type": ({"type": "string"}, ["", 'a"b\\c\n', "é😀"], [1, None]),
    "type list": ({"type": ["string", "null"]}, ["x", None], [1, [], {}]),
    "integer": ({"type": "integer"}, [0, -5, 12345678901234567890], [1.5, "1", True]),
    "number": ({"type": "number"}, [0, -5, 1.5, 1e-7, 1e100], ["1", None]),
    "typeless bounds": ({"minimum": 3}, [3, 3.5, "x", None, [1]], [2, 2.9, -4]),
    "typeless maxItems": ({"maxItems": 1}, ["foo", [], [1], {"a": 1}], [[1, 2]]),
    "const object": ({"const": {"a": [1, None]}}, [{"a": [1, None]}], [{}, {"a": 1}]),
    "enum of kinds": ({"enum": ["a", 1, None, True, [2]]}, ["a", 1, None, True, [2]], ["b", 2]),
    "large enum": (
        {"enum": [f"choice {i}" for i in range(40)]},
        ["choice 0", "choice 39", "choice 3"],
        ["choice 40", "choice", ""],
    ),
    "enum and type": ({"type": "string", "enum": ["a", 1, "b"]}, ["a", "b"], [1]),
    "enum and bounds": ({"enum": [1, 5, 9], "minimum": 3}, [5, 9], [1]),
    "enum and pattern": ({"enum": ["ab", "b"], "pattern": "^a"}, ["ab"], ["b"]),
    "integer range": (
        {"type": "integer", "exclusiveMinimum": -3, "maximum": 120},
        [-2, 0, 120],
        [-3, 121, 1.5],
    ),
    "number range": (
        {"type": "number", "minimum": -1.5, "exclusiveMaximum": 2},
        [-1.5, 0, 1.999, -1],
        [-1.51, 2, 2.0, 3],
    ),
    "multiple of": ({"type": "integer", "multipleOf": 7, "minimum": 0}, [0, 7, 700], [1, 71, -7]),
    "string length": ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", '"\n😀'], ["a"]),
    "unanchored pattern": ({"type": "string", "pattern": "b+"}, ["abc", "b", "a\nb"], ["a", ""]),
    "pattern and length": (
        {"type": "string", "pattern": "^[a-z]+-[0-9]+$", "maxLength": 5, "minLength": 4},
        ["ab-1", "a-12", "abc-1"],
        ["a-1", "abc-12"],
    ),
    "two patterns": (
        {"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "z$"}]},
        ["az", "abcz"],
        ["a", "z", "ba"],
    ),
    "pattern of quotes": ({"type": "string", "pattern": '^"\\\\$'}, ['"\\'], ['"', "a"]),
    "items": ({"type": "array", "items": {"type": "integer"}}, [[], [1], [1, 2]], [["a"], {}]),
    "item counts": ({"type": "array", "minItems": 2, "maxItems": 3}, [[1, 2], [1, 2, 3]], [[1]]),
    "tuple": (
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
        [[], [1], [1, "a"]],
        [["a"], [1, 2], [1, "a", 2]],
    ),
    "tuple with rest": (
        {"prefixItems": [{"type": "null"}], "items": {"type": "boolean"}, "minItems": 2},
        [[None, True], [None, False, True], "not an array"],
        [[], [None], [None, 1]],
    ),
    "unique but single": (
        {"type": "array", "uniqueItems": True, "maxItems": 1},
        [[], [1]],
        [[1, 2]],
    ),
    "unique constants": (
        {
            "type": "array",
            "items": {"enum": ["a", 1, None, 1.0]},
            "uniqueItems": True,
            "minItems": 1,
            "maxItems": 2,
        },
        [["a"], [1, "a"], [None, 1]],
        [[], ["a", "a"], [1, 1], ["a", 1, None], ["b"]],
    ),
    "closed object": (
        obj(a={"type": "integer"}, b={"type": "string"}, c={"type": "null"}) | {"required": ["b"]},
        [{"b": "x"}, {"a": 1, "b": "x"}, {"a": 1, "b": "x", "c": None}],
        [{}, {"a": 1}, {"b": 1}, {"b": "x", "d": 1}],
    ),
    "all optional": (
        obj(a={"type": "integer"}, b={"type": "integer"}, c={"type": "integer"}),
        [{}, {"a": 1}, {"b": 1}, {"c": 1}, {"a": 1, "c": 2}, {"b": 1, "c": 2}],
        [{"d": 1}, {"a": "x"}],
    ),
    "open object": (
        {"type": "object", "properties": {"name": {"type": "string"}}},
        [{}, {"name": "x"}, {"other": 1}, {"name": "x", "nam": 1, "names": [2]}],
        [{"name": 1}, {"name": 1, "other": 2}],
    ),
    "typed extras": (
        {"properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "integer"}},
        [{"a": "x", "b": 1}, {"é": 2}, 5],
        [{"b": "x"}, {"a": 1}],
    ),
    "map": (
        {"type": "object", "additionalProperties": {"type": "integer"}},
        [{}, {"x": 1}],
        [{"x": ""}],
    ),
    "undeclared required": (
        {"type": "object", "required": ["z"], "additionalProperties": {"type": "integer"}},
        [{"z": 1}, {"z": 1, "y": 2}],
        [{}, {"y": 1}],
    ),
    "forbidden property": (
        {"type": "object", "properties": {"a": False, "b": True}},
        [{}, {"b": 1}, {"c": 1}],
        [{"a": 1}],
    ),
    "pattern properties": (
        {
            "type": "object",
            "properties": {"x-id": {"minimum": 3}},
            "patternProperties": {"^x-": {"type": "integer"}, "^s": {"type": "string"}},
            "additionalProperties": False,
        },
        [{"x-id": 4}, {"x-a": 1, "sb": "t"}],
        [{"x-id": 1}, {"x-id": "a"}, {"x-a": "t"}, {"b": 1}],
    ),
    "pattern properties and extras": (
        {
            "patternProperties": {"^x": {"type": "null"}},
            "additionalProperties": {"type": "integer"},
        },
        [{"xa": None, "b": 1}],
        [{"xa": 1}, {"b": None}],
    ),
    "property names": (
        {"type": "object", "propertyNames": {"pattern": "^[ab]+$"}, "required": ["ab"]},
        [{"ab": 1}, {"ab": 1, "ba": 2}],
        [{"ab": 1, "c": 2}],
    ),
    "property names enum": (
        {"propertyNames": {"enum": ["red", "blue"]}, "additionalProperties": {"type": "integer"}},
        [{}, {"red": 1}, {"red": 1, "blue": 2}],
        [{"green": 1}],
    ),
    "member count": (
        obj(a={}, b={}, c={}) | {"minProperties": 2, "maxProperties": 2},
        [{"a": 1, "b": 1}, {"a": 1, "c": 1}, {"b": 1, "c": 1}],
        [{}, {"a": 1}, {"a": 1, "b": 1, "c": 1}],
    ),
    "map not empty": ({"type": "object", "minProperties": 1, "maxProperties": 2}, [{"a": 1}], [{}]),
    "any of": ({"anyOf": [{"type": "integer"}, {"const": "x"}]}, [1, "x"], ["y", None]),
    "any of beside type": (
        {
            "type": "object",
            "properties": {"a": {}, "b": {}},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        [{"a": 1}, {"b": 1}, {"a": 1, "b": 2}],
        [{}, {"c": 1}],
    ),
    "one of required": (
        obj(a={}, b={}) | {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        [{"a": 1}, {"b": 1}],
        [{}, {"a": 1, "b": 2}],
    ),
    "one of types": ({"oneOf": [{"type": "string"}, {"type": "null"}]}, ["a", None], [1]),
    "one of ranges": (
        {"type": "integer", "oneOf": [{"maximum": 3}, {"minimum": 7}]},
        [3, 7, -1],
        [4, 5],
    ),
    "discriminator": (
        ANIMAL,
        [{"kind": "cat", "lives": 9}, {"kind": "dog"}, {"kind": "dog", "name": "x"}],
        [{"kind": "cat"}, {"kind": "cow", "lives": 1}],
    ),
    "all of objects": (
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"a": {"minimum": 5}, "b": {"type": "string"}}},
            ]
        },
        [{"a": 5}, {"a": 6, "b": "x"}],
        [{"a": 4}, {"b": "x"}, {"a": 5, "b": 1}],
    ),
    "ref with siblings": (
        {"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n", "minimum": 2},
        [2, 3],
        [1, "x"],
    ),
    "recursion": (TREE, [{"v": 1}, {"v": 1, "kids": [{"v": 2, "kids": []}]}], [{}, {"kids": []}]),
    "escaped pointers": (
        {"$defs": {"a/b~c d": {"type": "null"}}, "items": {"$ref": "#/$defs/a~1b~0c%20d"}},
        [[None]],
        [[1]],
    ),
    "anchor": ({"$defs": {"x": {"$anchor": "here", "type": "null"}}, "$ref": "#here"}, [None], [1]),
    "negated type": ({"not": {"type": "string"}}, [1, None, []], ["a"]),
    "negated required": (
        {"type": "object", "not": {"required": ["a"]}},
        [{}, {"b": 1}],
        [{"a": 1}],
    ),
    "dependency": (
        obj(a={}, b={}) | {"dependentRequired": {"a": ["b"]}},
        [{}, {"b": 1}, {"a": 1, "b": 1}],
        [{"a": 1}],
    ),
    "annotations": (
        {"type": "null", "title": "x", "x-mine": {"deep": 1}, "format": "made-up", "default": 3},
        [None],
        [3],
    ),
    "keywords of other types": (
        {"type": "string", "uniqueItems": True, "contains": {}},
        ["a"],
        [[]],
    ),
}


@cache
def grammar_of(name: str) -> Grammar:
    return Grammar(rules_of(CASES[name][0]))


def is_valid(schema: Json, instance: Json) -> bool:
    validator = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    return validator.is_valid(instance)


def accepts(grammar: Grammar, instance: Json) -> bool:
    return grammar.accepts(json.dumps(instance, ensure_ascii=False))


@pytest.mark.parametrize("name", CASES)
def test_case(name: str) -> None:
    schema, good, bad = CASES[name]
    grammar = grammar_of(name)
    for instance in good:
        assert is_valid(schema, instance), f"the case itself is wrong: {instance!r}"
        assert accepts(grammar, instance), instance
    for instance in bad:
        assert not is_valid(schema, instance), f"the case itself is wrong: {instance!r}"
        assert not accepts(grammar, instance), instance


@pytest.mark.parametrize("name", CASES)
def test_random_texts_are_valid(name: str) -> None:
    schema = CASES[name][0]
    rng = random.Random(name)
    for _ in range(25):
        text = random_text(grammar_of(name).rules, rng, max_depth=6)
        assert is_valid(schema, json.loads(text)), text


KEYS = ["a", "b", "ab", "é"]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-20, 20)
    | st.sampled_from([0.5, -1.25, 3.5])
    | st.text('aé"\n', max_size=3)
)
instances = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=6,
)
small = st.integers(-5, 5)
counts = st.integers(0, 3)


def ordered_spans(low: str, high: str, values: st.SearchStrategy[int]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional={low: values, high: values}).filter(
        lambda s: s.get(low, -99) <= s.get(high, 99)
    )


def objects(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {"type": st.just("object")},
        optional={
            "properties": st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
            "required": st.lists(st.sampled_from(KEYS[:2]), max_size=2, unique=True),
            "additionalProperties": st.booleans() | inner,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=1),
        },
    )


def arrays(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    plain = st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={"items": inner, "prefixItems": st.lists(inner, max_size=2)},
    )
    return st.builds(lambda a, b: a | b, plain, ordered_spans("minItems", "maxItems", counts))


def combined(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    lists = st.lists(inner, min_size=1, max_size=3)
    return st.tuples(st.sampled_from(["anyOf", "allOf", "oneOf"]), lists).map(lambda kv: dict([kv]))


schemas = st.recursive(
    st.one_of(
        st.booleans(),
        st.sampled_from(
            [{}, {"type": "string"}, {"type": "integer"}, {"type": ["null", "number"]}]
        ),
        st.lists(scalars, min_size=1, max_size=3).map(lambda v: {"enum": v}),
        ordered_spans("minimum", "maximum", small).map(lambda s: {"type": "number", **s}),
        ordered_spans("minLength", "maxLength", counts),
    ),
    lambda inner: objects(inner) | arrays(inner) | combined(inner),
    max_leaves=6,
)


@pytest.mark.slow
@settings(SETTINGS, max_examples=200)
@given(schemas, st.lists(instances, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_generated_schemas_agree_with_jsonschema(
    schema: Json, values: list[Json], rng: random.Random
) -> None:
    try:
        grammar = Grammar(rules_of(schema))
    except SchemaError:
        assume(False)
    for value in values:
        if accepts(grammar, value):
            assert is_valid(schema, value)
        elif is_valid(schema, value):
            assert reordered(value), value
    for _ in range(3):
        text = random_text(grammar.rules, rng, max_depth=5)
        assert grammar.accepts(text)
        assert is_valid(schema, json.loads(text)), text


def reordered(value: Json) -> bool:
    """Whether the value holds an object of two keys or more, whose order may be another."""
    if isinstance(value, list):
        return any(map(reordered, value))
    return isinstance(value, dict) and (len(value) > 1 or any(map(reordered, value.values())))


def nested(depth: int) -> Json:
    schema: Json = {"type": "null"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


REFUSED: list[tuple[Json, str, str | None]] = [
    # schema, path and keyword of the error
    ({"items": {"not": {"uniqueItems": True}, "type": "array"}}, "$.items", "not"),
    ({"oneOf": [{"uniqueItems": True}, {"maxItems": 3}]}, "$", "oneOf"),
    ({"type": "string", "pattern": "["}, "$", "pattern"),
    ({"type": "string", "pattern": r"(a)\1"}, "$", "pattern"),
    ({"type": "string", "not": {"pattern": "^(a|b)*a(a|b){20}$"}}, "$", "pattern"),
    ({"minLength": "a"}, "$", "minLength"),
    ({"minLength": -1}, "$", "minLength"),
    ({"required": "x"}, "$", "required"),
    ({"type": "text"}, "$", "type"),
    ({"type": []}, "$", "type"),
    ({"enum": []}, "$", "enum"),
    ({"anyOf": []}, "$", "anyOf"),
    ({"properties": {"a": 3}}, "$", "properties"),
    ({"multipleOf": 0}, "$", "multipleOf"),
    ({"type": "array", "minItems": 3, "maxItems": 1}, "$", "minItems"),
    ({"items": {"minimum": 3, "maximum": 1}}, "$.items", "minimum"),
    ({"$ref": "#/$defs/none"}, "$", "$ref"),
    ({"$ref": "https://example.com/other.json"}, "$", "$ref"),
    ({"properties": {"a": {"$ref": "#nowhere"}}}, "$.properties.a", "$ref"),
    ({"$ref": "#x", "$defs": {"a": {"$anchor": "x"}, "b": {"$anchor": "x"}}}, "$", "$ref"),
    ({"$ref": "#"}, "$", "$ref"),
    (
        {"items": {"$id": "https://example.com/x", "items": {"$ref": "#/items"}}},
        "$.items.items",
        "$ref",
    ),
    ({"const": "\ud800"}, "$", None),
    (False, "$", None),
    ({"type": "string", "enum": [1]}, "$", None),
    ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "$", None),
    ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "$", None),
    (nested(150), "$" + ".items" * 101, None),
    ([], "$", None),
    ({"const": float("nan")}, "$.const", None),
    ({"const": {1: 2}}, "$.const", None),
    ({"items": {"anyOf": [{"$ref": "#/items"}, {"type": "null"}]}}, "$.items.anyOf[0]", None),
]


@pytest.mark.parametrize(("schema", "path", "keyword"), REFUSED)
def test_refusals_name_the_path_and_the_keyword(
    schema: Json, path: str, keyword: str | None
) -> None:
    with pytest.raises(SchemaError) as caught:
        rules_of(schema)
    assert (caught.value.path, caught.value.keyword) == (path, keyword)
    assert str(caught.value).startswith(f"schema at {path}: ")


def test_too_many_nodes_are_refused() -> None:
    with pytest.raises(SchemaError, match="more than 50000"):
        rules_of({"anyOf": [{"const": i} for i in range(50_001)]})


def test_a_long_chain_of_references_costs_no_stack() -> None:
    defs: dict[str, Json] = {
        f"d{i}": {"type": "array", "items": {"$ref": f"#/$defs/d{i + 1}"}} for i in range(2000)
    }
    rules = rules_of({"$ref": "#/$defs/d0", "$defs": {**defs, "d2000": {"type": "null"}}})
    assert len(rules.rules) >= 2000


def test_optional_properties_cost_linear_space() -> None:
    def size(n: int) -> int:
        schema = obj(**{f"p{i}": {"type": "integer"} for i in range(n)})
        return sum(1 for node in rules_of(schema).rules.values() for _ in walk(node))

    assert size(400) < 2.2 * size(200) < 2.2 * 20 * 200


def test_declared_keys_cannot_come_again_as_extra_ones() -> None:
    schema: Mapping[str, Json] = {"type": "object", "properties": {"a": {"type": "integer"}}}
    grammar = Grammar(rules_of(schema))
    assert not grammar.accepts('{"a": 1, "a": "x"}')
    assert not grammar.accepts('{"\\u0061": "x"}')


def test_equal_subschemas_share_a_rule() -> None:
    same = {"type": "object", "properties": {"x": {"type": "integer"}}}
    shared = rules_of(obj(a=same, b=same))
    assert sum("key='\"x\"'" in str(node) for node in shared.rules.values()) == 1


EXPLOSIONS: dict[str, Json] = {
    "independent dependencies": {
        "dependentSchemas": {f"k{i}": {"properties": {f"z{i}": False}} for i in range(12)}
    },
    "untagged options": {
        "oneOf": [{"properties": {f"a{i}": {"type": "null"}, f"b{i}": False}} for i in range(30)]
    },
    "overlapping patterns": {
        "patternProperties": {f"x.*{i}": {"minimum": i} for i in range(12)},
    },
    "a product": {
        "allOf": [{"anyOf": [{"required": [f"{c}{i}"]} for c in "abc"]} for i in range(20)]
    },
    "many needed members": {
        "required": [f"p{i}" for i in range(100)],
        "not": {"additionalProperties": {"type": "integer"}},
        "type": "object",
    },
}


@pytest.mark.parametrize("name", EXPLOSIONS)
def test_what_multiplies_out_too_far_is_refused_in_time(name: str, no_hang: None) -> None:
    with pytest.raises(SchemaError):
        compile_schema(EXPLOSIONS[name])

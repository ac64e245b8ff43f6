"""Unions told apart by a property, and keys told apart by patterns, against jsonschema."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.compile import compile_schema
from treegram.lang.json_schema.layout import Layout
from treegram.lang.json_schema.shapes import identity

SETTINGS = settings(derandomize=True, deadline=None, max_examples=25)

VALUES: list[Any] = [1, 1.0, 2, "a", "b", True, None, [1], {"x": 1}]
TAGS = st.sampled_from(
    [
        *({"const": 1}, {"const": 1.0}, {"const": True}, {"const": [1.0]}, {"const": {"x": 1}}),
        *({"enum": ["a", 2]}, {"enum": ["a", "b"]}, {"$ref": "#/$defs/tag"}, {"type": "string"}),
    ]
)
OPTIONS = st.fixed_dictionaries(
    {"properties": st.fixed_dictionaries({"t": TAGS}, optional={"u": TAGS})},
    optional={"required": st.sampled_from([["t"], ["t", "u"], ["u"]])},
)
PATTERNS = st.sampled_from(["^a", "^b", "b$", "^ab$", "a", "^[^ab]*$", "^c|d$"])
DEMANDS = st.sampled_from([{"type": "integer"}, {"type": "string"}, {"enum": [1, "x"]}, False])


def grammar(schema: Any) -> Grammar:
    return Grammar(compile_schema(schema, Layout.accepting()).rules)


@SETTINGS
@given(st.sampled_from(["oneOf", "anyOf"]), st.lists(OPTIONS, min_size=2, max_size=4))
def test_unions_of_tagged_objects(keyword: str, options: list[Any]) -> None:
    schema = {"$defs": {"tag": {"const": "b"}}, "type": "object", keyword: options}
    validator = jsonschema.Draft202012Validator(schema)
    objects = [{"t": t, "u": u} for t, u in product(VALUES, VALUES[:5])]
    objects += [{"t": t} for t in VALUES] + [{}]
    valid = [validator.is_valid(each) for each in objects]
    if any(valid):
        compiled = grammar(schema)
        assert [compiled.accepts(json.dumps(each)) for each in objects] == valid


@SETTINGS
@given(st.dictionaries(PATTERNS, DEMANDS, min_size=2, max_size=5), st.booleans())
def test_keys_fall_into_classes_by_their_patterns(patterns: dict[str, Any], closed: bool) -> None:
    schema: dict[str, Any] = {"type": "object", "patternProperties": patterns}
    if closed:
        schema["additionalProperties"] = False
    validator = jsonschema.Draft202012Validator(schema)
    compiled = grammar(schema)
    for key, value in product(["", "a", "b", "ab", "ba", "c", "cd", "xd", "acb"], [1, "x", "y"]):
        assert compiled.accepts(json.dumps({key: value})) == validator.is_valid({key: value})


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        ([0], [False], False),
        ({"a": 1, "b": [2.0]}, {"b": [2], "a": 1}, True),
        ([], {}, False),
        ("1", 1, False),
        (None, False, False),
        (2**53 + 1, float(2**53), False),
        ([[]], [], False),
    ],
)
def test_identities_are_equal_for_equal_values(one: object, other: object, equal: bool) -> None:
    assert (identity(one) == identity(other)) == equal

"""Arrays: counts, prefixes, items that some must be, items that differ."""

from __future__ import annotations

from typing import Any

import pytest

from treegram.lang.errors import SchemaError
from treegram.lang.json_schema.compile import compile_schema

INTEGERS = {"type": "array", "items": {"type": "integer"}}

CASES: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "contains": (
        INTEGERS | {"contains": {"minimum": 5}},
        [[5], [1, 7], [7, 1, 2], [8, 8]],
        [[], [1], [1, 2], ["x", 7], 7],
    ),
    "contains without a type": ({"contains": {"const": 1}}, [[1], [0, 1.0], {}, "x"], [[], [2]]),
    "contains between counts": (
        {"contains": {"type": "null"}, "minContains": 2, "maxContains": 3},
        [[None, 1, None], [None, None, None], [0, None, 1, None, 2]],
        [[], [None], [None] * 4],
    ),
    "contains any number": ({"contains": False, "minContains": 0}, [[], [1]], []),
    "contains none": (
        {"contains": {"type": "null"}, "minContains": 0, "maxContains": 0},
        [[], [1, 2]],
        [[None], [1, None]],
    ),
    "contains within a count": (
        {"type": "array", "contains": {"const": "x"}, "minItems": 2, "maxItems": 3},
        [["x", 1], [1, "x"], [1, 2, "x"], ["x", "x"]],
        [["x"], [1, 2], [1, 2, 3], [1, 2, 3, "x"]],
    ),
    "contains two kinds": (
        {"allOf": [{"contains": {"const": 1}}, {"contains": {"const": 2}}], "type": "array"},
        [[1, 2], [2, 0, 1]],
        [[1], [2], [], [1, 1]],
    ),
    "contains and prefix": (
        {
            "type": "array",
            "prefixItems": [{"type": "string"}, {"type": "integer"}],
            "items": False,
            "contains": {"const": 3},
        },
        [["a", 3]],
        [["a"], ["a", 4], [3, 3], ["a", 3, 3]],
    ),
    "not contains": (
        {"not": {"contains": {"const": 1}}, "type": "array"},
        [[], [2]],
        [[1], [2, 1]],
    ),
    "not items": (
        {"type": "array", "not": {"items": {"type": "integer"}}},
        [["x"], [1, "x"], ["x", 1, 2]],
        [[], [1], [1, 2]],
    ),
    "not prefix": (
        {"type": "array", "not": {"prefixItems": [{"type": "integer"}, {"type": "null"}]}},
        [["x"], [1, 2], [1, 2, 3]],
        [[], [1], [1, None], [1, None, 3]],
    ),
    "not counts": (
        {"type": "array", "not": {"minItems": 1, "maxItems": 2}},
        [[], [1, 2, 3]],
        [[1], [1, 2]],
    ),
    "unique": (
        {"uniqueItems": True},
        [[], [1], [1, "1"], [[1], [2]], [{"a": 1}, {"a": 2}], [1, True], "xx"],
        [[1, 1], [1, 1.0], ["a", "b", "a"], [{"a": 1, "b": 2}, {"b": 2, "a": 1}], [[], []]],
    ),
    "unique within a count": (
        {"type": "array", "uniqueItems": True, "items": {"enum": ["a", "b", 1]}, "minItems": 2},
        [["a", "b"], ["b", 1, "a"]],
        [["a"], ["a", "a"], ["a", "b", 1, "a"]],
    ),
    "unique and contains": (
        {"type": "array", "uniqueItems": True, "contains": {"type": "null"}},
        [[None], [1, None]],
        [[], [None, None], [1, 1, None]],
    ),
    "unique among many and contains": (
        {
            "type": "array",
            "uniqueItems": True,
            "items": {"type": "integer", "minimum": 1, "maximum": 65535},
            "contains": {"const": 443},
        },
        [[443], [80, 443, 8080]],
        [[], [80], [443, 443], [443, 65536]],
    ),
    "no unique items and contains": (
        {"type": "array", "uniqueItems": True, "items": {"const": 1}, "contains": {"const": 1}},
        [[1]],
        [[], [1, 1]],
    ),
    "nested unique": (
        {"uniqueItems": True, "items": {"uniqueItems": True, "items": {"type": "integer"}}},
        [[[1, 2], [2, 1]], [[1], [2]]],
        [[[1, 1]], [[1], [1]]],
    ),
    "unique items that are not": (
        {"uniqueItems": True, "items": {"type": "array", "items": {"type": "integer"}}},
        [[[1, 1], [1]]],
        [[[1, 1], [1, 1]]],
    ),
    "items of two schemas": (
        {"allOf": [{"prefixItems": [{"minimum": 3}]}, {"items": {"type": "integer"}}]},
        [[3, 1], [5], []],
        [[2], [3.5], [3, "x"]],
    ),
    "unsatisfiable optional item": (
        {"type": "array", "prefixItems": [{"type": "null"}, False]},
        [[], [None]],
        [[1], [None, None]],
    ),
    "enumerated arrays": (
        {"enum": [[1, 2], [1, "x"], []], "items": {"type": "integer"}},
        [[1, 2], []],
        [[1, "x"], [2]],
    ),
    "not an enumerated array": (
        {"type": "array", "not": {"enum": [[1], []]}},
        [[2], [1, 1], ["x"]],
        [[1], [1.0], []],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_arrays(name: str, check_schema: Any) -> None:
    check_schema(*CASES[name])


def test_more_distinct_values_than_there_are_have_no_text() -> None:
    schema = {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 3}
    with pytest.raises(SchemaError, match="too few values"):
        compile_schema(schema)


def test_equal_items_cannot_be_asked_for() -> None:
    with pytest.raises(SchemaError) as caught:
        compile_schema({"type": "array", "not": {"uniqueItems": True}})
    assert (caught.value.path, caught.value.keyword) == ("$", "not")


def test_counting_too_far_is_refused() -> None:
    many = {"contains": {"const": 1}, "minContains": 3_000}
    schema = {"type": "array", "allOf": [many, {"contains": {"const": 2}, "minContains": 3_000}]}
    with pytest.raises(SchemaError) as caught:
        compile_schema(schema)
    assert caught.value.keyword == "contains"

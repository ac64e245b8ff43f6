"""What schemas in use have shown, cut down to what mattered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import pytest

from treegram.lang.grammar import Grammar


class SchemaCheck(Protocol):
    """See `check_schema` in `conftest.py`."""

    def __call__(self, schema: Any, good: Sequence[Any], bad: Sequence[Any]) -> None: ...


DISTINCT = {"type": "array", "uniqueItems": True, "minItems": 1}


@pytest.mark.slow
def test_many_overlapping_patterns_and_nothing_else(check_schema: SchemaCheck) -> None:
    names = ("name", "tags", "vars", "when")
    schema = {
        "type": "object",
        "patternProperties": {
            "^import$": {"type": "string"},
            **{name: {"maxLength": size} for size, name in enumerate(names)},
        },
        "additionalProperties": False,
    }
    good = [{"import": "a"}, {"tags": "t"}, {"when_vars": "22"}, {"nametags": ""}, {"when": 5}]
    bad = [{"import": 1}, {"tags": "tt"}, {"when_vars": "333"}, {"nametags": "a"}, {"x": 1}]
    check_schema(schema, good, bad)


def test_one_of_several_lists_of_distinct_items(check_schema: SchemaCheck) -> None:
    texts = {**DISTINCT, "items": {"type": "string"}}
    pairs = {**DISTINCT, "items": {"type": ["object", "string"], "maxLength": 2}}
    schema = {"oneOf": [texts, pairs, {"type": "boolean"}]}
    good = [True, ["abc"], ["abc", "a"], [{}], [{}, "ab"]]
    bad = [[], ["a"], ["abc", "abc"], [{}, {}], [{}, "abc"], None]
    check_schema(schema, good, bad)


def test_at_most_one_item_is_distinct_anyway(check_schema: SchemaCheck) -> None:
    schema = {"oneOf": [{"type": "array", "maxItems": 1}, {**DISTINCT, "items": {"type": "null"}}]}
    check_schema(schema, [[], [1]], [[None], [1, 2], [None, None], {}])


@pytest.mark.parametrize("pattern", [r"^[\w- ]+$", r"^[\w-\s]+$", r"^[ -\w]+$"])
def test_a_dash_beside_a_set_is_a_dash(pattern: str) -> None:
    grammar = Grammar.from_schema({"type": "string", "pattern": pattern})
    assert grammar.accepts('"a-b c_9"')
    assert not grammar.accepts('"a.b"')
    assert not grammar.accepts('"a,b"')


@pytest.mark.slow
def test_keys_of_a_format_that_has_no_negation(check_schema: SchemaCheck) -> None:
    schema = {
        "type": "object",
        "propertyNames": {"format": "regex"},
        "additionalProperties": {"type": "null"},
    }
    check_schema(schema, [{}, {"a+": None}, {"^[a-z]$": None}], [{"(": None}, {"a": 1}])

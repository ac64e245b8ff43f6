"""Notes, and the mode that drops what has no exact grammar."""

from __future__ import annotations

from typing import Any

import pytest

from treegram.lang.errors import SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.compile import compile_schema

REFUSED: Any = {
    "type": "object",
    "properties": {
        "a": {"type": "array", "items": {"type": "integer"}, "not": {"uniqueItems": True}},
        "b": {"type": "string", "pattern": "(x)\\1", "maxLength": 3},
    },
    "required": ["a"],
}


def test_formats_outside_the_standard_are_noted() -> None:
    compiled = compile_schema(
        {"properties": {"a": {"type": "string", "format": "color"}, "b": {"format": "date"}}}
    )
    (note,) = compiled.notes
    assert (note.path, note.keyword) == ("$.properties.a", "format")
    assert "'color'" in note.reason


def test_nothing_is_dropped_unasked() -> None:
    with pytest.raises(SchemaError):
        compile_schema(REFUSED)


def test_lenient_drops_only_what_would_be_refused_and_lists_it() -> None:
    compiled = compile_schema(REFUSED, lenient=True)
    assert {(note.path, note.keyword) for note in compiled.notes} == {
        ("$.properties.a", "not"),
        ("$.properties.b", "pattern"),
    }
    grammar = Grammar(compiled.rules)
    assert grammar.accepts('{"a": [1, 1], "b": "abc"}')
    assert not grammar.accepts('{"a": ["x"]}')
    assert not grammar.accepts('{"a": [1], "b": "abcd"}')
    assert compile_schema({"type": "integer"}, lenient=True).notes == ()


@pytest.mark.parametrize(
    "schema",
    [{"type": "integr"}, {"$ref": "#/none"}, {"minimum": "x"}, {"type": "string", "enum": [1]}],
)
def test_lenient_does_not_hide_mistakes(schema: Any) -> None:
    with pytest.raises(SchemaError):
        compile_schema(schema, lenient=True)


BACKREFERENCE = {"type": "string", "pattern": "(x)\\1"}


@pytest.mark.parametrize(
    ("schema", "dropped"),
    [
        ({"not": BACKREFERENCE}, {("$", "not")}),
        ({"not": {"not": BACKREFERENCE}}, {("$", "not")}),
        ({"not": {"properties": {"a": BACKREFERENCE}}}, {("$", "not")}),
        ({"if": BACKREFERENCE, "then": {"minLength": 2}}, {("$", "if")}),
        ({"maxLength": 3, "allOf": [BACKREFERENCE]}, {("$.allOf[0]", "pattern")}),
        (
            {
                "$defs": {"a": BACKREFERENCE},
                "properties": {"p": {"not": {"$ref": "#/$defs/a"}}, "q": {"$ref": "#/$defs/a"}},
            },
            {("$.properties.p", "not"), ("$.$defs.a", "pattern")},
        ),
    ],
)
def test_below_a_negation_lenient_drops_the_negation_because_less_there_refuses_more(
    schema: Any, dropped: set[tuple[str, str]]
) -> None:
    compiled = compile_schema(schema, lenient=True)
    assert {(note.path, note.keyword) for note in compiled.notes} == dropped
    assert Grammar(compiled.rules).accepts('"xx"')


def test_a_mistake_below_a_negation_is_not_dropped_with_it() -> None:
    with pytest.raises(SchemaError) as caught:
        compile_schema({"not": {"pattern": 3}}, lenient=True)
    assert (caught.value.path, caught.value.keyword) == ("$.not", "pattern")

"""Constraints: exactly one kind, its grammar, and the value of a text."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from pydantic import BaseModel

from treegram.lang.constraint import Constraint, constraint_from
from treegram.lang.errors import (
    GrammarError,
    ParameterError,
    ProgramError,
    RegexError,
    SchemaError,
)
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout
from treegram.lang.tags import Tag


class Person(BaseModel):
    name: str
    age: int


def made(**options: Any) -> Constraint:
    constraint = constraint_from(**options)
    assert constraint is not None
    return constraint


@pytest.mark.parametrize(
    ("options", "text", "value"),
    [
        ({"regex": "[ab]+"}, "abba", "abba"),
        ({"choices": ["yes", "no"]}, "no", "no"),
        ({"grammar": 'root ::= "x" [0-9]'}, "x7", "x7"),
        ({"grammar": Grammar.from_regex("z+")}, "zz", "zz"),
        ({"schema": Person}, '{"name": "Ada", "age": 36}', Person(name="Ada", age=36)),
        ({"schema": {"type": "array"}}, "[1, null]", [1, None]),
        ({"grammar": 'start: "x" DIGIT\nDIGIT: /[0-9]/'}, "x7", "x7"),
        ({"substring_of": "to be or not"}, "be or", "be or"),
        ({"dtype": int}, "-40", -40),
        ({"dtype": float}, "-0.25", -0.25),
        ({"dtype": bool}, "True", True),
        ({"dtype": bool}, "False", False),
        ({"dtype": "int"}, "7", 7),
    ],
)
def test_a_text_of_the_grammar_becomes_its_value(
    options: dict[str, Any], text: str, value: object
) -> None:
    constraint = made(**options)
    assert constraint.grammar.accepts(text)
    assert constraint.parse(text) == value


@pytest.mark.parametrize(
    ("dtype", "texts"),
    [
        (int, ["01", "-0", "+1", "1.0", "", "1" * 21]),
        (float, [".5", "1.", "1e5", "nan", "01.5", ""]),
        (bool, ["true", "TRUE", "1", ""]),
    ],
)
def test_what_a_dtype_refuses(dtype: type, texts: list[str]) -> None:
    grammar = made(dtype=dtype).grammar
    assert not any(grammar.accepts(text) for text in texts)


def test_dtype_bounds_its_digits() -> None:
    grammar = made(dtype=int).grammar
    assert grammar.accepts("9" * 20)
    assert grammar.accepts("-" + "9" * 20)
    assert math.isfinite(made(dtype=float).parse("9" * 20 + "." + "9" * 20))  # type: ignore[arg-type]


def test_no_constraint() -> None:
    assert constraint_from() is None
    assert constraint_from(dtype=str) is None


@pytest.mark.parametrize("text", ["", "tru", "TRUE"])
def test_a_text_that_is_no_value_raises_value_error(text: str) -> None:
    kinds: list[dict[str, Any]] = [{"dtype": bool}, {"dtype": int}, {"schema": Person}]
    for options in (*kinds, {"schema": {}}):
        with pytest.raises(ValueError, match=r"."):
            made(**options).parse(text)


def test_two_constraints_are_refused_by_name() -> None:
    with pytest.raises(ProgramError, match="regex, dtype"):
        constraint_from(regex="a", dtype=int)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"regex": "["}, RegexError),
        ({"schema": {"type": "text"}}, SchemaError),
        ({"schema": 3}, SchemaError),
        ({"grammar": "root = 3"}, GrammarError),
        ({"grammar": 3}, ParameterError),
        ({"choices": []}, ParameterError),
        ({"choices": ["a", "a"]}, ParameterError),
        ({"dtype": list}, ParameterError),
        ({"dtype": "number"}, ParameterError),
        ({"grammar": "just text"}, GrammarError),
        ({"grammar": "start: ("}, GrammarError),
        ({"substring_of": ""}, ParameterError),
        ({"tools": []}, ParameterError),
        ({"tags": []}, ParameterError),
        ({"schema": Person, "layout": "compact"}, ParameterError),
        ({"schema": Person, "lenient": 1}, ParameterError),
        ({"regex": "a", "layout": Layout()}, ParameterError),
        ({"regex": "a", "lenient": True}, ParameterError),
    ],
)
def test_bad_constraints_raise_at_once(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        constraint_from(**options)


def test_a_schema_is_written_as_json_dumps_does_unless_a_layout_says_otherwise() -> None:
    value = {"name": "Zoë", "age": 3}
    compact = Layout(whitespace="compact")
    plain = made(schema=Person).grammar
    assert plain.accepts(json.dumps(value, ensure_ascii=False))
    assert not plain.accepts(json.dumps(value))
    assert not plain.accepts(json.dumps({"age": 3, "name": "Zoë"}, ensure_ascii=False))
    grammar = made(schema=Person, layout=compact).grammar
    assert grammar.accepts(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    assert not grammar.accepts(json.dumps(value, ensure_ascii=False))


def test_layout_and_lenient_reach_the_regions_of_tags() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"not": {"uniqueItems": True}}},
        "additionalProperties": False,
    }
    tags = [Tag("<o>", "</o>", schema=schema)]
    with pytest.raises(SchemaError):
        made(tags=tags)
    constraint = made(tags=tags, lenient=True, layout=Layout(whitespace="compact"))
    assert [note.keyword for note in constraint.grammar.notes] == ["not"]
    assert constraint.grammar.accepts('<o>{"a":1}</o>')
    assert not constraint.grammar.accepts('<o>{"a": 1}</o>')


def test_a_text_that_is_no_grammar_names_both_languages() -> None:
    with pytest.raises(GrammarError, match=r"root ::= .*start: "):
        constraint_from(grammar="yes | no")


def test_equal_constraints_have_equal_grammars() -> None:
    assert made(schema=Person).grammar == made(schema=Person).grammar

"""Tool calls: what the model may write, what it is told, and what is run."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from treegram.lang.constraint import Constraint, constraint_from
from treegram.lang.errors import ParameterError, SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.random_text import random_text
from treegram.lang.types.output import output_type
from treegram.lang.types.tools import ToolCall, tool_schemas


def weather(city: str, day: datetime.date, unit: Literal["C", "F"] = "C") -> str:
    """The weather in a city.

    Forecasts reach ten days ahead.
    """
    return f"{city} {day:%d.%m.} {unit}"


def convert(amount: Annotated[float, Field(ge=0, description="how much")], schema: str) -> float:
    return amount


@dataclass
class Place:
    latitude: float
    longitude: float


class Map:
    def distance(self, start: Place, end: Place, *, _exact: bool = False) -> str:
        """From place to place."""
        return f"{end.latitude - start.latitude:g} {_exact}"


TOOLS: list[Callable[..., Any]] = [weather, convert, Map().distance]


def made(tools: Any = TOOLS) -> Constraint:
    constraint = constraint_from(tools=tools)
    assert constraint is not None
    return constraint


def called(text: str) -> ToolCall:
    constraint = made()
    assert constraint.grammar.accepts(text)
    call = constraint.parse(text)
    assert isinstance(call, ToolCall)
    return call


def test_a_call_has_values_of_the_parameters_types() -> None:
    call = called('{"name": "weather", "arguments": {"city": "Köln", "day": "2026-03-01"}}')
    assert call.name == "weather"
    assert call.function is weather
    assert call.arguments == {"city": "Köln", "day": datetime.date(2026, 3, 1), "unit": "C"}
    assert call.call() == "Köln 01.03. C"


def test_methods_models_and_awkward_names_are_called_too() -> None:
    call = called(
        '{"name": "distance", "arguments": {"start": {"latitude": 1, "longitude": 2}, '
        '"end": {"latitude": 3.5, "longitude": 2}, "_exact": true}}'
    )
    assert call.call() == "2.5 True"
    call = called('{"name": "convert", "arguments": {"amount": 2.5, "schema": "x"}}')
    assert call.call() == 2.5


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "weather", "arguments": {"city": "Bonn"}}',
        '{"name": "weather", "arguments": {"amount": 1, "schema": "x"}}',
        '{"name": "convert", "arguments": {"amount": -1, "schema": "x"}}',
        '{"name": "other", "arguments": {}}',
        '{"arguments": {"amount": 1, "schema": "x"}, "name": "convert"}',
    ],
)
def test_other_calls_are_not_in_the_grammar(text: str) -> None:
    assert not made().grammar.accepts(text)


def test_every_text_of_the_grammar_is_a_call() -> None:
    constraint = made()
    rng = random.Random(3)
    for _ in range(60):
        text = random_text(constraint.grammar.rules, rng)
        call = constraint.parse(text)
        assert isinstance(call, ToolCall)
        call.call()


def test_one_tool_is_enough() -> None:
    def now() -> int:
        return 7

    call = made([now]).parse('{"name": "now", "arguments": {}}')
    assert isinstance(call, ToolCall)
    assert call.call() == 7


def test_the_model_is_told_of_the_tools_as_by_openai() -> None:
    first, second, third = tool_schemas(TOOLS)
    assert first["type"] == "function"
    assert first["function"]["name"] == "weather"
    assert first["function"]["description"] == weather.__doc__.replace("\n    ", "\n").strip()  # type: ignore[union-attr]
    parameters = first["function"]["parameters"]
    assert list(parameters["properties"]) == ["city", "day", "unit"]
    assert parameters["required"] == ["city", "day"]
    assert second["function"]["description"] == ""
    assert second["function"]["parameters"]["properties"]["amount"]["description"] == "how much"
    assert set(third["function"]["parameters"]["properties"]) == {"start", "end", "_exact"}


def test_what_is_no_list_of_functions_is_refused() -> None:
    def untyped(a):  # type: ignore[no-untyped-def]
        return a

    refused: list[tuple[Any, str]] = [
        ([], "list of functions"),
        ("weather", "list of functions"),
        ([3], r"\[0\] is 3"),
        ([weather, weather], "second function"),
    ]
    for tools, words in refused:
        with pytest.raises(ParameterError, match=words):
            made(tools)
        with pytest.raises(ParameterError, match=words):
            tool_schemas(tools)
    with pytest.raises(SchemaError, match="no type annotation"):
        made([untyped])


def test_a_field_as_a_default_has_its_bounds() -> None:
    def book(seats: int = Field(2, ge=1, le=9), place: str = Field(alias="at")) -> int:
        return seats

    output = output_type(book)
    grammar = Grammar.from_schema(output.schema)
    assert grammar.accepts('{"seats": 9, "at": "x"}')
    assert not grammar.accepts('{"seats": 10, "at": "x"}')
    assert not grammar.accepts('{"seats": 9}')
    assert output.parse('{"at": "x"}') == {"seats": 2, "place": "x"}


def test_a_partial_function_is_read_and_never_called() -> None:
    def fail(a: int, b: str) -> None:
        raise AssertionError("called")

    output = output_type(partial(fail, b="y"))
    assert output.parse('{"a": 3}') == {"a": 3, "b": "y"}

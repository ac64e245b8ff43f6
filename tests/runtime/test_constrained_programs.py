"""Programs with every kind of constraint, on the embedded model: values, metadata and streams."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

import treegram as tg
from treegram.runtime.model import Model

pytestmark = [pytest.mark.model, pytest.mark.slow]

TEXT = "Ada Lovelace was born in London in 1815. She wrote the first program, for Babbage's engine."


def run(model: Model, prompt: str, expr: Any, **options: Any) -> tg.State:
    @tg.function
    def program(s: Any) -> None:
        s += prompt
        s += expr

    state = program.run(model=model, **options)
    assert isinstance(state, tg.State)
    return state


COUNT = "one 1, two 2, three 3, four"


def test_an_expression_stops_the_text_where_it_first_matches(embedded_model: Model) -> None:
    free = run(embedded_model, COUNT, tg.gen("x", max_tokens=24))["x"]
    found = re.search(r",\s*[a-z]+ [67]", free)
    assert found is not None
    state = run(embedded_model, COUNT, tg.gen("x", max_tokens=24, stop_regex=r",\s*[a-z]+ [67]"))
    assert state["x"] == free[: found.start()]
    assert state.meta("x").stop_matched == found[0]
    assert state.meta("x").finish_reason == "stop"
    assert state.text() == COUNT + state["x"]


def test_a_stream_never_shows_what_an_expression_takes_back(embedded_model: Model) -> None:
    @tg.function
    def program(s: Any, start: str) -> None:
        s += start
        s += tg.gen("x", max_tokens=24, stop_regex=r",\s*[a-z]+ [67]")

    starts = [COUNT, COUNT.replace("one 1, ", "")]
    states = program.run_batch([(start,) for start in starts], model=embedded_model)
    for start, state in zip(starts, states, strict=True):
        stream = program.stream(start, model=embedded_model)
        deltas = [delta.text for delta in stream if delta.variable == "x"]
        assert "".join(deltas) == state["x"] == stream.state["x"]


def test_a_quote_is_a_passage_with_its_place(embedded_model: Model) -> None:
    prompt = f"{TEXT}\nWhere was she born? "
    expr = tg.gen("quote", substring_of=tg.SubstringOf(TEXT, words=True), max_tokens=12, stop=".")
    state = run(embedded_model, prompt, expr)
    quote = state["quote"]
    place = state.meta("quote").place
    assert place is not None
    assert TEXT[place.start : place.end] == quote


def test_the_model_calls_a_tool(embedded_model: Model) -> None:
    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    def search(query: str) -> str:
        """Searches the web."""
        return query

    tools: list[Callable[..., Any]] = [add, search]
    prompt = "Tools: add(a, b), search(query).\nWhat is 12 + 30? Call:\n"
    call = run(embedded_model, prompt, tg.gen("call", tools=tools, max_tokens=48))["call"]
    assert isinstance(call, tg.ToolCall)
    assert call.name in ("add", "search")
    assert call.call() == call.function(**call.arguments)


def test_a_marker_opens_a_constrained_region(embedded_model: Model) -> None:
    tag = tg.Tag("<num>", "</num>", regex="[0-9]{1,4}")
    prompt = "Numbers are tagged. Seven: <num>7</num>. Twelve: <num>12</num>. Thirty:"
    expr = tg.gen("x", tags=tg.Tags([tag], at_least_one=True, stop_after_first=True), max_tokens=24)
    state = run(embedded_model, prompt, expr)
    *_, region = state["x"]
    assert isinstance(region, tg.Region)
    assert re.fullmatch("[0-9]{1,4}", region.value)
    assert state.meta("x").finish_reason == "constraint"
    assert state.text().endswith(f"<num>{region.text}</num>")


def test_reasoning_has_a_budget_and_the_answer_follows(embedded_model: Model) -> None:
    class Answer(BaseModel):
        year: int

    expr = tg.reasoning("why", max_tokens=12) + tg.gen("answer", schema=Answer, max_tokens=24)
    state = run(embedded_model, f"{TEXT}\nWhen was she born?\n", expr)
    assert isinstance(state["answer"], Answer)
    assert state.meta("why").usage.completion_tokens <= 12
    before, _, after = state.text().partition("</think>\n")
    assert before.endswith(f"<think>\n{state['why']}")
    assert after == state.meta("answer").text


def test_json_is_laid_out_as_asked(embedded_model: Model) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "n": {"enum": [1, 2]}},
        "required": ["name", "n"],
        "additionalProperties": False,
    }
    layouts: list[tuple[tg.JsonLayout | None, dict[str, Any]]] = [
        (tg.JsonLayout(whitespace="compact"), {"separators": (",", ":")}),
        (tg.JsonLayout(whitespace="indented", indent=4), {"indent": 4}),
        (None, {}),
    ]
    for layout, kwargs in layouts:
        state = run(
            embedded_model, "A person as JSON:\n", tg.gen("p", schema=schema, layout=layout)
        )
        assert state.meta("p").text == json.dumps(state["p"], ensure_ascii=False, **kwargs)
        assert list(state["p"]) == ["name", "n"]


def test_notes_say_what_was_not_enforced(embedded_model: Model) -> None:
    schema = {"type": "string", "format": "license-plate", "maxLength": 4}
    state = run(embedded_model, "Plate: ", tg.gen("plate", schema=schema))
    (note,) = state.meta("plate").notes
    assert (note.path, note.keyword) == ("$", "format")
    assert "license-plate" in note.reason


class 色(enum.Enum):
    赤 = "赤い"
    青 = "青い"


class بطاقة(BaseModel):
    الاسم: str
    名前: 色


def test_every_script_works_end_to_end(embedded_model: Model) -> None:
    for expr, valid in (
        (tg.gen("x", choices=["東京", "北京市", "القاهرة", "🗼🇯🇵"]), None),
        (tg.gen("x", regex=r"(東|西)[ぁ-ん]{2,4}。"), r"(東|西)[ぁ-ん]{2,4}。"),
        (tg.gen("x", regex=r"[\u0600-\u06ff]{3} 👩‍🚀{1,2}!"), r"[\u0600-\u06ff]{3} 👩‍🚀{1,2}!"),
        (tg.gen("x", substring_of="«Привет», сказал кот. 你好。世界", max_tokens=200), None),
    ):
        text = run(embedded_model, "答え: ", expr)["x"]
        assert text
        if valid is not None:
            assert re.fullmatch(valid, text)
    schema = {
        "type": "object",
        "properties": {"名": {"enum": ["猫 🐈", "كلب"]}, "🔑": {"type": "boolean"}},
        "required": ["名", "🔑"],
        "additionalProperties": False,
    }
    value = run(embedded_model, "JSON: ", tg.gen("x", schema=schema))["x"]
    assert value["名"] in ("猫 🐈", "كلب")
    assert isinstance(value["🔑"], bool)


def test_names_of_a_python_type_may_be_in_any_script(embedded_model: Model) -> None:
    person = run(embedded_model, "JSON: ", tg.gen("x", schema=色))["x"]
    assert isinstance(person, 色)
    grammar = tg.Grammar.from_schema(بطاقة)
    assert grammar.accepts('{"名前": "赤い", "الاسم": "آدا"}')
    assert grammar.accepts(json.dumps({"الاسم": "آدا", "名前": "青い"}))

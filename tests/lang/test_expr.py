"""Expressions: what can be appended, and that bad arguments are named where they are written."""

from __future__ import annotations

from typing import Any

import pytest

import treegram as tg
from treegram.lang.base import Text
from treegram.lang.expr import Appendable, Concat, RoleBegin, RoleEnd, leaves
from treegram.lang.run_options import RunOptions


def test_plus_puts_text_and_expressions_in_order() -> None:
    x, y = tg.gen("x"), tg.gen("y")
    assert list(leaves("a" + x + "b" + y)) == ["a", x, "b", y]
    assert list(leaves(["a", [x, ("b",)], y])) == ["a", x, "b", y]
    more: list[Appendable] = ["a", y]
    assert list(leaves(x + more)) == [x, "a", y]


def test_a_long_sum_stays_flat() -> None:
    total: Any = tg.gen("x")
    for _ in range(2000):
        total = total + "a"
    assert isinstance(total, Concat)
    assert len(list(leaves(total))) == 2001
    assert repr(total)


def test_roles_enclose_their_content() -> None:
    x = tg.gen("x")
    assert list(leaves(tg.user(["a", x]))) == [RoleBegin("user"), "a", x, RoleEnd("user")]
    assert tg.system_begin() + "a" + tg.system_end() == tg.system("a")
    assert tg.assistant_begin() + x + tg.assistant_end() == tg.assistant(x)


@pytest.mark.parametrize("value", [1, None, b"x", {"a": 1}, object()])
def test_other_values_cannot_be_appended(value: object) -> None:
    with pytest.raises(tg.ProgramError, match=type(value).__name__):
        list(leaves(value))


def test_a_list_within_itself_is_an_error_and_not_a_recursion() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(tg.ProgramError, match="nested more than 100 deep"):
        list(leaves(endless))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("name", ""),
        ("name", 3),
        ("name", "_0"),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("min_tokens", -1),
        ("min_tokens", 513),
        ("stop", ""),
        ("stop", ["a", ""]),
        ("stop", 3),
        ("stop_token_ids", ["a"]),
        ("stop_token_ids", [-1]),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("top_k", 1.5),
        ("min_p", 2),
        ("repetition_penalty", 0),
        ("frequency_penalty", float("inf")),
        ("presence_penalty", "x"),
        ("logit_bias", {"a": 1.0}),
        ("logit_bias", [1]),
        ("seed", -1),
        ("seed", 1.5),
        ("n", 0),
        ("n", 1.0),
        ("logprobs", 101),
        ("ignore_eos", "yes"),
        ("heal", 1),
        ("canonical", None),
        ("engine", "vllm"),
    ],
)
def test_gen_names_the_parameter_that_is_wrong(parameter: str, value: object) -> None:
    options: dict[str, Any] = {parameter: value}
    with pytest.raises(tg.ParameterError) as caught:
        tg.gen(**options)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("options", "parameter"),
    [
        ({"choices": []}, "choices"),
        ({"choices": ["a", "b", "a"]}, "choices"),
        ({"choices": ["a", ""]}, "choices"),
        ({"choices": "ab"}, "choices"),
        ({"choices": ["a", 1]}, "choices"),
        ({"choices": ["a"], "method": "best"}, "method"),
        ({"choices": ["a"], "temperature": -1}, "temperature"),
        ({"choices": ["a"], "seed": "s"}, "seed"),
        ({"choices": ["a"], "name": ""}, "name"),
    ],
)
def test_select_names_the_parameter_that_is_wrong(options: dict[str, Any], parameter: str) -> None:
    with pytest.raises(tg.ParameterError) as caught:
        tg.select(**{"name": "x", **options})
    assert caught.value.parameter == parameter


def test_a_request_takes_the_runs_sampling_where_the_gen_gives_none() -> None:
    options = RunOptions(tg.SamplingParams(temperature=0.7, top_k=5), "llama.cpp", "sql", "us", 7)
    expr = tg.gen("x", top_k=9, stop="\n", max_tokens=7, min_tokens=2, stop_token_ids=[3])
    (request,) = expr.requests((Text("p"),), options)
    assert (request.params.temperature, request.params.top_k) == (0.7, 9)
    assert (request.stop, request.stop_token_ids) == (("\n",), (3,))
    assert (request.max_tokens, request.min_tokens, request.engine) == (7, 2, "llama.cpp")
    assert (request.adapter, request.namespace, request.priority) == ("sql", "us", 7)
    (request,) = tg.gen("x", adapter="").requests((), options)
    assert request.adapter == ""
    asked = tg.select("x", ["a", "b"]).request((), options)
    assert (asked.adapter, asked.namespace, asked.priority) == ("sql", "us", 7)


def test_samples_of_one_gen_have_different_seeds() -> None:
    expr = tg.gen("x", n=3, seed=2**64 - 1, temperature=1.0)
    seeds = [r.params.seed for r in expr.requests((), RunOptions())]
    assert seeds == [2**64 - 1, 0, 1]


def test_a_gen_takes_at_most_one_constraint() -> None:
    with pytest.raises(tg.ProgramError):
        tg.gen("x", regex="a", choices=["a", "b"])


def test_gen_int_and_gen_string_are_gens_with_a_dtype() -> None:
    constraint = tg.gen_int("x").constraint
    assert constraint is not None
    assert constraint.parse("-12") == -12
    assert tg.gen_string("x", stop="\n") == tg.gen("x", dtype=str, stop="\n")

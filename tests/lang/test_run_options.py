"""What a run says for all of its generations reaches each request; bad values are named."""

from __future__ import annotations

from typing import Any

import pytest

import treegram as tg
from treegram.lang.base import Prompt


@tg.function
def both(s: tg.State, text: str = "t") -> None:
    s += [text, tg.gen("free"), tg.gen("base", adapter=""), tg.select("pick", ["a", "b"])]


def seen(backend: tg.ScriptedBackend) -> list[tuple[str, str, int]]:
    return [(r.adapter, r.namespace, r.priority) for r in backend.requests]


def test_every_request_has_the_runs_adapter_namespace_and_priority() -> None:
    backend = tg.ScriptedBackend(["1", "2", "a"] * 4)
    options: dict[str, Any] = {"adapter": "sql", "namespace": "us", "priority": 3}
    expected = [("sql", "us", 3), ("", "us", 3), ("sql", "us", 3)]
    both.run(model=backend, **options)
    both.run_batch(["x"], model=backend, **options)
    list(both.iter_batch(["x"], model=backend, **options))
    list(both.stream(model=backend, **options))
    assert seen(backend) == expected * 4


def test_without_them_nothing_is_shared_less() -> None:
    backend = tg.ScriptedBackend(["1", "2", "a"])
    both.run(model=backend)
    assert seen(backend) == [("", "", 0)] * 3


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("adapter", 3), ("namespace", None), ("namespace", "\ud800"), ("priority", "high")],
)
def test_a_bad_value_names_its_parameter(parameter: str, value: object) -> None:
    given: dict[str, Any] = {parameter: value}
    with pytest.raises(tg.ParameterError) as caught:
        both.run(model=tg.ScriptedBackend("x"), **given)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("adapter", 3), ("overflow", "cut"), ("sinks", -1), ("sinks", True)],
)
def test_a_bad_value_of_a_gen_names_its_parameter(parameter: str, value: object) -> None:
    given: dict[str, Any] = {parameter: value}
    with pytest.raises(tg.ParameterError) as caught:
        tg.gen("x", **given)
    assert caught.value.parameter == parameter


def test_a_pinned_prefix_belongs_to_its_namespace() -> None:
    class Pinning(tg.ScriptedBackend):
        def __init__(self) -> None:
            super().__init__("")
            self.pins: dict[str, tuple[str, str]] = {}

        def pin(self, name: str, prompt: Prompt, *, adapter: str = "", namespace: str = "") -> int:
            self.pins[name] = (adapter, namespace)
            return 1

        def unpin(self, name: str) -> None:
            del self.pins[name]

    backend = Pinning()
    pins = [both.cache("t", model=backend, namespace=name, adapter="sql") for name in ("a", "b")]
    assert list(backend.pins.values()) == [("sql", "a"), ("sql", "b")]
    pins[0].unpin()
    assert list(backend.pins.values()) == [("sql", "b")]

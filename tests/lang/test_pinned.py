"""`program.cache(...)`: what of a prompt is the same for every row, and what runs to find it."""

from __future__ import annotations

from typing import Any

import pytest

import treegram as tg
from treegram.lang.base import Prompt
from treegram.lang.conversation import text_of


class PinningBackend(tg.ScriptedBackend):
    """Notes what is pinned."""

    def __init__(self) -> None:
        super().__init__("answer")
        self.pins: dict[str, Prompt] = {}

    def pin(self, name: str, prompt: Prompt, *, adapter: str = "", namespace: str = "") -> int:
        self.pins[name] = prompt
        return len(text_of(prompt))

    def unpin(self, name: str) -> None:
        self.pins.pop(name, None)


def cached(program: tg.Program, *args: object, **kwargs: Any) -> str:
    """The text of the prefix."""
    backend = PinningBackend()
    program.cache(*args, model=backend, **kwargs)
    assert not backend.requests, "nothing is generated"
    (prompt,) = backend.pins.values()
    return text_of(prompt)


@tg.function
def classify(s: tg.State, text: str, shots: str = "a: 1\n") -> None:
    s += tg.system("You classify.")
    s += tg.user(f"{shots}")
    s += tg.user(text)
    s += tg.assistant(tg.gen("label"))


def test_the_prefix_ends_where_an_unknown_argument_is_said() -> None:
    state = classify.run("TEXT", model=PinningBackend())
    assert cached(classify) == state.text().partition("TEXT")[0]


def test_arguments_that_are_given_belong_to_the_prefix() -> None:
    assert cached(classify, shots="b: 2\n").count("b: 2") == 1
    assert cached(classify.bind(shots="c: 3\n")).count("c: 3") == 1
    whole = cached(classify, "TEXT")
    assert whole.endswith("<|im_start|>assistant\n")
    assert "TEXT" in whole


def _formatted(s: tg.State, x: str) -> None:
    s += "shots "
    s += f"and {x}"


def _added(s: tg.State, x: str) -> None:
    s += "shots "
    s += "and " + x


def _method(s: tg.State, x: str) -> None:
    s += "shots "
    s += x.strip()


def _loop(s: tg.State, x: list[str]) -> None:
    s += "shots "
    for item in x:
        s += item


def _branch(s: tg.State, x: bool) -> None:
    s += "shots "
    s += "yes" if x else "no"


def _compared(s: tg.State, x: int) -> None:
    s += "shots "
    s += "many" if x > 3 else "few"


def _scope(s: tg.State, x: str) -> None:
    s += "shots "
    with s.var_scope("all"):
        s += x


def _forked(s: tg.State, x: str) -> None:
    s += "shots "
    for branch in s.fork(2):
        branch += x


def _guarded(s: tg.State, x: str) -> None:
    try:
        s += "shots "
        s += str(x)
    except Exception:
        s += "failed"


@pytest.mark.parametrize(
    "body",
    [_formatted, _added, _method, _loop, _branch, _compared, _scope, _forked, _guarded],
    ids=lambda body: body.__name__,
)
def test_any_use_of_an_unknown_argument_ends_the_prefix(body: object) -> None:
    assert callable(body)
    assert cached(tg.function(body)) == "shots "


def test_nothing_behind_the_prefix_runs() -> None:
    ran: list[str] = []

    @tg.function
    def program(s: tg.State) -> None:
        with s.user():
            s += "question"
        ran.append("before")
        with s.assistant():
            s += tg.gen("x")
        ran.append("after")

    assert cached(program).endswith("<|im_start|>assistant\n")
    assert ran == ["before"]


def test_a_program_that_is_called_belongs_to_the_prefix() -> None:
    @tg.function
    def inner(s: tg.State, x: str) -> None:
        s += "inner "
        s += x

    @tg.function
    def outer(s: tg.State, x: str) -> None:
        s += "outer "
        inner(s, x)

    assert cached(outer) == "outer inner "
    assert cached(outer, "X ") == "outer inner X "


def test_a_pin_has_a_name_and_lets_go_at_the_end_of_its_block() -> None:
    backend = PinningBackend()
    with classify.cache(model=backend) as pinned:
        assert pinned.name.startswith("classify ")
        assert list(backend.pins) == [pinned.name]
        assert pinned.tokens == len(text_of(backend.pins[pinned.name]))
        classify.cache(shots="other", model=backend)
        assert len(backend.pins) == 2
    assert len(backend.pins) == 1
    pinned.unpin()


def test_a_prefix_is_kept_until_everybody_has_let_go_of_it() -> None:
    backend, other = PinningBackend(), PinningBackend()
    outer, elsewhere = classify.cache(model=backend), classify.cache(model=other)
    with classify.cache(model=backend) as inner:
        assert list(backend.pins) == [inner.name] == [outer.name]
    inner.unpin()
    assert list(backend.pins) == [outer.name]
    outer.unpin()
    assert not backend.pins
    assert list(other.pins) == [elsewhere.name]


def test_a_pin_that_fails_holds_nothing() -> None:
    class Full(PinningBackend):
        def pin(self, name: str, prompt: Prompt, *, adapter: str = "", namespace: str = "") -> int:
            if self.pins:
                raise tg.ParameterError("host_bytes", "full")
            return super().pin(name, prompt)

    backend = Full()
    with classify.cache(model=backend):
        with pytest.raises(tg.ParameterError):
            classify.cache(model=backend)
        assert len(backend.pins) == 1
    assert not backend.pins


def test_where_nothing_can_be_pinned_it_says_so() -> None:
    @tg.function
    def empty(s: tg.State, x: str) -> None:
        s += x

    with pytest.raises(tg.ProgramError, match="'empty' says nothing before its first"):
        empty.cache(model=PinningBackend())
    with pytest.raises(tg.ProgramError, match="ScriptedBackend keeps no prefixes"):
        classify.cache(model=tg.ScriptedBackend("A"))
    with pytest.raises(tg.ProgramError, match="no parameter 'shot'"):
        classify.cache(shot="x", model=PinningBackend())


def test_an_error_of_the_body_is_raised() -> None:
    @tg.function
    def broken(s: tg.State) -> None:
        s += "text"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        broken.cache(model=PinningBackend())

"""Programs: signatures, run, bind, async, and how their errors reach the caller."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

import treegram as tg
from treegram.lang.base import GenRequest
from treegram.lang.parameters import RESERVED

pytestmark = pytest.mark.usefixtures("no_hang")


@tg.function
def card(s: tg.State, text: str, shots: int = 3) -> str:
    """Makes a card."""
    s += f"{shots} shots: {text} -> "
    s += tg.gen("answer")
    return "done"


def test_run_returns_the_finished_state() -> None:
    state = card.run("hi", model=tg.ScriptedBackend("A"))
    assert state.text() == "3 shots: hi -> A"
    assert (state["answer"], state.value, state.error) == ("A", "done", None)
    assert state.usage == tg.Usage(15, 0, 1)


def test_a_program_describes_itself() -> None:
    assert (card.name, card.doc) == ("card", "Makes a card.")
    assert list(card.signature.parameters) == ["text", "shots"]
    assert repr(card).startswith("<treegram program card(text")


def test_run_waits_for_branches_that_nobody_reads() -> None:
    @tg.function
    def program(s: tg.State) -> None:
        forks = s.fork(2)
        forks += tg.gen("x")

    state = program.run(model=tg.ScriptedBackend("AA"))
    assert state.usage.completion_tokens == 4


def test_sampling_and_engine_are_defaults_for_every_gen() -> None:
    @tg.function
    def program(s: tg.State) -> None:
        s += tg.gen("x") + tg.gen("y", temperature=0.5, engine="treegram")

    backend = tg.ScriptedBackend("A")
    program.run(model=backend, sampling=tg.SamplingParams(temperature=1.0), engine="llama.cpp")
    seen = [(r.params.temperature, r.engine) for r in backend.requests if isinstance(r, GenRequest)]
    assert seen == [(1.0, "llama.cpp"), (0.5, "treegram")]


def test_a_call_inside_another_program_runs_inline() -> None:
    @tg.function
    def outer(s: tg.State) -> object:
        value = card(s, text="inner", shots=1)
        s += "|"
        return value

    state = outer.run(model=tg.ScriptedBackend("A"))
    assert (state.text(), state.value) == ("1 shots: inner -> A|", "done")
    with pytest.raises(tg.ProgramError, match=r"use card.run"):
        card("hi")  # type: ignore[arg-type]
    with pytest.raises(tg.ProgramError, match="write program"):
        outer_that_appends().run(model=tg.ScriptedBackend("A"))


def outer_that_appends() -> tg.Program:
    @tg.function
    def outer(s: Any) -> None:
        s += none_of(s)

    @tg.function
    def none_of(s: Any) -> None:
        s += "x"

    return outer


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing a required argument: 'text'"),
        (("a", 1, 2), {}, "too many positional arguments"),
        (("a",), {"colour": 1}, "no parameter 'colour'; expected text, shots"),
        (("a",), {"text": "b"}, "multiple values for argument 'text'"),
    ],
)
def test_wrong_arguments_name_the_program(
    args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(tg.ProgramError, match=message) as caught:
        card.run(*args, model=tg.ScriptedBackend("A"), **kwargs)
    assert str(caught.value).startswith("card(text: 'str', shots: 'int' = 3): ")


def test_sglang_defect_bind_keeps_every_option() -> None:
    bound = card.bind(shots=5)
    again = bound.bind(text="hi")
    assert list(bound.signature.parameters) == ["text"]
    assert list(again.signature.parameters) == []
    backend = tg.ScriptedBackend("A")
    assert bound.run("x", model=backend).text() == "5 shots: x -> A"
    assert again.run(model=backend).text() == "5 shots: hi -> A"
    assert again.doc == card.doc
    first_bound = card.bind(text="hi")
    assert first_bound.run(7, model=backend).text() == "7 shots: hi -> A"
    with pytest.raises(tg.ProgramError, match="no parameter 'text' left"):
        again.bind(text="x")


def test_a_signature_without_a_state_is_refused() -> None:
    def no_parameters() -> None: ...
    def keywords_only(*, s: Any) -> None: ...
    def star(*s: Any) -> None: ...
    def typed(text: str) -> None: ...
    def defaulted(s: Any = None) -> None: ...

    for fn in (no_parameters, keywords_only, star, typed, defaulted):
        with pytest.raises(tg.ProgramError, match=r"first .*parameter"):
            tg.function(fn)


def test_async_functions_and_generators_are_refused() -> None:
    async def coroutine(s: Any) -> None: ...
    def generator(s: Any) -> Any:
        yield s

    for fn in (coroutine, generator):
        with pytest.raises(tg.ProgramError, match="plain function"):
            tg.function(fn)
    with pytest.raises(tg.ProgramError, match="decorates a function"):
        tg.function(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_parameter_names_are_refused_at_decoration(name: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def program(s, {name}): ...", namespace)
    with pytest.raises(tg.ProgramError, match=repr(name)):
        tg.function(namespace["program"])


def test_sglang_defect_an_engine_error_raises_in_run_with_the_programs_line() -> None:
    with pytest.raises(ValueError, match="boom") as caught:
        card.run("hi", model=tg.ScriptedBackend([ValueError("boom")]))
    (note,) = caught.value.__notes__
    assert note.startswith("in program 'card', ")
    assert note.endswith('s += tg.gen("answer")')


def test_sglang_defect_a_branchs_error_raises_in_run_even_if_never_read() -> None:
    @tg.function
    def program(s: tg.State) -> None:
        forks = s.fork(2)
        forks += tg.gen("x")

    with pytest.raises(ValueError, match="boom") as caught:
        program.run(model=tg.ScriptedBackend(["A", ValueError("boom")]))
    assert caught.value.__notes__[0].endswith('forks += tg.gen("x")')


def test_the_first_of_several_errors_is_raised() -> None:
    @tg.function
    def program(s: tg.State) -> None:
        forks = s.fork(2)
        forks += tg.gen("x")
        forks.join()

    script = [ValueError("first"), ValueError("second")]
    with pytest.raises(ValueError, match="first"):
        program.run(model=tg.ScriptedBackend(script))


def test_a_branchs_error_that_the_body_handles_is_handled() -> None:
    @tg.function
    def program(s: tg.State) -> object:
        with s.copy() as attempt:
            attempt += tg.gen("x")
            try:
                return attempt["x"]
            except ValueError:
                s += "fallback"
                return "fallback"

    state = program.run(model=tg.ScriptedBackend([ValueError("boom")]))
    assert (state.value, state.text()) == ("fallback", "fallback")


def test_an_error_of_the_states_own_cannot_be_lost_in_the_body() -> None:
    @tg.function
    def program(s: tg.State) -> None:
        s += tg.gen("x")
        with contextlib.suppress(ValueError):
            s["x"]

    with pytest.raises(ValueError, match="boom"):
        program.run(model=tg.ScriptedBackend([ValueError("boom")]))


def test_a_body_error_raises_with_its_line_and_cancels_what_runs() -> None:
    backend = tg.ScriptedBackend("A", held=True)

    @tg.function
    def program(s: tg.State) -> None:
        s += tg.gen("x")
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError) as caught:
        program.run(model=backend)
    assert caught.value.__notes__[0].endswith('raise ZeroDivisionError("mine")')
    with pytest.raises(tg.EngineError, match="no request is waiting"):
        backend.release()


def test_a_variable_error_names_the_line_that_reads() -> None:
    @tg.function
    def program(s: tg.State) -> object:
        return s["nothing"]

    with pytest.raises(tg.VariableError) as caught:
        program.run(model=tg.ScriptedBackend("A"))
    assert caught.value.__notes__[0].endswith('return s["nothing"]')


def test_a_message_left_open_is_an_error() -> None:
    @tg.function
    def program(s: tg.State) -> None:
        s += tg.assistant_begin() + "x"

    with pytest.raises(tg.ProgramError, match="assistant message begun in 'program' and never"):
        program.run(model=tg.ScriptedBackend("A"))


def test_sglang_defect_the_body_runs_exactly_once() -> None:
    calls: list[str] = []

    @tg.function
    def program(s: tg.State, q: str) -> None:
        calls.append({"a": "1", "b": "2"}[q])
        s += q + tg.gen("x")

    program.run_batch(["a", "b"], model=tg.ScriptedBackend("A"))
    program.run("a", model=tg.ScriptedBackend("A"))
    assert sorted(calls) == ["1", "1", "2"]


def test_a_state_can_go_on_after_the_run() -> None:
    backend = tg.ScriptedBackend(["A", "B"])
    state = card.run("hi", model=backend)
    state.cancel()
    state += " more " + tg.gen("y")
    assert state.text() == "3 shots: hi -> A more B"


def test_a_model_may_be_a_name() -> None:
    backend = tg.ScriptedBackend("A")
    asked: list[str | None] = []

    class Provider:
        def model(self, name: str | None) -> tg.Backend:
            asked.append(name)
            if name == "no":
                raise tg.ModelError("unknown model 'no'")
            return backend

    from treegram.lang import provider

    before = provider._Default.provider
    tg.set_default_runtime(Provider())
    try:
        card.run("hi")
        card.run("hi", model="mine")
        with pytest.raises(tg.ModelError):
            card.run("hi", model="no")
        with pytest.raises(tg.ModelError):
            card.run_batch(["hi"], model="no")
    finally:
        tg.set_default_runtime(before)
    assert asked == [None, "mine", "no", "no"]
    with pytest.raises(tg.ProgramError, match="neither a model's name nor a backend"):
        card.run("hi", model=3)  # type: ignore[arg-type]


def test_arun_gives_the_state_and_its_errors() -> None:
    async def main() -> None:
        state = await card.arun("hi", model=tg.ScriptedBackend("A"))
        assert state["answer"] == "A"
        with pytest.raises(ValueError, match="boom"):
            await card.arun("hi", model=tg.ScriptedBackend([ValueError("boom")]))

    asyncio.run(main())


def test_many_aruns_wait_together() -> None:
    """More at once than asyncio's own thread pool would run."""
    backend = tg.ScriptedBackend("A", held=True)

    async def main() -> list[tg.State]:
        tasks = [asyncio.create_task(card.arun(str(i), model=backend)) for i in range(100)]
        await asyncio.to_thread(backend.wait_for, 100)
        backend.release_all()
        return await asyncio.gather(*tasks)

    assert [s.text() for s in asyncio.run(main())] == [f"3 shots: {i} -> A" for i in range(100)]


def test_cancelling_the_task_cancels_the_program() -> None:
    backend = tg.ScriptedBackend("A", held=True)

    async def main() -> None:
        task = asyncio.create_task(card.arun("hi", model=backend))
        await asyncio.to_thread(backend.wait_for, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    with pytest.raises(tg.EngineError, match="no request is waiting"):
        backend.release()


def test_an_expression_in_an_f_string_is_refused() -> None:
    """Its repr would silently become prompt text."""

    @tg.function
    def program(s: tg.State) -> None:
        s += f"Name: {tg.gen('x')}"

    with pytest.raises(tg.ProgramError, match="inside an f-string"):
        program.run(model=tg.ScriptedBackend("A"))


def test_adding_to_a_state_without_assignment_is_refused() -> None:
    @tg.function
    def program(s: tg.State) -> None:
        s = s + "text"

    with pytest.raises(tg.ProgramError, match="write s \\+= "):
        program.run(model=tg.ScriptedBackend("A"))


@pytest.mark.parametrize("rows", ["abc", b"abc", {"text": "abc"}], ids=repr)
def test_a_single_row_is_not_taken_for_a_list(rows: Any) -> None:
    with pytest.raises(tg.ParameterError, match="put it in a list"):
        _plain.run_batch(rows, model=tg.ScriptedBackend("A"))


@tg.function
def _plain(s: tg.State, text: str) -> None:
    s += text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"txt": "x"}, "no parameter 'txt'; expected text"),
        ({"text": "x", "temperature": 1}, "sampling=tg.SamplingParams"),
        ({}, "missing a required argument: 'text'"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(tg.ProgramError, match=message):
        _plain.run(model=tg.ScriptedBackend("A"), **arguments)


def test_sampling_must_be_sampling_params() -> None:
    with pytest.raises(tg.ParameterError, match="SamplingParams"):
        _plain.run("x", model=tg.ScriptedBackend("A"), sampling={"temperature": 1})  # type: ignore[arg-type]


def test_a_state_shows_its_variables() -> None:
    @tg.function
    def program(s: tg.State) -> None:
        s += tg.gen("x")

    state = program.run(model=tg.ScriptedBackend("A"))
    assert repr(state) == "<treegram state of 'program', variables: x>"
    with pytest.raises(TypeError, match="not iterable"):
        list(state)  # type: ignore[call-overload]

"""Streams: deltas in the order of the conversation, errors from the iterator, cancelling."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

import treegram as tg
from treegram.lang.base import Request
from treegram.lang.scripted import ScriptedHandle

pytestmark = pytest.mark.usefixtures("no_hang")


@tg.function
def two(s: tg.State) -> str:
    s += tg.user("q")
    s += tg.assistant("So " + tg.gen("x") + ", " + tg.gen("y"))
    return "done"


def test_deltas_follow_the_conversation() -> None:
    stream = two.stream(model=tg.ScriptedBackend(["abcdefghij", "k"], chunk_chars=4))
    deltas = list(stream)
    assert "".join(d.text for d in deltas if d.variable == "x") == "abcdefghij"
    names = [d.variable for d in deltas]
    assert list(dict.fromkeys(names)) == [None, "x", "y"]
    assert "".join(d.text for d in deltas) == "qSo abcdefghij, k"
    assert (stream.state["y"], stream.state.value) == ("k", "done")


def test_deltas_come_while_the_generation_runs() -> None:
    class Slow(tg.ScriptedBackend):
        """Sends its first chunk at once, and the rest when released."""

        def submit(
            self, request: Request, on_text: Callable[[str], None] | None = None
        ) -> ScriptedHandle:
            assert on_text is not None
            on_text("ab")
            sent = [False]

            def rest(text: str) -> None:
                if sent[0]:
                    on_text(text)
                sent[0] = True

            return super().submit(request, rest)

    @tg.function
    def program(s: tg.State) -> None:
        s += tg.gen("x")

    backend = Slow("abcdef", held=True, chunk_chars=2)
    with ThreadPoolExecutor(1) as pool, program.stream(model=backend) as stream:
        assert pool.submit(next, stream).result(timeout=10) == tg.Delta("x", "ab")
        backend.release_all()
        assert "".join(d.text for d in pool.submit(list, stream).result(timeout=10)) == "cdef"


def test_an_error_is_raised_after_the_text_before_it() -> None:
    stream = two.stream(model=tg.ScriptedBackend(["A", ValueError("boom")]))
    seen: list[tg.Delta] = []
    with pytest.raises(ValueError, match="boom"):
        seen.extend(stream)
    assert "".join(delta.text for delta in seen) == "qSo A, "
    assert isinstance(stream.state.error, ValueError)


def test_wrong_arguments_are_raised_from_the_iterator() -> None:
    with pytest.raises(tg.ProgramError):
        list(two.stream("too many", model=tg.ScriptedBackend("A")))


def test_leaving_early_cancels_the_program() -> None:
    backend = tg.ScriptedBackend("A", held=True)
    with two.stream(model=backend) as stream:
        assert next(stream) == tg.Delta(None, "q")
        backend.wait_for(1)
    with pytest.raises(tg.CancelledError):
        list(stream)
    with pytest.raises(tg.EngineError, match="no request is waiting"):
        backend.release()


def test_joined_branches_are_streamed_where_they_are_joined() -> None:
    @tg.function
    def program(s: tg.State) -> None:
        s += "list:"
        forks = s.fork(2)
        forks += lambda i: [f" {i} ", tg.gen("x")]
        forks.join("concat")
        s += "."

    stream = program.stream(model=tg.ScriptedBackend(["A", "B"]))
    assert "".join(d.text for d in stream) == "list: 0 A 1 B."


def test_of_several_samples_the_first_is_streamed() -> None:
    @tg.function
    def program(s: tg.State) -> None:
        s += tg.gen("x", n=3)

    stream = program.stream(model=tg.ScriptedBackend(["A", "B", "C"]))
    assert list(stream) == [tg.Delta("x", "A")]
    assert stream.state["x"] == ["A", "B", "C"]


def test_a_body_error_is_the_states_error_whatever_else_was_running() -> None:
    @tg.function
    def program(s: tg.State) -> None:
        s += tg.gen("x")
        raise ZeroDivisionError

    stream = program.stream(model=tg.ScriptedBackend("A", held=True))
    with pytest.raises(ZeroDivisionError):
        list(stream)
    assert isinstance(stream.state.error, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        stream.state["x"]

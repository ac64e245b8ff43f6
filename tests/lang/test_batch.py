"""Batches: order, failing rows, laziness, interruption."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import treegram as tg

pytestmark = pytest.mark.usefixtures("no_hang")


@tg.function
def ask(s: tg.State, q: str, style: str = "") -> None:
    s += f"{style}{q}: " + tg.gen("a")
    if q == "bad":
        raise ZeroDivisionError("a bad row")


def echo(request: Any) -> str:
    return "<" + "".join(span.text for span in request.prompt) + ">"


def test_results_come_in_the_order_of_the_rows() -> None:
    rows: list[object] = ["a", {"q": "b", "style": "!"}, ("c", "?"), ["d"]]
    states = ask.run_batch(rows, model=tg.ScriptedBackend(echo))
    assert [s["a"] for s in states] == ["<a: >", "<!b: >", "<?c: >", "<d: >"]


def test_no_rows_give_no_states() -> None:
    assert ask.run_batch([], model=tg.ScriptedBackend("A")) == []


def test_sglang_defect_a_failing_row_is_that_rows_result() -> None:
    rows: list[object] = ["a", "bad", {"colour": 1}, "engine", "z"]

    def script(request: Any) -> tg.lang.scripted.Reply:
        return ValueError("boom") if "engine" in echo(request) else "A"

    good, bad, wrong, engine, last = ask.run_batch(rows, model=tg.ScriptedBackend(script))
    assert (good["a"], last["a"], good.error) == ("A", "A", None)
    assert isinstance(bad.error, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError, match="a bad row"):
        bad["a"]
    assert isinstance(wrong.error, tg.ProgramError)
    with pytest.raises(ValueError, match="boom"):
        engine["a"]


def test_sglang_defect_a_batch_with_an_appending_after_an_error_does_not_hang() -> None:
    @tg.function
    def program(s: tg.State, q: str) -> None:
        s += tg.gen("a")
        s += "more" + tg.gen("b")

    backend = tg.ScriptedBackend(lambda request: ValueError("boom"))
    states = program.run_batch(["a"] * 8, model=backend, num_threads=2)
    assert [str(s.error) for s in states] == ["boom"] * 8


def test_a_thousand_rows_run_on_a_few_threads() -> None:
    states = ask.run_batch([str(i) for i in range(1000)], model=tg.ScriptedBackend(echo))
    assert [s["a"] for s in states] == [f"<{i}: >" for i in range(1000)]


def test_rows_run_at_once_and_no_more_than_asked() -> None:
    backend = tg.ScriptedBackend("A", held=True)
    with ThreadPoolExecutor(1) as pool:
        batch = pool.submit(ask.run_batch, ["a"] * 5, model=backend, num_threads=3)
        assert len(backend.wait_for(3)) == 3
        backend.release()
        assert len(backend.wait_for(3)) == 3
        assert len(backend.requests) == 4
        backend.release_all()
        assert len(batch.result(timeout=10)) == 5


def test_sglang_defect_rows_come_as_they_finish_and_are_read_lazily() -> None:
    read: list[int] = []

    def rows() -> Iterator[str]:
        for i in range(1000):
            read.append(i)
            yield str(i)

    backend = tg.ScriptedBackend("A", held=True)
    results = ask.iter_batch(rows(), model=backend, num_threads=2)
    assert read == []
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(next, results)
        waiting = backend.wait_for(2)
        second_row = 0 if "1" in echo(waiting[0]) else 1
        backend.release()
        assert first.result(timeout=10)[0] == 1 - second_row
    assert read == [0, 1]
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(tg.EngineError, match="no request is waiting"):
        backend.release()


def test_an_error_in_the_rows_themselves_reaches_the_caller() -> None:
    def rows() -> Iterator[str]:
        yield "a"
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        ask.run_batch(rows(), model=tg.ScriptedBackend("A"))


def test_ctrl_c_keeps_the_finished_rows_and_cancels_the_others() -> None:
    backend = tg.ScriptedBackend("A", held=True)

    def interrupt() -> None:
        backend.wait_for(2)
        backend.release()
        backend.wait_for(2)  # the third row runs, so the first one's result has been taken
        os.kill(os.getpid(), signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(tg.BatchInterrupted) as caught:
        ask.run_batch(["a", "b", "c", "d"], model=backend, num_threads=2)
    helper.join(timeout=10)
    results = caught.value.results
    assert [s is not None for s in results].count(True) == 1
    assert [s["a"] for s in results if s is not None] == ["A"]
    assert len(results) == 4
    assert isinstance(caught.value, KeyboardInterrupt)
    assert "after 1 of 4 rows" in str(caught.value)
    with pytest.raises(tg.EngineError, match="no request is waiting"):
        backend.release()


def test_num_threads_is_checked() -> None:
    with pytest.raises(tg.ParameterError) as caught:
        ask.run_batch(["a"], model=tg.ScriptedBackend("A"), num_threads=0)
    assert caught.value.parameter == "num_threads"


def test_the_progress_bar_shows_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask.run_batch(["a", "bad"], model=tg.ScriptedBackend("A"))
    assert capsys.readouterr().err == ""
    ask.run_batch(["a", "bad"], model=tg.ScriptedBackend("A"), progress=True)
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "failed=1" in shown

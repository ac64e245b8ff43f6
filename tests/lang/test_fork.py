"""Forks: where branches start, how they join, and where their errors go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

import treegram as tg
from treegram.lang.base import Text
from treegram.lang.context import Execution
from treegram.lang.fork import JoinMode

pytestmark = pytest.mark.usefixtures("no_hang")


def new_state(backend: tg.ScriptedBackend) -> tg.State:
    return tg.State(Execution(backend, "test"))


def prompts(backend: tg.ScriptedBackend) -> list[str]:
    return ["".join(span.text for span in r.prompt) for r in backend.requests]


def test_branches_start_from_the_parents_conversation_at_that_point() -> None:
    backend = tg.ScriptedBackend(["A", "B", "C", "D"])
    s = new_state(backend)
    s += "q" + tg.gen("x")
    forks = s.fork(2)
    s += "parent" + tg.gen("p")
    forks += "child" + tg.gen("y")
    assert prompts(backend) == ["q", "qAparent", "qAchild", "qAchild"]
    assert [f["y"] for f in forks] == ["C", "D"]
    assert forks[0]["x"] == "A"
    assert s.names() == ["x", "p"]


def test_forking_does_not_wait_for_the_parent() -> None:
    backend = tg.ScriptedBackend(["A", "B", "C"], held=True)
    s = new_state(backend)
    s += tg.gen("x")
    forks = s.fork(2)
    forks += tg.gen("y")
    forks.join("gather")
    s += "end"
    assert len(backend.requests) == 1
    backend.release_all()
    assert s["y"] == ["B", "C"]
    assert s.text() == "Aend"


def test_branches_progress_together_without_threads() -> None:
    backend = tg.ScriptedBackend("A", held=True)
    s = new_state(backend)
    forks = s.fork(3)
    for step in range(2):
        forks += f"{step}" + tg.gen(f"x{step}")
    assert prompts(backend) == ["0", "0", "0"]
    backend.release(3)
    assert prompts(backend)[3:] == ["0A1", "0A1", "0A1"]
    backend.release(3)
    assert forks.join("gather")["x1"] == ["A", "A", "A"]


def test_fork_before_any_text() -> None:
    s = new_state(tg.ScriptedBackend(["A", "B"]))
    forks = s.fork(2)
    forks += [tg.user("one"), tg.user("two")]
    assert [f.messages()[0]["content"] for f in forks] == ["one", "two"]


def test_what_can_be_appended_to_a_fork() -> None:
    s = new_state(tg.ScriptedBackend("A"))
    forks = s.fork(2)
    forks += "same "
    forks += ["one ", "two "]
    forks += lambda i: f"call {i}"
    forks[0] += "!"
    assert [f.text() for f in forks] == ["same one call 0!", "same two call 1"]
    assert len(forks) == len(list(forks)) == 2
    assert forks[-1] is forks[1]
    with pytest.raises(tg.ProgramError, match="a list of 1"):
        forks += ["x"]
    with pytest.raises(tg.ProgramError, match="cannot append"):
        forks += 3  # type: ignore[arg-type]
    with pytest.raises(tg.ProgramError, match="cannot be replaced"):
        forks[0] = s
    with pytest.raises(tg.ParameterError):
        s.fork(0)


def test_concat_appends_the_branches_text_in_order() -> None:
    backend = tg.ScriptedBackend(["B", "A", "C"], held=True)
    s = new_state(backend)
    s += "q:"
    forks = s.fork(2)
    forks += lambda i: [f" {i}=", tg.gen("x")]
    forks.join("concat")
    s += " end" + tg.gen("z")
    backend.release_all()
    assert s.text() == "q: 0=B 1=A endC"
    assert "x" not in s


def test_concat_brings_whole_messages() -> None:
    s = new_state(tg.ScriptedBackend(["A", "B"]))
    s += tg.system("S")
    forks = s.fork(2)
    forks += lambda i: [tg.user(f"q{i}"), tg.assistant(tg.gen("a"))]
    forks.join("concat")
    assert [m["content"] for m in s.messages()] == ["S", "q0", "A", "q1", "B"]


def test_concat_inside_an_open_message() -> None:
    s = new_state(tg.ScriptedBackend(["A", "B"]))
    with s.assistant():
        forks = s.fork(2)
        forks += tg.gen("a")
        forks.join("concat")
    assert s.messages() == [{"role": "assistant", "content": "AB"}]


def test_concat_of_an_unfinished_message_is_an_error() -> None:
    s = new_state(tg.ScriptedBackend("A"))
    forks = s.fork(2)
    forks += tg.user_begin() + "x"
    with pytest.raises(tg.ProgramError, match="branch 0 has the open message 'user'"):
        forks.join("concat")


def test_join_refuses_an_unknown_mode() -> None:
    with pytest.raises(tg.ProgramError, match="'merge'"):
        new_state(tg.ScriptedBackend("A")).fork(1).join("merge")  # type: ignore[arg-type]


def test_sglang_defect_a_second_fork_under_the_same_name_loses_nothing() -> None:
    s = new_state(tg.ScriptedBackend(["A", "B", "C", "D"]))
    forks = s.fork(2)
    forks += tg.gen("x")
    assert forks.join("gather")["x"] == ["A", "B"]
    forks = s.fork(2)
    forks += tg.gen("x")
    forks.join("gather")
    assert s["x"] == ["A", "B", "C", "D"]


def test_joining_the_same_fork_again_takes_only_what_is_new() -> None:
    s = new_state(tg.ScriptedBackend(["A", "B", "C", "D"]))
    forks = s.fork(2)
    forks += "1" + tg.gen("x")
    forks.join("concat")
    forks += "2" + tg.gen("x")
    forks.join("concat")
    assert s.text() == "1A1B2C2D"


def test_gathering_takes_from_each_branch_what_it_made() -> None:
    s = new_state(tg.ScriptedBackend(["A", "B", "C"]))
    s["old"] = 1
    forks = s.fork(2)
    forks[0] += tg.gen("x")
    forks[1] += tg.gen("y")
    forks[1]["z"] = 5
    forks[1] += tg.gen()
    forks.join("gather")
    assert (s["x"], s["y"], s["z"], s["_0"], s["old"]) == (["A"], ["B"], [5], ["C"], 1)
    assert s.meta("x").text == "A"
    s += tg.gen()
    assert s.names()[-1] == "_1"


def test_join_without_a_mode_only_waits() -> None:
    s = new_state(tg.ScriptedBackend(["A", "B"]))
    forks = s.fork(1)
    forks += tg.gen("x")
    forks.join()
    assert s.sync().names() == []
    assert forks.join("gather")["x"] == ["A"]


def test_nested_forks() -> None:
    s = new_state(tg.ScriptedBackend(lambda r: "a"))
    outer = s.fork(2)
    for child in outer:
        inner = child.fork(2)
        inner += tg.gen("x")
        inner.join("gather")
    outer.join("gather")
    assert s["x"] == [["a", "a"], ["a", "a"]]
    assert s.usage.completion_tokens == 4


def test_deeply_nested_forks_do_not_recurse() -> None:
    backend = tg.ScriptedBackend("A", held=True)
    s = new_state(backend)
    s += tg.gen("x")
    states, forks = [s], []
    for _ in range(1500):
        forks.append(states[-1].fork(1))
        states.append(forks[-1][0])
    states[-1] += tg.gen("y")
    for fork in reversed(forks):
        fork.join("concat")
    backend.release_all()
    assert s.text() == "AA"


def test_copy_leaves_the_original_alone() -> None:
    s = new_state(tg.ScriptedBackend(["A", "B"]))
    s += "q"
    with s.copy() as t:
        t += "copy" + tg.gen("x")
    s += "own" + tg.gen("x")
    assert (t["x"], s["x"]) == ("A", "B")
    assert (t.text(), s.text()) == ("qcopyA", "qownB")


def test_sglang_defect_a_branchs_error_reaches_the_parent_on_join() -> None:
    modes: tuple[JoinMode | None, ...] = (None, "gather", "concat")
    for mode in modes:
        s = new_state(tg.ScriptedBackend(["A", ValueError("boom"), "C"]))
        forks = s.fork(3)
        forks += tg.gen("x")
        forks.join(mode)
        s += "more"
        with pytest.raises(ValueError, match="boom") as caught:
            s.sync()
        assert caught.value.__notes__[0].endswith('forks += tg.gen("x")')
        assert forks[0]["x"] == "A"
        assert forks[2]["x"] == "C"


def test_a_failed_parent_fails_its_branches() -> None:
    backend = tg.ScriptedBackend([ValueError("boom")], held=True)
    s = new_state(backend)
    s += tg.gen("x")
    forks = s.fork(2)
    forks += tg.gen("y")
    inner = forks[0].fork(1)
    inner += tg.gen("z")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(lambda: inner[0]["z"])
        backend.release()
        with pytest.raises(ValueError, match="boom"):
            read.result(timeout=10)
    with pytest.raises(ValueError, match="boom"):
        forks[1].text()
    assert len(backend.requests) == 1


def test_a_fork_after_an_error_raises_it() -> None:
    s = new_state(tg.ScriptedBackend([ValueError("boom")]))
    s += tg.gen("x")
    with pytest.raises(ValueError, match="boom"):
        s.fork(2)
    with pytest.raises(ValueError, match="boom"):
        s.copy()


def test_a_shared_prefix_is_the_same_spans_in_every_branch() -> None:
    backend = tg.ScriptedBackend(["A", "B", "C"])
    s = new_state(backend)
    s += "q" + tg.gen("x")
    forks = s.fork(2)
    forks += tg.gen("y")
    assert backend.requests[1].prompt == backend.requests[2].prompt
    assert backend.requests[1].prompt[0] == Text("q")

"""The state: order, reading, roles, variables, errors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

import treegram as tg
from treegram.lang.base import Generated, Prompt, Request, Text
from treegram.lang.constraint import Constraint
from treegram.lang.context import Execution
from treegram.lang.expr import Appendable
from treegram.lang.scripted import ScriptedHandle

pytestmark = pytest.mark.usefixtures("no_hang")


def new_state(backend: tg.ScriptedBackend) -> tg.State:
    return tg.State(Execution(backend, "test"))


def text_of(prompt: Prompt) -> str:
    return "".join(span.text for span in prompt)


def test_appending_does_not_wait_and_reading_does() -> None:
    backend = tg.ScriptedBackend("A", held=True)
    s = new_state(backend)
    s += "q" + tg.gen("x") + "."
    assert len(backend.requests) == 1
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(lambda: s["x"])
        assert not read.done()
        backend.release()
        assert read.result(timeout=10) == "A"
    assert s.text() == "qA."


def test_each_prompt_continues_the_tokens_that_were_sampled() -> None:
    backend = tg.ScriptedBackend(["A", "B"])
    s = new_state(backend)
    s += "q" + tg.gen("x") + "r" + tg.gen("y")
    assert s.sync()["y"] == "B"
    assert backend.requests[1].prompt == (Text("q"), Generated("A", (65,)), Text("r"))


def test_neighbouring_texts_reach_the_tokeniser_as_one() -> None:
    backend = tg.ScriptedBackend("A")
    s = new_state(backend)
    s += "one "
    s += ["two ", "", "three"]
    s += tg.gen("x")
    assert backend.requests[0].prompt == (Text("one two three"),)


def test_only_template_text_is_marked_as_template() -> None:
    backend = tg.ScriptedBackend("A")
    s = new_state(backend)
    s += tg.user("<|im_end|>") + tg.assistant_begin() + "So " + tg.gen("x")
    assert backend.requests[0].prompt == (
        Text("<|im_start|>user\n", template=True),
        Text("<|im_end|>"),
        Text("<|im_end|>\n<|im_start|>assistant\n", template=True),
        Text("So "),
    )


def test_the_four_ways_to_write_roles_give_the_same_conversation() -> None:
    def by_expression(s: tg.State) -> None:
        s += tg.system("S") + tg.user("U") + tg.assistant(tg.gen("x"))

    def by_marks(s: tg.State) -> None:
        s += tg.system_begin() + "S" + tg.system_end()
        s += tg.user_begin() + "U" + tg.user_end()
        s += tg.assistant_begin() + tg.gen("x") + tg.assistant_end()

    def by_context_managers(s: tg.State) -> None:
        with s.system():
            s += "S"
        with s.user():
            s += "U"
        with s.assistant():
            s += tg.gen("x")

    seen = []
    for write in (by_expression, by_marks, by_context_managers):
        backend = tg.ScriptedBackend("A")
        s = new_state(backend)
        write(s)
        seen.append((s.text(), s.messages(), backend.requests[0].prompt))
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][1] == [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": "A"},
    ]


def test_a_gen_in_a_user_message_sees_that_message_open() -> None:
    backend = tg.ScriptedBackend("A")
    s = new_state(backend)
    s += tg.system("S") + tg.user_begin() + "I am " + tg.gen("x")
    assert text_of(backend.requests[0].prompt) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nI am "
    )
    s += tg.gen("y")
    assert backend.requests[1].prompt[-1] == Generated("A", (65,))


def test_raw_text_may_stand_before_and_after_the_messages() -> None:
    backend = tg.ScriptedBackend("A")
    s = new_state(backend)
    s += "before" + tg.user("U") + "after" + tg.gen("x")
    assert text_of(backend.requests[0].prompt) == "before<|im_start|>user\nU<|im_end|>\nafter"


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([tg.user_begin(), tg.system_begin()], "system message begun inside the open user"),
        ([tg.user_end()], "user message ended, but none is open"),
        ([tg.user_begin(), tg.assistant_end()], "assistant message ended, but the open .* is user"),
        ([tg.user("a"), "raw", tg.user("b")], "user message begun after raw text"),
    ],
)
def test_wrong_roles_raise_at_their_own_line(items: list[Appendable], message: str) -> None:
    s = new_state(tg.ScriptedBackend("A"))
    with pytest.raises(tg.ProgramError, match=message):
        s += items


def test_a_body_error_inside_a_role_is_not_hidden_by_the_role() -> None:
    s = new_state(tg.ScriptedBackend("A"))
    with pytest.raises(ZeroDivisionError), s.user():
        raise ZeroDivisionError
    s += tg.user("works")
    assert [m["content"] for m in s.messages()] == ["", "works"]


def test_variables_are_set_in_order_with_generations() -> None:
    backend = tg.ScriptedBackend(["A", "B"], held=True)
    s = new_state(backend)
    s += tg.gen("x")
    s["x"] = 5
    s["y"] = [1]
    backend.release_all()
    assert (s["x"], s["y"], s.get("z", 7), s.names()) == (5, [1], 7, ["x", "y"])
    assert "x" in s
    assert "z" not in s


def test_a_variable_that_was_never_generated_is_a_clear_error() -> None:
    s = new_state(tg.ScriptedBackend("A"))
    s += tg.gen("x")
    with pytest.raises(tg.VariableError) as caught:
        s["y"]
    assert (caught.value.name, caught.value.known) == ("y", ["x"])
    with pytest.raises(KeyError):
        s.meta("y")
    with pytest.raises(tg.VariableError):
        next(s.text_iter("y"))


def test_sglang_defect_unnamed_gens_keep_their_own_values() -> None:
    s = new_state(tg.ScriptedBackend(["A", "B", "C"]))
    s += "1" + tg.gen() + "2" + tg.gen("x") + "3" + tg.gen()
    assert (s["_0"], s["x"], s["_1"]) == ("A", "B", "C")


def test_sglang_defect_n_samples_work() -> None:
    backend = tg.ScriptedBackend(["A", "B", "C", "D"])
    s = new_state(backend)
    s += "q" + tg.gen("x", n=3, seed=1, temperature=1.0) + tg.gen("y")
    assert s["x"] == ["A", "B", "C"]
    assert s.meta("x", 2).text == "C"
    assert s.text() == "qAD"
    assert [r.prompt for r in backend.requests[:3]] == [(Text("q"),)] * 3
    assert s.usage.completion_tokens == 4
    with pytest.raises(tg.ParameterError):
        s.meta("x", 3)


def test_one_failed_sample_fails_the_gen_and_cancels_the_others() -> None:
    backend = tg.ScriptedBackend([ValueError("boom"), "B", "C"], held=True)
    s = new_state(backend)
    s += tg.gen("x", n=3)
    backend.release()
    with pytest.raises(ValueError, match="boom"):
        s["x"]
    with pytest.raises(tg.EngineError, match="no request is waiting"):
        backend.release()


def test_meta_tells_how_it_went() -> None:
    backend = tg.ScriptedBackend(
        [tg.Answer("abc", "length"), tg.Answer("d", stop_matched="\n"), "yes"]
    )
    s = new_state(backend)
    s += "q" + tg.gen("x") + tg.gen("y", stop="\n") + tg.select("c", ["no", "yes"])
    assert (s.meta("x").text, s.meta("x").finish_reason) == ("abc", "length")
    assert s.meta("y").stop_matched == "\n"
    assert s.meta("x").usage == tg.Usage(1, 0, 3)
    scores = s.meta("c").scores
    assert scores is not None
    assert [score.choice for score in scores] == ["no", "yes"]
    assert s["c"] == "yes"
    s["z"] = 1
    with pytest.raises(tg.ProgramError, match="assigned"):
        s.meta("z")


def test_var_scope_holds_the_text_inside() -> None:
    s = new_state(tg.ScriptedBackend("A"))
    s += "0"
    with s.var_scope("all"):
        s += "1" + tg.gen("x") + "2"
    s += "3"
    assert s["all"] == "1A2"


def test_an_engine_error_is_raised_by_every_read() -> None:
    s = new_state(tg.ScriptedBackend(["A", ValueError("boom")]))
    s += tg.gen("x") + tg.gen("y")
    for read in (lambda: s["x"], lambda: s["y"], s.text, s.messages, s.sync):
        with pytest.raises(ValueError, match="boom"):
            read()
    assert isinstance(s.error, ValueError)


def test_sglang_defect_appending_after_an_error_neither_hangs_nor_hides_it() -> None:
    backend = tg.ScriptedBackend(["A", ValueError("boom"), "C"])
    s = new_state(backend)
    s += tg.gen("x") + tg.gen("y")
    s += "more" + tg.gen("z")
    s["w"] = 1
    assert len(backend.requests) == 2
    for name in ("z", "w"):
        with pytest.raises(ValueError, match="boom"):
            s[name]
    with pytest.raises(ValueError, match="boom"):
        s.text()


def test_an_error_carries_the_programs_line_once() -> None:
    s = new_state(tg.ScriptedBackend([ValueError("boom")]))
    s += tg.gen("x")  # the failing line
    with pytest.raises(ValueError, match="boom"):
        s["x"]
    with pytest.raises(ValueError, match="boom") as caught:
        s["x"]
    (note,) = caught.value.__notes__
    assert note.startswith("in program 'test', ")
    assert __file__ in note
    assert note.endswith('s += tg.gen("x")  # the failing line')


def test_an_error_in_a_role_block_names_the_line_in_the_program() -> None:
    class NoTemplate(tg.ScriptedBackend):
        def render_chat(
            self, messages: Sequence[tg.Message], add_generation_prompt: bool
        ) -> Prompt:
            raise tg.ProgramError("no chat template")

    s = new_state(NoTemplate("A"))
    with s.assistant():
        s += tg.gen("x")
    with pytest.raises(tg.ProgramError, match="no chat template") as caught:
        s.sync()
    assert caught.value.__notes__[0].endswith('s += tg.gen("x")')


def test_a_rejected_request_is_an_error_like_any_other() -> None:
    class Rejects(tg.ScriptedBackend):
        def submit(
            self, request: Request, on_text: Callable[[str], None] | None = None
        ) -> ScriptedHandle:
            raise tg.ContextOverflowError(9, 8)

    s = new_state(Rejects("A"))
    s += tg.gen("x")
    with pytest.raises(tg.ContextOverflowError):
        s["x"]


def test_a_long_program_that_is_answered_at_once_does_not_recurse() -> None:
    s = new_state(tg.ScriptedBackend("A"))
    for _ in range(600):
        s += tg.gen("x")
    assert s.sync()["x"] == "A"


def test_a_long_queue_behind_one_request_does_not_recurse() -> None:
    backend = tg.ScriptedBackend("A", held=True)
    s = new_state(backend)
    for _ in range(600):
        s += "b" + tg.gen("x")
    backend.release_all()
    assert s.sync().usage.completion_tokens == 600


def test_cancelling_ends_reads_and_requests() -> None:
    backend = tg.ScriptedBackend("A", held=True)
    s = new_state(backend)
    s += tg.gen("x") + tg.gen("y")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(lambda: s["y"])
        s.cancel()
        with pytest.raises(tg.CancelledError):
            read.result(timeout=10)
    with pytest.raises(tg.CancelledError):
        s += "more"
    assert len(backend.requests) == 1


def test_text_iter_gives_the_text_as_it_comes() -> None:
    backend = tg.ScriptedBackend("abcdefghij", chunk_chars=4, held=True)
    s = new_state(backend)
    s += "q" + tg.gen("x") + "r" + tg.gen("y")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(lambda: list(s.text_iter("y")))
        backend.release(1)
        backend.release(1)
        assert "".join(read.result(timeout=10)) == "abcdefghij"
    assert list(s.text_iter("x")) == ["abcdefghij"]


def test_text_iter_raises_the_generations_error() -> None:
    backend = tg.ScriptedBackend([ValueError("boom")], held=True)
    s = new_state(backend)
    s += tg.gen("x")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(lambda: list(s.text_iter("x")))
        backend.release()
        with pytest.raises(ValueError, match="boom"):
            read.result(timeout=10)


def test_results_are_applied_while_other_threads_append() -> None:
    """Many threads on one state: every operation runs, in each thread's own order."""
    backend = tg.ScriptedBackend(lambda request: "x")
    s = new_state(backend)

    def append(thread: int) -> None:
        state = s
        for i in range(50):
            state += [f"<{thread}:{i}", tg.gen(f"v{thread}"), ">"]

    threads = [threading.Thread(target=append, args=(t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    text = s.text()
    assert text.count("x") == 200
    for t in range(4):
        assert [text.index(f"<{t}:{i}") for i in range(50)] == sorted(
            text.index(f"<{t}:{i}") for i in range(50)
        )


def test_reading_parses_once_and_names_what_is_no_value() -> None:
    calls: list[str] = []

    def parse(text: str) -> int:
        calls.append(text)
        return int(text)

    expr = replace(tg.gen("x"), constraint=Constraint(tg.Grammar.from_regex("[0-9a-f]+"), parse))
    s = new_state(tg.ScriptedBackend([tg.Answer("42", "constraint"), tg.Answer("4f", "stop")]))
    s += expr
    assert [s["x"], s["x"]] == [42, 42]
    assert calls == ["42"]
    s += expr
    with pytest.raises(tg.OutputError) as caught:
        s["x"]
    assert (caught.value.name, caught.value.text, caught.value.finish_reason) == ("x", "4f", "stop")
    assert s.meta("x").text == "4f"


def test_text_cut_by_max_tokens_is_no_value() -> None:
    s = new_state(tg.ScriptedBackend([tg.Answer("ab", "length"), tg.Answer("abc", "length")]))
    s += tg.gen("x", regex="abc") + tg.gen("y", regex="abc")
    with pytest.raises(tg.OutputError, match="raise that") as caught:
        s["x"]
    assert caught.value.finish_reason == "length"
    assert s["y"] == "abc"

"""Reasoning before an answer: free text between two markers, which may be control tokens."""

from __future__ import annotations

import treegram as tg
from treegram.lang.base import Generated, Text
from treegram.lang.context import Execution


def appended(*items: object, texts: list[str]) -> tuple[tg.ScriptedBackend, tg.State]:
    backend = tg.ScriptedBackend(texts)
    state = tg.State(Execution(backend, "test"))
    state += list(items)  # type: ignore[arg-type]  # what the test gives is appendable
    return backend, state.sync()


def test_markers_are_text_in_which_control_tokens_are_parsed() -> None:
    backend, state = appended(
        "Why? <think>", tg.reasoning("why") + tg.gen("answer"), texts=["as", "yes"]
    )
    assert state.text() == "Why? <think><think>\nas</think>\nyes"
    assert backend.requests[0].prompt == (Text("Why? <think>"), Text("<think>\n", template=True))
    assert backend.requests[1].prompt == (
        *backend.requests[0].prompt,
        Generated("as", tuple(b"as")),
        Text("</think>\n", template=True),
    )


def test_they_stay_markers_when_the_message_is_closed() -> None:
    chat = [tg.user("Why?"), tg.assistant(tg.reasoning("why", begin="[", end="]")), tg.user("So?")]
    backend, state = appended(*chat, tg.assistant(tg.gen("answer")), texts=["as", "yes"])
    assert state.messages()[1] == {"role": "assistant", "content": "[as]"}
    prompt = backend.requests[1].prompt
    at = prompt.index(Generated("as", tuple(b"as")))
    for span in (prompt[at - 1], prompt[at + 1]):
        assert isinstance(span, Text)
        assert span.template


def test_a_template_may_have_opened_the_reasoning() -> None:
    backend, state = appended("<think>\n", tg.reasoning("why", begin=""), texts=["as"])
    assert backend.requests[0].prompt == (Text("<think>\n"),)
    assert state.text() == "<think>\nas</think>\n"

"""Conversations resent as text, through the real model: what was generated is found again."""

from __future__ import annotations

import pytest

from treegram.lang.base import GenRequest, GenResult, Message, Text
from treegram.lang.sampling import SamplingParams
from treegram.runtime.model import Model

pytestmark = pytest.mark.model
WAIT_S = 120.0
SEEDS = range(11, 41)


def ask(model: Model, messages: list[Message], params: SamplingParams | None = None) -> GenResult:
    prompt = model.render_chat(messages, True)
    request = GenRequest(prompt, max_tokens=48, params=params or SamplingParams())
    result = model.submit(request).result(WAIT_S)
    assert isinstance(result, GenResult)
    return result


def message(role: str, text: str) -> Message:
    return Message(role, (Text(text),))


def test_a_chat_client_that_resends_text_finds_what_was_really_generated(
    embedded_model: Model,
) -> None:
    """Hot sampling writes tokens that the tokeniser would not; the resent text has the latter."""
    history = [message("system", "You write strange poems."), message("user", "One on herons.")]
    for seed in SEEDS:
        first = ask(embedded_model, history, SamplingParams(temperature=1.6, seed=seed))
        generated = [t for span in first.spans for t in getattr(span, "tokens", ())]
        canonical = embedded_model.tokenizer.encode(first.text)
        is_text = "\ufffd" not in first.text and first.text == first.text.strip()
        if is_text and canonical != generated[: len(canonical)]:
            break
    else:
        pytest.fail("the tokeniser would have written all of this, too")
    history += [message("assistant", first.text), message("user", "And one on owls.")]
    second = ask(embedded_model, history)
    spent = second.usage.prompt_tokens - second.usage.cached_tokens
    new = embedded_model.render_chat([history[-1]], True)
    own = len(embedded_model.tokenizer.encode("".join(s.text for s in new), special=True))
    assert spent <= own + 2, "only the new turn is evaluated, and the end of the last answer"
    third = ask(embedded_model, [*history, message("assistant", second.text), history[1]])
    assert third.usage.prompt_tokens - third.usage.cached_tokens <= own + 2

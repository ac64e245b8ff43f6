"""Prompts to tokens with the embedded model's real tokeniser."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treegram.lang.base import Generated, Text
from treegram.lang.errors import ParameterError
from treegram.runtime.llama import LlamaModel
from treegram.runtime.prompt import tokenize

pytestmark = pytest.mark.model


def spelled(model: LlamaModel, tokens: list[int]) -> str:
    return b"".join(model.vocabulary.pieces[t] for t in tokens).decode("utf-8", "replace")


def test_control_tokens_are_parsed_in_template_text_only(vocabulary_model: LlamaModel) -> None:
    control = vocabulary_model.encode("<|im_start|>", special=True)
    assert len(control) == 1
    marked = (Text("<|im_start|>", template=True),)
    template = tokenize(marked, vocabulary_model, bos=None, heal=False)
    user = tokenize((Text("<|im_start|>"),), vocabulary_model, bos=None, heal=False)
    assert template.tokens == control
    assert control[0] not in user.tokens
    assert spelled(vocabulary_model, user.tokens) == "<|im_start|>"


def test_neighbouring_texts_are_tokenised_as_one(vocabulary_model: LlamaModel) -> None:
    pieces = tuple(Text(t) for t in ("Hel", "lo wor", "ld"))
    joined = tokenize(pieces, vocabulary_model, bos=None, heal=False)
    assert joined.tokens == vocabulary_model.encode("Hello world", start=True)


def test_generated_tokens_are_kept_as_sampled(vocabulary_model: LlamaModel) -> None:
    odd = tuple(vocabulary_model.encode(c)[0] for c in "Paris")
    found = tokenize(
        (Text("It is "), Generated("Paris", odd), Text(".")), vocabulary_model, bos=None, heal=False
    )
    assert tuple(found.tokens[-6:-1]) == odd


@pytest.mark.parametrize("wrong", [-1, 1 << 20])
def test_tokens_of_another_model_are_refused(vocabulary_model: LlamaModel, wrong: int) -> None:
    """llama.cpp would refuse the whole batch."""
    prompt = (Text("It is "), Generated("Paris", (5, wrong)))
    with pytest.raises(ParameterError, match="generated tokens that this model does not have"):
        tokenize(prompt, vocabulary_model, bos=None, heal=False)


def test_healing_backs_up_the_last_user_token(vocabulary_model: LlamaModel) -> None:
    found = tokenize((Text("The link is http:"),), vocabulary_model, bos=None, heal=True)
    assert found.prefix == ":"
    assert spelled(vocabulary_model, found.tokens) == "The link is http"


@pytest.mark.parametrize(
    "last", [Text("<|im_start|>assistant\n", template=True), Generated("x", (105,))], ids=repr
)
def test_healing_never_crosses_template_or_generated_text(
    vocabulary_model: LlamaModel, last: Text | Generated
) -> None:
    assert tokenize((Text("a:"), last), vocabulary_model, bos=None, heal=True).prefix == ""


def test_a_healed_generation_replays_as_the_same_tokens(vocabulary_model: LlamaModel) -> None:
    """The next prompt holds the healed tokens, not the prompt's end and the generation apart."""
    healed = tokenize((Text("The link is http:"),), vocabulary_model, bos=None, heal=True)
    longer = vocabulary_model.encode("://")
    replayed = tokenize(
        (Text("The link is http:"), Generated("//", tuple(longer), ":")),
        vocabulary_model,
        bos=None,
        heal=True,
    )
    assert replayed.tokens == [*healed.tokens, *longer]


@given(text=st.text(max_size=40))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_healing_loses_no_text(vocabulary_model: LlamaModel, text: str) -> None:
    """Compared with the plain tokens: the vocabulary lacks some bytes, which llama.cpp drops."""
    pieces = vocabulary_model.vocabulary.pieces
    found = tokenize((Text(text),), vocabulary_model, bos=None, heal=True)
    plain = b"".join(pieces[t] for t in vocabulary_model.encode(text, start=True))
    assert b"".join(pieces[t] for t in found.tokens) + found.prefix.encode() == plain


def test_bos_is_added_once(vocabulary_model: LlamaModel) -> None:
    bos = vocabulary_model.bos
    written = vocabulary_model.control_text(bos)
    template = (Text(written + "hi", template=True),)
    assert tokenize(template, vocabulary_model, bos=bos, heal=False).tokens.count(bos) == 1
    assert tokenize((Text("hi"),), vocabulary_model, bos=bos, heal=False).tokens[0] == bos
    assert tokenize((), vocabulary_model, bos=bos, heal=False).tokens == [bos]


def test_a_healed_generation_moved_behind_other_text_adds_only_its_own(
    vocabulary_model: LlamaModel,
) -> None:
    """As a concatenating join does: its first token would respell a prompt that is not there."""
    moved = Generated("bow", tuple(vocabulary_model.encode(" rainbow")), " rain")
    found = tokenize((Text("A cross"), moved), vocabulary_model, bos=None, heal=False)
    assert spelled(vocabulary_model, found.tokens) == "A crossbow"

"""Control tokens in a grammar: one token while a model writes, their text in a text."""

from __future__ import annotations

import numpy as np
import pytest

import treegram as tg
from treegram.lang.errors import GrammarError
from treegram.lang.grammar import Grammar
from treegram.runtime.base import Vocabulary
from treegram.runtime.byte_tokenizer import ByteTokenizer
from treegram.runtime.llama import LlamaModel
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.matcher import GrammarMatcherFactory
from treegram.runtime.spelling import Speller

GBNF = 'root ::= "a" <think> [a-c]+ </think> ("yes" | "no")'


class Tokenizer(ByteTokenizer):
    """Bytes, a few merges, and the control tokens <think> and </think>."""

    def __init__(self) -> None:
        super().__init__([b"ab", b"yes", b"<think>"])
        plain = super().vocabulary
        self.think = len(plain)
        self._with_controls = Vocabulary(
            (*plain.pieces, b"", b""),
            plain.eog,
            {self.think: "<think>", self.think + 1: "</think>"},
        )

    @property
    def vocabulary(self) -> Vocabulary:
        return self._with_controls


def test_a_grammar_with_control_tokens_is_a_set_of_texts() -> None:
    grammar = Grammar.from_gbnf(GBNF)
    assert grammar.accepts("a<think>abc</think>yes")
    assert not grammar.accepts("aabcyes")
    assert Grammar.from_gbnf(grammar.to_gbnf()) == grammar


@pytest.mark.parametrize("canonical", [True, False])
def test_only_the_control_token_itself_is_legal(canonical: bool) -> None:
    tokenizer = Tokenizer()
    trie = TokenTrie(tokenizer.vocabulary)
    factory = GrammarMatcherFactory(
        Grammar.from_gbnf(GBNF), tokenizer.vocabulary, Speller(tokenizer, trie), trie
    )
    matcher = factory.start(canonical=canonical)
    tokens = matcher.forced()
    if canonical:
        assert tokens == [ord("a"), tokenizer.think], "both are forced"
    else:
        matcher.advance(ord("a"))
        mask = matcher.mask()
        assert mask is not None
        assert np.flatnonzero(mask).tolist() == [tokenizer.think]
        matcher.advance(tokenizer.think)
    mask = matcher.mask()
    assert mask is not None
    assert not mask[tokenizer.think], "not where the grammar has none"
    matcher.advance(ord("b"))
    assert matcher.allows(tokenizer.think + 1)
    matcher.advance(tokenizer.think + 1)
    assert not matcher.is_accepting


def test_a_model_without_the_token_is_named() -> None:
    tokenizer = ByteTokenizer([])
    trie = TokenTrie(tokenizer.vocabulary)
    with pytest.raises(GrammarError, match=r"no control token '<think>'; it has none"):
        GrammarMatcherFactory(
            Grammar.from_gbnf(GBNF), tokenizer.vocabulary, Speller(tokenizer, trie), trie
        )


@pytest.mark.model
@pytest.mark.slow
def test_the_embedded_model_writes_its_control_token(vocabulary_model: LlamaModel) -> None:
    assert "<|im_start|>" in vocabulary_model.vocabulary.controls.values()

    @tg.function
    def ask(s: tg.State) -> None:
        s += "Turn: "
        s += tg.gen("turn", grammar='root ::= "hello" <|im_start|> ("user" | "assistant")')

    for engine in ("treegram", "llama.cpp"):
        state = ask.run(engine=engine)
        assert state["turn"] in ("hellouser", "helloassistant"), engine

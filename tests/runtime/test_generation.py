"""One generation by itself, over one token per byte."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from treegram.lang.base import GenRequest
from treegram.lang.grammar import Grammar
from treegram.lang.sampling import SamplingParams
from treegram.runtime.base import Logits
from treegram.runtime.byte_tokenizer import ByteTokenizer
from treegram.runtime.generation import Generation
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.matcher import GrammarMatcherFactory
from treegram.runtime.spelling import Speller

TOKENIZER = ByteTokenizer()
VOCABULARY = TOKENIZER.vocabulary
TRIE = TokenTrie(VOCABULARY)
EOG = min(VOCABULARY.eog)


def wanting(*tokens: int) -> Logits:
    """Logits that prefer these tokens, the first one most."""
    logits = np.zeros(len(VOCABULARY), np.float32)
    for rank, token in enumerate(tokens):
        logits[token] = 10.0 - rank
    return logits


def token(char: str) -> int:
    return TOKENIZER.encode(char)[0]


def generation(request: GenRequest, grammar: Grammar | None = None, prefix: str = "") -> Generation:
    matcher = None
    if grammar is not None or prefix:
        factory = GrammarMatcherFactory(grammar, VOCABULARY, Speller(TOKENIZER, TRIE), TRIE)
        matcher = factory.start(prefix.encode())
    return Generation(request, VOCABULARY, matcher, (), prefix)


def feed(made: Generation, text: str) -> None:
    """Gives it logits that prefer the characters of `text`, until it has ended."""
    made.start()
    for char in text:
        if made.finish_reason is not None:
            break
        made.take(wanting(token(char)))


def test_tokens_that_respell_the_prompt_do_not_count() -> None:
    """Neither towards max_tokens nor in usage, logprobs or text."""
    request = GenRequest((), SamplingParams(logprobs=0), max_tokens=2)
    made = generation(request, prefix="ab")
    feed(made, "cd")  # "ab" is forced: no token is longer
    result = made.result(0, 0)
    assert (result.text, result.finish_reason) == ("cd", "length")
    assert result.usage.completion_tokens == 2
    assert result.logprobs is not None
    assert [entry.piece for entry in result.logprobs] == [b"c", b"d"]


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (GenRequest((), max_tokens=3), "exa"),
        (GenRequest((), stop=("ct",)), "exa"),
        (GenRequest(()), "exactly this"),
    ],
    ids=["max_tokens", "stop", "whole"],
)
def test_logprobs_are_those_of_the_tokens(request_: GenRequest, text: str) -> None:
    """Also where a forced run is cut."""
    request = replace(request_, params=SamplingParams(logprobs=0))
    made = generation(request, Grammar.from_regex("exactly this"))
    made.start()
    result = made.result(0, 0)
    assert result.text == text
    assert result.logprobs is not None
    assert len(result.logprobs) == result.usage.completion_tokens == len(made.tokens)


def test_min_tokens_holds_back_stop_tokens_with_ignore_eos() -> None:
    request = GenRequest((), min_tokens=3, stop_token_ids=(token("."),), ignore_eos=True)
    made = generation(request)
    made.start()
    while made.finish_reason is None:
        made.take(wanting(EOG, token("."), token("a")))
    assert made.result(0, 0).text == "aaa"
    assert made.result(0, 0).stop_matched == token(".")


def test_a_stop_token_ends_a_constrained_text_only_where_it_is_complete() -> None:
    request = GenRequest((), stop_token_ids=(token("b"),))
    made = generation(request, Grammar.from_regex("ab[bc]{0,9}"))
    feed(made, "bbb")
    assert made.result(0, 0).text == "ab"
    assert made.finish_reason == "stop"


def test_end_of_generation_is_ignored_when_asked() -> None:
    made = generation(GenRequest((), max_tokens=4, ignore_eos=True))
    made.start()
    while made.finish_reason is None:
        made.take(wanting(EOG, token("x")))
    assert made.result(0, 0).text == "xxxx"


def test_a_stop_string_inside_forced_text() -> None:
    made = generation(GenRequest((), stop=(" and ",)), Grammar.from_regex("this and that"))
    taken = made.start()
    result = made.result(0, 0)
    assert (result.text, result.finish_reason, result.stop_matched) == ("this", "stop", " and ")
    assert len(taken) == len("this and ")
    assert "".join(span.text for span in result.spans) == "this"

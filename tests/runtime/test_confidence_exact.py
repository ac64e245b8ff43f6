"""Confidence against enumeration: every token string of a finite language, with its probability."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from treegram.lang.base import GenRequest, SelectRequest
from treegram.lang.confidence import Confidence
from treegram.lang.grammar import Grammar
from treegram.lang.sampling import SamplingParams
from treegram.runtime.base import Logits
from treegram.runtime.byte_tokenizer import ByteTokenizer
from treegram.runtime.decision import odds
from treegram.runtime.fake import fake_logits
from treegram.runtime.generation import Generation
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.matcher import GrammarMatcherFactory
from treegram.runtime.select import TokenTrie as ChoiceTrie
from treegram.runtime.select import decision
from treegram.runtime.spelling import Speller

BYTES = ByteTokenizer()
MERGED = ByteTokenizer(b're ed gr ree en red blu true al {" ": 12 2} }'.split())

COLORS = ("red", "green", "blue", "redder", "gray")
OBJECTS = tuple(
    f'{{"ok": {ok}, "n": {n}}}' for ok in ("true", "false") for n in ("0", "1", "12", "13")
)


@cache
def logits_after(tokens: tuple[int, ...], n_vocab: int) -> Logits:
    """The model: any function of all the tokens before."""
    values = 2 * fake_logits(tokens, n_vocab)
    values.flags.writeable = False
    return values


def enumerated(
    texts: tuple[str, ...], tokenizer: ByteTokenizer
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every token string that spells one of the texts, with its probability.

    Nothing is forced: each token is drawn from the legal ones, ends included.
    """
    pieces = tokenizer.vocabulary.pieces
    whole = {text.encode() for text in texts}

    def go_on(tokens: tuple[int, ...], reached: float) -> Iterator[tuple[tuple[int, ...], float]]:
        text = b"".join(pieces[token] for token in tokens)
        legal = [
            token
            for token, piece in enumerate(pieces)
            if piece and any(known.startswith(text + piece) for known in whole)
        ]
        if text in whole:
            legal.append(tokenizer.eog)
        if legal == [tokenizer.eog]:
            yield tokens, reached
            return
        logits = logits_after(tokens, len(pieces)).astype(np.float64)
        weights = np.exp(logits[legal] - logits[legal].max())
        for token, share in zip(legal, (weights / weights.sum()).tolist(), strict=True):
            if token == tokenizer.eog:
                yield tokens, reached * share
            else:
                yield from go_on((*tokens, token), reached * share)

    return go_on((), 1.0)


def generated(
    grammar: Grammar, tokenizer: ByteTokenizer, params: SamplingParams, canonical: bool
) -> tuple[tuple[int, ...], Confidence]:
    """The tokens and the confidence of one generation."""
    vocabulary = tokenizer.vocabulary
    trie = TokenTrie(vocabulary)
    factory = GrammarMatcherFactory(grammar, vocabulary, Speller(tokenizer, trie), trie)
    request = GenRequest((), params, canonical=canonical, confidence=True)
    made = Generation(request, vocabulary, factory.start(b"", canonical))
    made.start()
    while made.finish_reason is None:
        made.take(logits_after(tuple(made.tokens), len(vocabulary)))
    result = made.result(0, 0)
    assert result.decisions is not None
    return tuple(made.tokens), Confidence(result.text, result.decisions)


SETTINGS = [SamplingParams()] + [
    SamplingParams(temperature=2.0, seed=seed, repetition_penalty=1.3, top_k=9)
    for seed in range(12)
]


@pytest.mark.slow
@pytest.mark.parametrize("tokenizer", [BYTES, MERGED], ids=["bytes", "merged"])
@pytest.mark.parametrize("texts", [COLORS, OBJECTS], ids=["colors", "objects"])
def test_probability_and_margin(tokenizer: ByteTokenizer, texts: tuple[str, ...]) -> None:
    """The text's own probability, whatever sampler drew it; and never too large a margin."""
    truth = dict(enumerated(texts, tokenizer))
    assert sum(truth.values()) == pytest.approx(1)
    grammar = Grammar.from_choices(texts)
    for params in SETTINGS:
        tokens, sure = generated(grammar, tokenizer, params, canonical=False)
        assert sure.probability == pytest.approx(truth[tokens], rel=1e-5)
        rival = max(p for other, p in truth.items() if other != tokens)
        assert sure.margin <= truth[tokens] - rival + 1e-6


@pytest.mark.parametrize("canonical", [True, False])
def test_the_margin_is_exact_where_one_token_settles_the_value(canonical: bool) -> None:
    texts = ("yes", "no", "maybe")
    truth = dict(enumerated(texts, BYTES))
    for params in SETTINGS:
        tokens, sure = generated(Grammar.from_choices(texts), BYTES, params, canonical)
        rival = max(p for other, p in truth.items() if other != tokens)
        assert sure.probability == pytest.approx(truth[tokens], rel=1e-5)
        assert sure.margin == pytest.approx(truth[tokens] - rival, rel=1e-5)


@pytest.mark.slow
def test_fields_are_conditional_probabilities() -> None:
    """Of the field's value, given the text before it; over bytes, where each text is one string."""
    truth = {
        b"".join(BYTES.vocabulary.pieces[t] for t in tokens).decode(): probability
        for tokens, probability in enumerated(OBJECTS, BYTES)
    }
    for params in SETTINGS:
        _, sure = generated(Grammar.from_choices(OBJECTS), BYTES, params, canonical=False)
        same_ok = {t: p for t, p in truth.items() if t.startswith(sure.text.split(",")[0])}
        assert sure["ok"].probability == pytest.approx(sum(same_ok.values()), rel=1e-5)
        given_ok = truth[sure.text] / sum(same_ok.values())
        assert sure.fields["$.n"].probability == pytest.approx(given_ok, rel=1e-5)


@pytest.mark.parametrize("canonical", [True, False])
def test_the_outcomes_of_a_sampler_are_certain_together(canonical: bool) -> None:
    """Also where forced text is spelled as the tokeniser would."""
    found: dict[tuple[int, ...], float] = {}
    grammar = Grammar.from_regex('\\{"n": (1|12|2)\\}')
    for seed in range(150):
        params = SamplingParams(temperature=3.0, seed=seed)
        tokens, sure = generated(grammar, MERGED, params, canonical)
        found[tokens] = sure.probability
    total = sum(found.values())
    assert total <= 1 + 1e-5
    assert total == pytest.approx(1, abs=1e-5) or not canonical


def test_nothing_is_recorded_unless_asked() -> None:
    made = Generation(GenRequest((), max_tokens=1), BYTES.vocabulary)
    made.start()
    made.take(logits_after((), len(BYTES.vocabulary)))
    assert made.result(0, 0).decisions is None


def test_odds() -> None:
    logits = np.log(np.array([1, 2, 3, 4], np.float32))
    legal = np.array([True, True, False, True])
    assert odds(logits, None, (), 3) == pytest.approx((0.4, 0.3))
    assert odds(logits, None, (), 0) == pytest.approx((0.1, 0.4))
    assert odds(logits, legal, (), 3) == pytest.approx((4 / 7, 2 / 7))
    assert odds(logits, legal, (3,), 1) == pytest.approx((2 / 3, 1 / 3))
    assert odds(logits, np.array([False, True, False, False]), (), 1) == (1.0, 0.0)
    assert odds(np.zeros(4, np.float32), None, (), 2) == (0.25, 0.25)


@pytest.mark.parametrize("method", ["length_normalized", "greedy", "unconditional"])
def test_select(method: str) -> None:
    """Against the same enumeration, with choices of one spelling each."""
    texts = ("a", "ab", "abc", "b", "ca", "cb")
    encoded = [BYTES.encode(text) for text in texts]
    trie = ChoiceTrie(encoded, [BYTES.eog])
    for path, _ in trie.paths():
        for size in range(len(path) + 1):
            trie.learn(path[:size], logits_after(path[:size], len(BYTES.vocabulary)))
    truth = dict(enumerated(texts, BYTES))
    chances = [truth[tuple(tokens)] for tokens in encoded]
    assert trie.probabilities() == pytest.approx(chances, rel=1e-5)
    request = SelectRequest((), texts, method)  # type: ignore[arg-type] # one of its Literals
    for index, text in enumerate(texts):
        sure = Confidence(text, (decision(request, trie, index),))
        rival = max(chances[:index] + chances[index + 1 :])
        assert sure.probability == pytest.approx(chances[index], rel=1e-5)
        assert sure.margin == pytest.approx(chances[index] - rival, rel=1e-5)
        assert math.isclose(sure.weakest, sure.probability)

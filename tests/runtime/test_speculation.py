"""Drafts spare steps and change nothing else: not a token, not an end, not a delta."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from distributions import check_pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.base import GenRequest, GenResult, Text
from treegram.lang.errors import CancelledError, GrammarError
from treegram.lang.grammar import Grammar
from treegram.lang.sampling import SamplingParams
from treegram.runtime.base import Batch, Vocabulary
from treegram.runtime.byte_tokenizer import ByteTokenizer
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder, fake_logits
from treegram.runtime.generation import Generation
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.matcher import GrammarMatcherFactory
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.ngrams import SIZES, NgramSearch
from treegram.runtime.prompt import tokenize
from treegram.runtime.request import EngineRequest
from treegram.runtime.speculation import Speculation
from treegram.runtime.spelling import Speller
from treegram.runtime.step_times import StepTimes

N_VOCAB = 8
VOCABULARY = Vocabulary((b"", *(bytes([96 + i]) for i in range(1, N_VOCAB))), frozenset({0}))


class ShortMemory(FakeDecoder):
    """Its logits depend on the last two tokens, so texts repeat; its time is its own.

    A step takes 10 units and `token_s` for each token of it.
    """

    def __init__(self, token_s: float = 1.0, *, n_cells: int = 512) -> None:
        super().__init__(n_cells=n_cells, n_vocab=N_VOCAB)
        self.now = 0.0
        self.token_s = token_s
        self.decodes = 0

    def decode(self, batch: Batch) -> None:
        super().decode(batch)
        self.now += 10.0 + self.token_s * len(batch.tokens)
        self.decodes += 1
        for i in self._logits:
            tokens = self.read(int(batch.seqs[i]))[: int(batch.positions[i]) + 1]
            self._logits[i] = 2 * fake_logits(tokens[-2:], self.n_vocab)


def engine_of(decoder: ShortMemory, *, speculate: bool, **options: int) -> Engine:
    return Engine(
        decoder,
        speculate=speculate,
        measure_minimum=True,
        clock=lambda: decoder.now,
        **options,  # type: ignore[arg-type]
    )


@dataclass
class Asked:
    """A request, and everything that came back."""

    prompt: list[int]
    request: GenRequest
    sinks: int | None = None
    deltas: list[str] = field(default_factory=list)
    ended: list[BaseException | None] = field(default_factory=list)
    result: GenResult | None = None
    made: EngineRequest | None = None

    def submit(self, engine: Engine, on_text: Callable[[str], None] | None = None) -> None:
        generation = Generation(
            self.request, VOCABULARY, None, self.prompt, "", on_text or self.deltas.append
        )

        def done(ended: EngineRequest, error: BaseException | None) -> None:
            self.ended.append(error)
            if error is None:
                self.result = generation.result(ended.prompt_tokens, 0)

        self.made = EngineRequest(
            list(self.prompt), len(self.prompt) - 1, done, generation, sinks=self.sinks
        )
        engine.submit(self.made)


def run(engine: Engine) -> None:
    for _ in range(5000):
        if not engine.stats().running and not engine.stats().waiting:
            return
        engine.step()
        engine.cache.check_integrity()
    pytest.fail("the engine did not finish")


asked = st.builds(
    lambda prompt, n, temperature, seed, stop, sinks: Asked(
        prompt,
        GenRequest(
            (),
            SamplingParams(temperature=temperature, seed=seed, repetition_penalty=1.1),
            max_tokens=n,
            stop=stop,
        ),
        sinks,
    ),
    st.lists(st.integers(1, 3), min_size=1, max_size=10),
    st.integers(0, 20),
    st.sampled_from([0.0, 0.7]),
    st.integers(0, 3),
    st.sampled_from([(), ("ab",), ("gfe", "cc")]),
    st.sampled_from([None, 2]),
)


@settings(max_examples=60)
@given(
    st.lists(asked, min_size=1, max_size=8),
    st.sampled_from([0.01, 2.0, 9.0]),
    st.sampled_from([24, 96]),
)
def test_outputs_deltas_and_ends_are_those_of_plain_decoding(
    requests: list[Asked], token_s: float, n_cells: int
) -> None:
    """Also where the context is full: texts end there, or go on without their oldest tokens."""
    found = []
    for speculate in (False, True):
        engine = engine_of(
            ShortMemory(token_s, n_cells=n_cells), speculate=speculate, max_running=3
        )
        again = [Asked(r.prompt, r.request, r.sinks) for r in (*requests, *requests[::-1])]
        for one in again:
            one.submit(engine)
            engine.step()
        run(engine)
        found.append([(one.result, one.deltas, list(map(str, one.ended))) for one in again])
    assert found[0] == found[1]


@pytest.mark.parametrize("temperature", [0.0, 0.6])
def test_a_text_that_repeats_itself_takes_fewer_steps(temperature: float) -> None:
    steps = []
    for speculate in (False, True):
        decoder = ShortMemory(0.1)
        engine = engine_of(decoder, speculate=speculate)
        params = SamplingParams(temperature=temperature, seed=3)
        one = Asked([1, 2, 3, 4], GenRequest((), params, max_tokens=120, ignore_eos=True))
        one.submit(engine)
        run(engine)
        steps.append(decoder.decodes)
    stats = engine.stats()
    assert steps[1] <= steps[0] - stats.accepted_tokens < steps[0]
    if not temperature:
        assert stats.accepted_tokens > 60


def test_a_repeated_request_follows_the_tree() -> None:
    """Random logits hold no n-gram twice: what is accepted comes from the request before."""

    class Unrepeating(ShortMemory):
        def decode(self, batch: Batch) -> None:
            FakeDecoder.decode(self, batch)
            self.now += 10.0 + 0.1 * len(batch.tokens)
            self.decodes += 1

    decoder = Unrepeating()
    engine = engine_of(decoder, speculate=True)
    request = GenRequest((), max_tokens=30, ignore_eos=True)
    first, second = Asked([1, 2, 3, 4, 5], request), Asked([1, 2, 3, 4, 5], request)
    first.submit(engine)
    run(engine)
    before, accepted = decoder.decodes, engine.stats().accepted_tokens
    second.submit(engine)
    run(engine)
    assert first.result is not None
    assert second.result is not None
    assert first.result.text == second.result.text
    assert engine.stats().accepted_tokens - accepted > 20
    assert decoder.decodes - before < 8


def test_where_a_token_costs_as_much_as_a_step_nothing_is_drafted() -> None:
    decoder = ShortMemory(1e6)
    engine = engine_of(decoder, speculate=True)
    for i in range(6):
        Asked([1 + i % 3, 2, 3], GenRequest((), max_tokens=60, ignore_eos=True)).submit(engine)
    run(engine)
    assert engine.stats().drafted_tokens == 0


def test_guesses_that_fail_stay_rare() -> None:
    """Sampling that nothing foretells: the trials are bounded by a share of what is evaluated."""

    class Unforeseeable(ShortMemory):
        def decode(self, batch: Batch) -> None:
            FakeDecoder.decode(self, batch)
            self.now += 10.0 + 0.1 * len(batch.tokens)

    engine = engine_of(Unforeseeable(n_cells=2048), speculate=True)
    for seed in range(3):
        params = SamplingParams(temperature=2.0, seed=seed)
        Asked([1, 2, 3], GenRequest((), params, max_tokens=500, ignore_eos=True)).submit(engine)
        run(engine)
    stats = engine.stats()
    assert stats.rejected_tokens <= 0.02 * stats.evaluated_tokens


def test_sampled_tokens_are_distributed_as_without_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chi-square of the first two tokens against the exact probabilities, drafts in every step."""
    monkeypatch.setattr(Speculation, "LEAST_CHANCE", 0.0)
    engine = engine_of(ShortMemory(0.001), speculate=True)
    prompt, n = [1, 2, 3], 1000
    counts: Counter[tuple[int, ...]] = Counter()
    for seed in range(n):
        params = SamplingParams(temperature=1.0, seed=seed)
        one = Asked(prompt, GenRequest((), params, max_tokens=3, ignore_eos=True))
        one.submit(engine)
        run(engine)
        assert one.made is not None
        counts[tuple(one.made.tokens[3:5])] += 1
    check_pairs(counts, prompt, lambda tokens: 2 * fake_logits(tokens[-2:], N_VOCAB))
    assert engine.stats().accepted_tokens > n / 4, "drafts were really at work"


def test_cancelling_inside_an_accepted_draft_ends_where_plain_decoding_does() -> None:
    texts = []
    for speculate in (False, True):
        engine = engine_of(ShortMemory(0.1), speculate=speculate)
        request = GenRequest((), max_tokens=60, ignore_eos=True)
        warm = Asked([1, 2, 3], request)
        warm.submit(engine)
        run(engine)
        one = Asked([1, 2, 3], request)

        def on_text(delta: str, one: Asked = one, engine: Engine = engine) -> None:
            one.deltas.append(delta)
            if len(one.deltas) == 11:
                assert one.made is not None
                engine.cancel(one.made)

        one.submit(engine, on_text)
        run(engine)
        assert isinstance(one.ended[0], CancelledError)
        texts.append(one.deltas)
        after = Asked([1, 2, 3], request)
        after.submit(engine)
        run(engine)
        assert after.result == warm.result
    assert texts[0] == texts[1]


def test_a_guess_that_breaks_a_constraint_breaks_nothing_else() -> None:
    """The text that is really drawn never comes there."""

    class Fragile(Generation):
        def draftable(self, guess: Sequence[int]) -> list[int]:
            raise GrammarError("too ambiguous")

    engine = engine_of(ShortMemory(0.1), speculate=True)
    request = GenRequest((), max_tokens=40, ignore_eos=True)
    ended: list[BaseException | None] = []
    generation = Fragile(request, VOCABULARY)
    engine.submit(EngineRequest([1, 2, 3], 2, lambda _, error: ended.append(error), generation))
    run(engine)
    assert ended == [None]
    assert engine.stats().drafted_tokens == 0


# --- the end of a prompt that healing backed up ------------------------------------------------

TOKENIZER = ByteTokenizer([b" the", b" then", b" a", b" an", b": ", b'"a'])
TRIE = TokenTrie(TOKENIZER.vocabulary)
SPELLER = Speller(TOKENIZER, TRIE)


class Wishing(FakeDecoder):
    """Its logits prefer what a table says follows the last token; the rest is noise."""

    def __init__(self, follows: dict[str, str], *, can_cut: bool = True) -> None:
        size = len(TOKENIZER.vocabulary)
        super().__init__(n_cells=512, n_vocab=size, can_cut=can_cut)
        self.follows = {tok(a): tok(b) for a, b in follows.items()}
        self.steps = 0
        self.now = 0.0

    def decode(self, batch: Batch) -> None:
        super().decode(batch)
        self.steps += 1
        self.now += 10.0 + len(batch.tokens)
        for i, logits in self._logits.items():
            wanted = self.follows.get(int(batch.tokens[i]))
            if wanted is not None:
                logits[wanted] += 100


def healing_engine(
    decoder: Wishing, *, speculate: bool = True, logits_bytes: int = 1 << 20
) -> Engine:
    return Engine(
        decoder,
        speculate=speculate,
        logits_bytes=logits_bytes,
        measure_minimum=True,
        clock=lambda: decoder.now,
    )


def tok(text: str) -> int:
    return TOKENIZER.encode(text)[0]


def heal(
    engine: Engine, text: str, n: int = 1, *, seed: int = 0, grammar: Grammar | None = None
) -> list[GenResult]:
    """Generates two tokens behind a text whose last token is backed up, `n` times at once."""
    prompt = tokenize((Text(text),), TOKENIZER, bos=None, heal=True)
    results: list[GenResult] = []
    for i in range(n):
        factory = GrammarMatcherFactory(grammar, TOKENIZER.vocabulary, SPELLER, TRIE)
        params = SamplingParams(temperature=0.5, seed=seed + i) if seed else SamplingParams()
        generation = Generation(
            GenRequest((), params, max_tokens=2, ignore_eos=True),
            TOKENIZER.vocabulary,
            factory.start(prompt.prefix.encode()),
            prompt.tokens,
            prompt.prefix,
        )

        def done(
            ended: EngineRequest, error: BaseException | None, made: Generation = generation
        ) -> None:
            assert error is None
            results.append(made.result(ended.prompt_tokens, ended.cached_tokens))

        tokens = list(prompt.tokens)
        engine.submit(EngineRequest(tokens, len(tokens) - 1, done, generation))
    run(engine)
    return results


FOLLOWS = {"k": " the", " the": "x", "x": "y"}


def test_a_backed_up_token_that_is_drawn_again_takes_no_step() -> None:
    spent = []
    for speculate in (False, True):
        decoder = Wishing(FOLLOWS)
        engine = healing_engine(decoder, speculate=speculate)
        (result,) = heal(engine, "ask the")
        assert result.text == "xy"
        stats = engine.stats()
        assert stats.evaluated_tokens == stats.minimum_tokens == decoder.evaluated_tokens
        spent.append(decoder.steps)
    assert spent == [3, 2]
    assert (stats.drafted_tokens, stats.accepted_tokens) == (1, 1)


def test_a_backed_up_token_is_a_part_of_the_prompt_for_forks_and_repeats() -> None:
    """Six at once and one more later evaluate the prompt once, its last token included.

    Of their answers the first of two tokens is evaluated: by the six together, and by the one.
    """
    decoder = Wishing(FOLLOWS)
    engine = healing_engine(decoder)
    results = heal(engine, "ask the", 6) + heal(engine, "ask the")
    assert {result.text for result in results} == {"xy"}
    prompt = len(TOKENIZER.encode("ask the"))
    assert decoder.evaluated_tokens == prompt + 2


def test_a_backed_up_token_that_grows_is_soon_no_longer_drafted() -> None:
    decoder = Wishing({"k": " then", " then": "x", "x": "y"})
    engine = healing_engine(decoder, logits_bytes=0)
    wrong = []
    for i in range(30):
        (result,) = heal(engine, chr(ord("A") + i) + "sk the")
        assert result.text == "nx"
        stats = engine.stats()
        wrong.append(stats.rejected_tokens)
    assert 1 <= wrong[-1] <= 6
    assert wrong[-1] == wrong[10]


def test_a_draft_that_the_constraint_forbids_is_not_evaluated() -> None:
    """The open token of forced text may be continued, so it is drafted; what cannot follow not."""
    decoder = Wishing({'"': "a", "a": '"', "k": " a"})
    engine = healing_engine(decoder)
    (result,) = heal(engine, "ask a", grammar=Grammar.from_regex("(n|t)x"))
    assert result.text in ("nx", "tx")


def test_memory_that_cannot_be_cut_gets_no_drafts() -> None:
    decoder = Wishing(FOLLOWS, can_cut=False)
    engine = healing_engine(decoder)
    (result,) = heal(engine, "ask the")
    assert result.text == "xy"
    assert engine.stats().drafted_tokens == 0


# --- parts -------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 3), max_size=40),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(1, 6),
    st.integers(0, 40),
)
def test_ngrams_against_a_search(tokens: list[int], guess: list[int], n: int, cut: int) -> None:
    search = NgramSearch()
    search.continuation(tokens[:cut], [], n)
    found = search.continuation(tokens, guess, n)
    expected: list[int] = []
    text = [*tokens, *guess]
    for size in SIZES:
        if len(text) < size or expected:
            continue
        places = [i for i in range(size, len(tokens)) if tokens[i - size : i] == text[-size:]]
        if places:
            expected = tokens[places[-1] : places[-1] + n]
    assert found == expected


def test_step_times_are_interpolated_never_fall_and_are_forgotten() -> None:
    times = StepTimes()
    sizes = np.array([1, 3, 5, 100])
    assert times.seconds(sizes) is None
    times.observe(100, 10.0)
    assert times.seconds(sizes) is None, "a prompt says nothing about single tokens"
    times.observe(1, 1.0)
    found = times.seconds(np.array([1, 100, 200]))
    assert found is not None
    assert found.tolist() == [1.0, 10.0, 20.0]
    times.observe(3, 500.0)
    found = times.seconds(np.array([3]))
    assert found is not None
    assert found[0] <= 10.0, "a larger step was faster"
    for _ in range(StepTimes.MEMORY + 1):
        times.observe(1, 2.0)
    found = times.seconds(np.array([3]))
    assert found is not None
    assert found[0] == pytest.approx(6.0, abs=0.1), "only single tokens are known now"


def test_drafts_are_sized_by_what_they_cost() -> None:
    """The likelier guesses first, as far as each saves more than it costs."""
    speculation = Speculation.__new__(Speculation)
    speculation.drafted = speculation.accepted = 0
    speculation._evaluated = 0
    ranked = [(-p, i, 0) for i, p in enumerate((0.9, 0.8, 0.5, 0.2))]
    for cost, expected in ((0.1, 3), (0.4, 3), (0.6, 2), (0.85, 1), (1.0, 0)):
        costs = cost * np.arange(1.0, 5.0, dtype=np.float64)
        assert speculation._worth(ranked, costs) == expected
    flat = np.array([0.95, 0.96, 0.97, 3.0])
    assert speculation._worth(ranked, flat) == 3, "a tile of a kernel costs the same, full or not"


def test_a_guess_is_cut_where_nothing_could_follow() -> None:
    """A last token is not worth evaluating, nor what is no text: an end, an image's stand-in."""
    made = Generation(GenRequest((), max_tokens=3), VOCABULARY)
    assert list(made.draftable([1, 2, 3, 4])) == [1, 2]
    assert list(made.draftable([1, 0, 2])) == [1]
    assert list(made.draftable([-(2**20), 1])) == []
    healed = Generation(GenRequest((), max_tokens=1), VOCABULARY, prefix="ab")
    assert list(healed.draftable([1, 2, 3, 4])) == [1, 2], "which respells the prompt only"


# --- real llama.cpp ----------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.slow
def test_greedy_texts_of_a_real_model_are_the_same(
    embedded_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With F32 KV, and drafts wherever there is a guess, whatever this machine's times are."""
    monkeypatch.setattr(Speculation, "_costs", lambda *_: np.linspace(0.001, 0.01, 8))
    prompt = "One two three four. One two three four. One two"
    texts, stats = [], []
    for speculate in (False, True):
        options = ModelOptions(exact=True, speculate=speculate, n_ctx=512, n_threads=1)
        model = Model("exact", embedded_path, options)
        for _ in range(2):
            handle = model.submit(GenRequest((Text(prompt),), max_tokens=16, ignore_eos=True))
            result = handle.result(120)
            assert isinstance(result, GenResult)
            texts.append(result.text)
        stats.append(model.stats())
        model.close()
    assert len(set(texts)) == 1
    assert stats[1].accepted_tokens >= 12
    assert stats[1].steps <= stats[0].steps - stats[1].accepted_tokens + 2

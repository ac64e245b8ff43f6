"""Texts that outgrow the context: each token follows from what is left, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outcomes import N_VOCAB, VOCABULARY, Outcome, run

import treegram as tg
from treegram.lang.base import GenRequest
from treegram.lang.errors import ContextOverflowError, EngineError, ParameterError
from treegram.lang.expr import Gen
from treegram.runtime.base import Batch, NoSlot
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder, fake_logits
from treegram.runtime.generation import Generation
from treegram.runtime.llama import LlamaModel
from treegram.runtime.llama_context import LlamaContext
from treegram.runtime.loading import load_module
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.overflow import dropped_tokens, shift
from treegram.runtime.request import EngineRequest

TINY = load_module(Path(__file__).with_name("tiny_models.py"))
N_CELLS = 64


@given(st.integers(0, 5000), st.integers(8, 600), st.data())
def test_what_is_left_fits_and_is_half_a_context_at_least(
    n_tokens: int, n_cells: int, data: st.DataObject
) -> None:
    sinks = data.draw(st.integers(0, n_cells // 2))
    dropped = dropped_tokens(n_tokens, sinks, n_cells)
    if n_tokens < n_cells:
        assert dropped == 0
        return
    left = n_tokens - dropped
    assert sinks + (n_cells - 1 - sinks) // 2 <= left < n_cells
    # the next token finds the same window, until it is full again
    assert dropped_tokens(n_tokens + 1, sinks, n_cells) == dropped or left == n_cells - 1


def test_a_prompt_that_gets_shorter_loses_no_more() -> None:
    """Respelling may spare a token right behind a step."""
    n_cells, sinks = 64, 4
    request = EngineRequest(list(range(64)), 63, lambda *_: None, sinks=sinks)
    shift(request, n_cells)
    dropped, left = request.dropped_tokens, list(request.tokens)
    assert dropped
    del request.tokens[-1]
    shift(request, n_cells)
    assert (request.dropped_tokens, request.tokens) == (dropped, left[:-1])


def window(tokens: list[int], sinks: int, n_cells: int) -> list[int]:
    dropped = dropped_tokens(len(tokens), sinks, n_cells)
    return tokens[:sinks] + tokens[sinks + dropped :]


# --- the engine over the fake decoder ----------------------------------------------------------


class Shifting(Outcome):
    """A request that may shift where `sinks` says so."""

    def __init__(self, prompt: Sequence[int], max_tokens: int, sinks: int | None) -> None:
        super().__init__(prompt, max_tokens, ignore_eos=True, sinks=sinks)

    def read(self, tokens: list[int]) -> list[int]:
        assert self.request.sinks is not None
        return window(tokens, self.request.sinks, N_CELLS)


@pytest.mark.parametrize(
    ("can_cut", "speculate"),
    [(True, False), (True, True), (False, False)],
    ids=["cells", "speculating", "states"],
)
@pytest.mark.parametrize("n_prompt", [3, 62, 63, 64, 300])
@pytest.mark.parametrize("sinks", [0, 5, 32])
def test_every_token_is_drawn_from_its_window(
    sinks: int, n_prompt: int, can_cut: bool, speculate: bool
) -> None:
    prompt = random.Random(n_prompt).choices(range(1, N_VOCAB), k=n_prompt)
    outcome = Shifting(prompt, 150, sinks)
    engine = Engine(FakeDecoder(n_cells=N_CELLS, can_cut=can_cut), speculate=speculate)
    run(engine, [outcome])
    assert outcome.ended == [None]
    assert len(outcome.tokens) == 150
    assert outcome.tokens == outcome.expected
    gone = dropped_tokens(n_prompt + 149, sinks, N_CELLS)
    assert outcome.request.dropped_tokens in (gone, dropped_tokens(n_prompt + 150, sinks, N_CELLS))


def test_beside_others_that_take_its_cells() -> None:
    rng = random.Random(4)
    engine = Engine(FakeDecoder(n_cells=N_CELLS), max_running=4, idle_cells=8)
    shared = rng.choices(range(1, N_VOCAB), k=30)
    outcomes = [Shifting([*shared, 1 + i], 60 + 9 * i, 4) for i in range(8)]
    run(engine, outcomes)
    for outcome in outcomes:
        assert outcome.ended == [None]
        assert outcome.tokens == outcome.expected


def test_a_text_that_comes_back_finds_its_window() -> None:
    """The window depends on the text alone, so a second turn evaluates what is new of it."""
    decoder = FakeDecoder(n_cells=N_CELLS)
    engine = Engine(decoder)
    first = Shifting([1, 2, 3, 4, 5], 120, 4)
    run(engine, [first])
    before = decoder.evaluated_tokens
    again = Shifting([*first.prompt, *first.tokens[:115], 7, 8], 3, 4)
    run(engine, [again])
    assert again.tokens == again.expected
    assert decoder.evaluated_tokens - before <= 6


def test_a_shift_costs_half_a_context_of_prefill() -> None:
    decoder = FakeDecoder(n_cells=N_CELLS)
    engine = Engine(decoder, measure_minimum=True)
    outcome = Shifting([1, 2, 3], 400, 4)
    run(engine, [outcome])
    n_shifts = outcome.request.dropped_tokens // ((N_CELLS - 5) // 2)
    assert n_shifts >= 10
    assert decoder.evaluated_tokens < 403 + n_shifts * (N_CELLS / 2 + 2)
    assert decoder.evaluated_tokens <= 1.02 * (engine.stats().minimum_tokens or 0)


class Stutter:
    """A constraint that forces each drawn token to be said five more times."""

    is_accepting = is_done = False

    def __init__(self) -> None:
        self._last = 1
        self._left = 0

    def mask(self) -> None:
        return None

    def allows(self, token: int) -> bool:
        return True

    def advance(self, token: int) -> None:
        self._last, self._left = token, 5

    def forced(self) -> list[int]:
        tokens, self._left = [self._last] * self._left, 0
        return tokens

    def open_tokens(self) -> list[int]:
        return []

    def legal_prefix(self, tokens: Sequence[int]) -> int:
        return len(tokens)


@pytest.mark.parametrize("n_prompt", range(58, 66))
def test_forced_text_past_the_context_behind_known_logits(n_prompt: int) -> None:
    """The first token of a repeated prompt comes without a step, and what it forces may not fit."""
    engine = Engine(FakeDecoder(n_cells=N_CELLS))
    prompt = random.Random(n_prompt).choices(range(1, N_VOCAB), k=n_prompt)
    texts = []
    for _ in range(2):
        outcome = Shifting(prompt, 90, 4)
        outcome.generation = outcome.request.generation = Generation(
            GenRequest((), max_tokens=90, ignore_eos=True), VOCABULARY, Stutter()
        )
        run(engine, [outcome])
        assert outcome.ended == [None]
        texts.append(outcome.tokens)
    assert len(texts[0]) == 90
    tokens, drawn = list(prompt), texts[0][::6]
    for token in drawn:
        logits = fake_logits(window(tokens, 4, N_CELLS), N_VOCAB)
        logits[0] = -9
        assert token == int(logits.argmax())
        tokens += [token] * 6
    assert texts[0] == texts[1]


@pytest.mark.parametrize("sinks", [4, None])
def test_what_outgrows_the_context_while_it_waits_is_settled_at_once(sinks: int | None) -> None:
    """Not only when all others have ended."""
    engine = Engine(FakeDecoder(n_cells=N_CELLS))
    prompt = random.Random(0).choices(range(1, N_VOCAB), k=N_CELLS - 3)

    def grown() -> Outcome:
        outcome = Outcome(prompt, 8, ignore_eos=True, sinks=sinks)
        outcome.generation = outcome.request.generation = Generation(
            GenRequest((), max_tokens=8, ignore_eos=True), VOCABULARY, Stutter()
        )
        return outcome

    run(engine, [grown()])  # the logits behind its prompt are known from now on
    short, long = Outcome([1, 2], 30, ignore_eos=True), grown()
    order: list[EngineRequest] = []

    def noted(request: EngineRequest) -> None:
        end = request.on_done

        def on_done(ended: EngineRequest, error: BaseException | None) -> None:
            order.append(ended)
            end(ended, error)

        request.on_done = on_done

    noted(short.request)
    noted(long.request)
    run(engine, [short, long])
    assert order == [long.request, short.request]
    assert short.tokens == short.expected


def test_by_default_nothing_is_dropped() -> None:
    engine = Engine(FakeDecoder(n_cells=N_CELLS))
    outcome = Shifting([1, 2, 3], 100, None)
    run(engine, [outcome])
    assert outcome.generation.finish_reason == "length"
    assert len(outcome.tokens) < N_CELLS
    assert outcome.request.dropped_tokens == 0
    with pytest.raises(ContextOverflowError, match="overflow='shift'"):
        engine.submit(Shifting([1] * N_CELLS, 1, None).request)


def test_sinks_leave_room_for_the_text() -> None:
    engine = Engine(FakeDecoder(n_cells=N_CELLS))
    with pytest.raises(ParameterError, match="at most half the context of 64 tokens, got 33"):
        engine.submit(Shifting([1], 1, 33).request)


# --- no slot -----------------------------------------------------------------------------------


class Cramped(FakeDecoder):
    """Finds no slot for more than `most` tokens at once, as a fragmented context might."""

    most = 3

    def decode(self, batch: Batch) -> None:
        if len(batch.tokens) > self.most:
            raise NoSlot
        super().decode(batch)


def test_a_batch_without_a_slot_is_split_until_it_finds_one() -> None:
    decoder = Cramped(n_cells=N_CELLS)
    outcomes = [Shifting([3 + i, *range(1, 30)], 5, 0) for i in range(4)]
    run(Engine(decoder), outcomes)
    for outcome in outcomes:
        assert outcome.ended == [None]
        assert outcome.tokens == outcome.expected


def test_where_not_one_token_finds_a_slot_it_is_no_overflow() -> None:
    decoder = Cramped(n_cells=N_CELLS)
    decoder.most = 0
    outcomes = [Shifting([1, 2, 3], 5, None), Shifting([4, 5, 6], 5, None)]
    run(Engine(decoder), outcomes)
    for outcome in outcomes:
        (error,) = outcome.ended
        assert isinstance(error, EngineError)
        assert "64 of 64 should be free" in str(error)


# --- a real model ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    path = TINY.write_plain_model(tmp_path_factory.mktemp("overflow") / "plain.gguf")
    options = ModelOptions(n_ctx=256, n_threads=1, exact=True)
    model = Model("plain", path, options)
    yield model
    model.close()


def letters(name: str, n: int) -> Gen:
    return tg.gen(
        name,
        regex="[a-z]+",
        max_tokens=n,
        ignore_eos=True,
        logprobs=0,
        overflow="shift",
        sinks=6,
    )


@tg.function
def ramble(s: tg.State, text: str) -> None:
    s += [text, letters("x", 300), "-and-on-", letters("y", 20)]


@pytest.mark.parametrize("text", ["Once-", "a-long-prompt-" * 30], ids=["short", "long"])
def test_a_program_past_the_context(tiny: Model, text: str) -> None:
    """Each token's log-probability is that of a cold context over the window alone."""
    state = ramble.run(text, model=tiny)
    cold = LlamaContext(LlamaModel(tiny.weights), n_ctx=256, n_seqs=2, n_threads=1, exact=True)
    legal = list(range(3 + ord("a"), 3 + ord("z") + 1))
    tokens = [1, *(3 + byte for byte in text.encode())]
    for name in ("x", "y"):
        meta = state.meta(name)
        assert meta.dropped_tokens > 0
        assert meta.logprobs is not None
        if name == "y":
            tokens += [3 + byte for byte in b"-and-on-"]
        for n, found in enumerate(meta.logprobs):
            if n % 29 == 0 or n == len(meta.logprobs) - 1:
                logits = cold_logits(cold, window(tokens, 6, 256))
                chosen = logits[legal] - logits[legal].max()
                expected = chosen[legal.index(found.token)] - np.log(np.exp(chosen).sum())
                assert found.logprob == pytest.approx(float(expected), abs=1e-3)
            tokens.append(found.token)
    cold.close()


def cold_logits(context: LlamaContext, tokens: list[int]) -> np.ndarray:
    n = len(tokens)
    wants = np.zeros(n, np.bool_)
    wants[-1] = True
    context.clear()
    context.decode(
        Batch(
            np.array(tokens, np.int32), np.arange(n, dtype=np.int32), np.zeros(n, np.int32), wants
        )
    )
    return context.logits(n - 1).copy()


def test_without_shift_the_same_program_is_refused(tiny: Model) -> None:
    @tg.function
    def plain(s: tg.State) -> None:
        s += ["a-long-prompt-" * 30, tg.gen("x", max_tokens=5)]

    with pytest.raises(ContextOverflowError):
        plain.run(model=tiny)

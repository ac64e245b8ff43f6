"""The engine over the fake decoder: what is generated is what the tokens alone imply."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from outcomes import EOG, N_VOCAB, VOCABULARY, Outcome, drain, greedy, submit

from treegram.lang.base import GenRequest
from treegram.lang.errors import CancelledError, ContextOverflowError, EngineError
from treegram.runtime.base import Batch, Logits, NoSlot
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder, fake_logits
from treegram.runtime.generation import Generation
from treegram.runtime.minimum import TrieCount
from treegram.runtime.prompt import TokenPrompt
from treegram.runtime.request import EngineRequest
from treegram.runtime.select import Scoring, TokenTrie


def test_batched_requests_generate_what_each_would_alone() -> None:
    engine = Engine(FakeDecoder())
    rng = random.Random(1)
    shared = [rng.randrange(1, N_VOCAB) for _ in range(20)]
    outcomes = [submit(engine, [*shared, *rng.choices(range(1, N_VOCAB), k=5)]) for _ in range(12)]
    drain(engine)
    for outcome in outcomes:
        assert outcome.ended == [None]
        assert outcome.tokens == outcome.expected


def test_a_common_uncached_prefix_is_computed_once() -> None:
    """32 requests started together evaluate the trie of all of them and nothing more."""
    decoder = FakeDecoder(n_cells=2048, n_batch=512)
    engine = Engine(decoder, measure_minimum=True)
    rng = random.Random(2)
    shared = [rng.randrange(1, N_VOCAB) for _ in range(200)]
    for i in range(32):
        submit(engine, [*shared, 1 + i % 31, *rng.choices(range(1, N_VOCAB), k=12)])
    drain(engine)
    stats = engine.stats()
    assert stats.minimum_tokens is not None
    assert decoder.evaluated_tokens == stats.evaluated_tokens <= stats.minimum_tokens * 1.01


def test_trie_count_against_brute_force() -> None:
    rng = random.Random(3)
    count, prefixes = TrieCount(), set()
    for _ in range(50):
        tokens = rng.choices(range(3), k=rng.randrange(1, 9))
        count.add(tokens)
        prefixes |= {tuple(tokens[: i + 1]) for i in range(len(tokens))}
    assert count.tokens == len(prefixes)


def test_more_work_than_the_context_holds_still_finishes() -> None:
    """Requests that fit alone never fail, however many there are."""
    engine = Engine(FakeDecoder(n_cells=48, n_seqs=8), max_running=6)
    outcomes = [submit(engine, [1 + i, 2, 3, 4, 5, 6, 7, 8], 24) for i in range(12)]
    drain(engine)
    for outcome in outcomes:
        assert outcome.ended == [None]
        assert outcome.tokens == outcome.expected
    assert engine.stats().preempted > 0


def test_a_prompt_longer_than_the_context_is_refused_with_both_numbers() -> None:
    engine = Engine(FakeDecoder(n_cells=16))
    with pytest.raises(ContextOverflowError) as caught:
        submit(engine, [1] * 16)
    assert (caught.value.needed_tokens, caught.value.context_tokens) == (17, 16)


def test_a_generation_that_fills_the_context_ends_with_length() -> None:
    engine = Engine(FakeDecoder(n_cells=16))
    prompt = next(
        p
        for p in ([a, b, 3] for a in range(1, 32) for b in range(1, 32))
        if len(greedy(p, 20)) == 20
    )
    outcome = submit(engine, prompt, 100)
    drain(engine)
    assert outcome.ended == [None]
    assert outcome.generation.finish_reason == "length"
    assert outcome.tokens == outcome.expected
    assert len(prompt) + len(outcome.tokens) >= 16


def test_cancelling_frees_the_cells() -> None:
    decoder = FakeDecoder()
    engine = Engine(decoder, idle_cells=0, host_bytes=0)
    outcome = submit(engine, [1, 2, 3], 100)
    engine.step()
    engine.step()
    assert decoder.held_cells > 0
    engine.cancel(outcome.request)
    other = submit(engine, [9, 9, 9], 1)
    drain(engine)
    assert isinstance(outcome.ended[0], CancelledError)
    assert other.ended == [None]
    assert decoder.held_cells == 0


def test_a_waiting_request_can_be_cancelled() -> None:
    engine = Engine(FakeDecoder(), max_running=1)
    first, second = submit(engine, [1, 2]), submit(engine, [3, 4])
    engine.step()
    engine.cancel(second.request)
    drain(engine)
    assert first.ended == [None]
    assert isinstance(second.ended[0], CancelledError)


def test_no_slot_preempts_and_goes_on() -> None:
    decoder = FakeDecoder()
    engine = Engine(decoder)
    outcomes = [submit(engine, [i, 2, 3]) for i in (1, 4, 7)]
    engine.step()
    decoder.failures = [NoSlot()]
    drain(engine)
    for outcome in outcomes:
        assert outcome.ended == [None]
        assert outcome.tokens == outcome.expected


def test_a_fatal_error_fails_its_batch_and_the_engine_goes_on() -> None:
    decoder = FakeDecoder()
    engine = Engine(decoder, max_running=1)
    first, second = submit(engine, [1, 2, 3]), submit(engine, [4, 5, 6])
    engine.step()
    decoder.failures = [EngineError("llama_decode failed with code -3")]
    drain(engine)
    assert isinstance(first.ended[0], EngineError)
    assert second.ended == [None]
    assert second.tokens == second.expected


def test_an_error_while_sampling_fails_only_its_request() -> None:
    engine = Engine(FakeDecoder())
    outcome = Outcome([1, 2], 8)
    request = GenRequest((), max_tokens=8)
    params = replace(request.params, logit_bias=dict.fromkeys(range(N_VOCAB), -np.inf))
    bad = Outcome([3, 4], 8)
    bad.request.generation = Generation(replace(request, params=params), VOCABULARY)
    engine.submit(bad.request)
    engine.submit(outcome.request)
    drain(engine)
    assert "no token is legal" in str(bad.ended[0])
    assert outcome.tokens == outcome.expected


def test_closing_fails_what_is_running() -> None:
    engine = Engine(FakeDecoder(n_cells=4096))
    engine.start()
    outcome = submit(engine, [1, 2, 3], 4000)
    engine.close()
    assert isinstance(outcome.ended[0], EngineError)
    with pytest.raises(EngineError, match="closed"):
        submit(engine, [1])


def log_softmax(logits: np.ndarray) -> np.ndarray:
    values: np.ndarray = logits.astype(np.float64)
    values -= np.log(np.exp(values).sum())
    return values


@given(
    st.lists(
        st.lists(st.integers(1, 4), min_size=1, max_size=5), min_size=1, max_size=8, unique_by=tuple
    ),
    st.lists(st.integers(1, 31), min_size=1, max_size=5),
)
@settings(max_examples=60)
def test_choices_are_scored_as_by_brute_force(choices: list[list[int]], prompt: list[int]) -> None:
    """Each choice's log-probabilities, evaluating every inner trie node once."""
    decoder = FakeDecoder(n_batch=16, n_seqs=16)
    engine = Engine(decoder, max_running=4)
    trie = TokenTrie(choices, [EOG])
    ended: list[BaseException | None] = []
    Scoring(engine, [(TokenPrompt(prompt), trie)], ended.append).submit()
    drain(engine)
    assert ended == [None]
    for i, choice in enumerate(choices):
        expected = [
            log_softmax(fake_logits([*prompt, *choice[:k]], N_VOCAB))[token]
            for k, token in enumerate(choice)
        ]
        assert trie.logprobs(i) == pytest.approx(expected, abs=1e-5)
    inner = {tuple(c[:k]) for c in choices for k in range(1, len(c))}
    assert decoder.evaluated_tokens == len(prompt) + len(inner)


class EngineMachine(RuleBasedStateMachine):
    """Random requests, cancellations and failures under a context that is far too small."""

    speculate = False

    def __init__(self) -> None:
        super().__init__()
        self.decoder = FakeDecoder(n_cells=40, n_seqs=6, n_batch=12)
        self.evaluated_at_failure = -1
        ticks = count()
        self.engine = Engine(
            self.decoder,
            max_running=4,
            chunk_tokens=5,
            idle_cells=8,
            host_bytes=256,
            speculate=self.speculate,
            clock=lambda: float(next(ticks)),  # each step takes as long as any other
        )
        self.outcomes: list[Outcome] = []

    @rule(
        prompt=st.lists(st.integers(1, 3), min_size=1, max_size=16), max_tokens=st.integers(0, 12)
    )
    def submit(self, prompt: list[int], max_tokens: int) -> None:
        self.outcomes.append(submit(self.engine, prompt, max_tokens))

    @rule(steps=st.integers(1, 4))
    def step(self, steps: int) -> None:
        for _ in range(steps):
            self.engine.step()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.outcomes:
            self.engine.cancel(data.draw(st.sampled_from(self.outcomes)).request)

    @rule()
    def fail_to_find_a_slot(self) -> None:
        """Not twice in a row: a request that nothing can be taken from ends with that."""
        if self.decoder.evaluated_tokens != self.evaluated_at_failure:
            self.evaluated_at_failure = self.decoder.evaluated_tokens
            self.decoder.failures = [NoSlot()]

    @rule()
    def fail_to_load(self) -> None:
        self.decoder.failing_loads = 1

    @invariant()
    def cache_is_whole(self) -> None:
        self.engine.cache.check_integrity()

    def teardown(self) -> None:
        self.decoder.failures = []
        drain(self.engine)
        for outcome in self.outcomes:
            assert len(outcome.ended) == 1
            if outcome.ended == [None]:
                assert outcome.tokens == outcome.expected
            else:
                assert isinstance(outcome.ended[0], CancelledError)
        self.engine.cache.check_integrity()
        assert self.engine.cache.stats().locked_tokens == 0


class SpeculatingMachine(EngineMachine):
    """The same with drafts, which cost nothing and so are many: most prompts come again."""

    speculate = True


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(max_examples=60, stateful_step_count=30)
TestSpeculatingMachine = SpeculatingMachine.TestCase
TestSpeculatingMachine.settings = settings(max_examples=60, stateful_step_count=30)


@pytest.mark.parametrize("error", [IndexError, SystemExit])
def test_a_callback_that_raises_harms_nobody_else(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(FakeDecoder())
    bad, good = Outcome([1, 2, 3], 4), Outcome([1, 2, 4], 4)

    def fail(*_: object) -> None:
        raise error

    bad.request.on_done = fail
    engine.submit(bad.request)
    engine.submit(good.request)
    drain(engine)
    assert good.tokens == good.expected
    assert "on_done callback raised" in caplog.text


def test_fewer_cells_than_the_store_claims_slow_it_down_only() -> None:
    """No slot, again and again: it parks, preempts, and goes on with fewer requests at once."""

    class Boastful(FakeDecoder):
        @property
        def n_cells(self) -> int:
            return super().n_cells + 16 * (not self.decoding)

        decoding = False

        def decode(self, batch: Batch) -> None:
            self.decoding = True
            try:
                super().decode(batch)
            finally:
                self.decoding = False

    engine = Engine(Boastful(n_cells=48, n_seqs=8), max_running=6)
    outcomes = [submit(engine, [1 + i, 2, 3, 4], 24) for i in range(10)]
    drain(engine)
    for outcome in outcomes:
        assert outcome.ended == [None]
        assert outcome.tokens == outcome.expected


def test_an_unexpected_error_ends_every_request() -> None:
    """Whatever breaks inside a step: nobody waits for ever, and each gets an error of its own."""

    class Broken(FakeDecoder):
        def logits(self, index: int) -> Logits:
            raise KeyError(index)

        def copy(self, src: int, dst: int, start: int, stop: int) -> None:
            raise RuntimeError("broken on purpose")

    engine = Engine(Broken(n_cells=512))
    outcomes = [Outcome([5, 6, 7, 1 + i], 4) for i in range(6)]
    for outcome in outcomes:
        engine.submit(outcome.request)
    engine.start()
    while not all(outcome.ended for outcome in outcomes):
        assert engine._thread is not None
        assert engine._thread.is_alive()
    engine.close()
    assert all(len(outcome.ended) == 1 for outcome in outcomes)
    errors = [outcome.ended[0] for outcome in outcomes]
    assert None not in errors
    assert len({id(error) for error in errors}) == len(errors)


def test_a_forked_process_is_told_that_the_engine_stayed_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(FakeDecoder())
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(EngineError, match="forked"):
        submit(engine, [1, 2])


@pytest.mark.parametrize(
    ("tokens", "namespace"), [([1, 2, 3], "\ud800"), ([1, 2**40], ""), ([1, 2, 500, 4], "")]
)
def test_a_request_that_cannot_be_read_fails_alone(tokens: list[int], namespace: str) -> None:
    engine = Engine(FakeDecoder(), pieces=VOCABULARY.pieces)
    good = submit(engine, [1, 2, 3, 4])
    drain(engine)
    ended: list[BaseException | None] = []
    engine.submit(
        EngineRequest(tokens, 1, lambda _, error: ended.append(error), namespace=namespace)
    )
    after = submit(engine, [1, 2, 3, 4])
    drain(engine)
    assert len(ended) == 1
    assert isinstance(ended[0], Exception)
    assert good.tokens == after.tokens == after.expected


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_that_cannot_recover_ends_its_requests_and_takes_no_more() -> None:
    class Broken(FakeDecoder):
        def clear(self) -> None:
            raise EngineError("clear failed")

    decoder = Broken()
    decoder.failures = [EngineError("boom")]
    engine = Engine(decoder)
    done = threading.Event()
    engine.start()
    engine.submit(EngineRequest([1, 2, 3], 2, lambda *_: done.set()))
    assert done.wait(10)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        submit(engine, [1])

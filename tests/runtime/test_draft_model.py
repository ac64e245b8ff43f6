"""A draft model spares steps and changes nothing else; where it does not pay it is not asked."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from distributions import check_pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.base import GenRequest, GenResult
from treegram.lang.errors import CancelledError, EngineError
from treegram.lang.sampling import SamplingParams
from treegram.runtime.base import Batch, Logits, NoSlot, Vocabulary
from treegram.runtime.draft_model import DraftModel
from treegram.runtime.drafting import best_size
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder, fake_logits
from treegram.runtime.generation import Generation
from treegram.runtime.request import EngineRequest

N_VOCAB = 8
VOCABULARY = Vocabulary((b"", *(bytes([96 + i]) for i in range(1, N_VOCAB))), frozenset({0}))


class Timed(FakeDecoder):
    """A step takes `step_s`, and `token_s` for each token of it.

    Its logits depend on the whole text, so nothing is ever repeated. With `is_wrong` the likeliest
    token is the least likely one.
    """

    def __init__(
        self,
        step_s: float,
        token_s: float = 0.01,
        *,
        is_wrong: bool = False,
        n_cells: int = 2048,
        n_seqs: int = 32,
    ) -> None:
        super().__init__(n_cells=n_cells, n_seqs=n_seqs, n_vocab=N_VOCAB)
        self.step_s, self.token_s = step_s, token_s
        self.is_wrong = is_wrong
        self.now = 0.0
        self.batches: list[Batch] = []

    def likeliest(self, tokens: Sequence[int]) -> int:
        return int(self._said(tokens).argmax())

    def _said(self, tokens: Sequence[int]) -> Logits:
        return (-2 if self.is_wrong else 2) * fake_logits(tokens, N_VOCAB)

    def decode(self, batch: Batch) -> None:
        super().decode(batch)
        self.now += self.step_s + self.token_s * len(batch.tokens)
        self.batches.append(batch)
        for i, logits in self._logits.items():
            # of several tokens of one sequence each sees only those before it
            tokens = self.read(int(batch.seqs[i]))[: int(batch.positions[i]) + 1]
            logits[:] = self._said(tokens)


class Rig:
    """An engine with a draft model, or without, and all that came back from it."""

    def __init__(self, target: Timed, draft: Timed | None = None, **options: int) -> None:
        self.target, self.draft = target, draft
        self.model: DraftModel | None = None
        if draft is not None:
            self.model = DraftModel(draft, clock=lambda: draft.now)
            draft.batches.clear()  # it was measured
            draft.now, draft.evaluated_tokens = 0.0, 0
        self.engine = Engine(
            target,
            speculate=True,
            draft=self.model,
            measure_minimum=True,
            clock=lambda: target.now,
            **options,  # type: ignore[arg-type]
        )
        self.ended: list[GenResult | BaseException | None] = []
        self.made: list[EngineRequest] = []

    def submit(
        self,
        prompt: Sequence[int],
        n: int = 24,
        *,
        params: SamplingParams | None = None,
        sinks: int | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> None:
        request = GenRequest((), params or SamplingParams(), max_tokens=n, ignore_eos=True)
        generation = Generation(request, VOCABULARY, None, prompt, "", on_text)
        number = len(self.made)

        def done(ended: EngineRequest, error: BaseException | None) -> None:
            assert self.ended[number] is None
            self.ended[number] = error or generation.result(ended.prompt_tokens, 0)

        self.ended.append(None)
        self.made.append(
            EngineRequest(list(prompt), len(prompt) - 1, done, generation, sinks=sinks)
        )
        self.engine.submit(self.made[-1])

    @property
    def has_failed(self) -> bool:
        """Whether the draft model was given up."""
        speculation = self.engine._speculation
        assert speculation is not None
        return speculation._drafting is not None and speculation._drafting._has_failed

    def run(self, *, is_checked: bool = False) -> list[GenResult | BaseException | None]:
        for _ in range(5000):
            if None not in self.ended:
                return self.ended
            self.engine.step()
            if is_checked:
                self.check()
        pytest.fail("the engine did not finish")

    def check(self) -> None:
        """The draft model's cells hold the texts as far as they go, and it proposed by those."""
        if self.model is None or self.draft is None:
            return
        self.model.cache.check_integrity()
        for request, text in self.model._texts.items():
            if text.dropped_tokens != request.dropped_tokens:
                continue  # a lease on a text that has lost its beginning
            known = [*request.tokens[: text.behind], *text.proposed][: text.lease.length]
            assert self.draft.read(text.lease.seq) == known
            told = list(request.tokens)
            for token in self.model.proposed(request):
                assert token == self.draft.likeliest(told)
                told.append(token)


asked = st.tuples(
    st.lists(st.integers(1, 2), min_size=1, max_size=10),
    st.integers(0, 20),
    st.sampled_from([None, 2]),
    st.builds(
        lambda temperature, seed: SamplingParams(temperature=temperature, seed=seed),
        st.sampled_from([0.0, 0.7]),
        st.integers(0, 3),
    ),
)


@settings(max_examples=60)
@given(
    st.lists(asked, min_size=1, max_size=8),
    st.booleans(),
    st.sampled_from([24, 96]),
    st.sampled_from([24, 40, 96]),
    st.sampled_from([2, 32]),
)
def test_outputs_are_those_of_plain_decoding(
    requests: list[tuple[list[int], int, int | None, SamplingParams]],
    is_wrong: bool,
    n_cells: int,
    n_draft_cells: int,
    n_draft_seqs: int,
) -> None:
    """Also where either context is full, and where the draft model's has too few sequences."""
    found = []
    for drafts in (False, True):
        draft = Timed(0.1, is_wrong=is_wrong, n_cells=n_draft_cells, n_seqs=n_draft_seqs)
        draft.n_batch = 8
        rig = Rig(Timed(10.0, n_cells=n_cells), draft if drafts else None, max_running=3)
        for prompt, n, sinks, params in (*requests, *requests[::-1]):
            rig.submit(prompt, n, sinks=sinks, params=params)
            rig.engine.step()
        found.append(list(map(str, rig.run(is_checked=True))))
        assert not rig.has_failed
    assert found[0] == found[1]


def test_a_draft_model_that_is_always_right_spares_most_steps() -> None:
    rigs = [Rig(Timed(10.0)), Rig(Timed(10.0), Timed(0.1))]
    for rig in rigs:
        for i in range(4):
            rig.submit([*range(1, 8)] * 2 + [1 + i], 40)
        rig.run()
    plain, drafted = rigs
    assert plain.ended == drafted.ended
    stats = drafted.engine.stats()
    assert stats.rejected_tokens == 0
    assert stats.accepted_tokens > 0.6 * stats.completion_tokens
    assert len(drafted.target.batches) < len(plain.target.batches) / 2
    assert drafted.draft is not None
    assert stats.draft_seconds == pytest.approx(drafted.draft.now)
    assert stats.evaluated_tokens == drafted.target.evaluated_tokens, "the target's alone"


def test_requests_are_drafted_together_and_their_prompts_prefilled_once() -> None:
    rig = Rig(Timed(10.0), draft := Timed(0.1))
    prompt = [1 + i % 7 for i in range(40)]
    for i in range(4):
        rig.submit([*prompt, 1 + i], 16)
    rig.run()
    assert max(len(np.unique(batch.seqs)) for batch in draft.batches) == 4
    generated = sum(len(request.tokens) - 41 for request in rig.made)
    assert draft.evaluated_tokens <= 40 + 4 + generated
    before = draft.evaluated_tokens
    rig.submit([*rig.made[0].tokens, 5], 8)  # the conversation goes on
    rig.run()
    assert draft.evaluated_tokens - before < 20


def test_a_text_that_loses_its_beginning_is_taken_in_anew() -> None:
    rig = Rig(Timed(10.0, n_cells=24), Timed(0.1))
    rig.submit([1 + i % 7 for i in range(16)], 100, sinks=2)
    rig.run()
    assert rig.made[0].dropped_tokens > 40
    stats = rig.engine.stats()
    assert stats.rejected_tokens <= 2, "of other sources"
    assert stats.accepted_tokens > 40


@pytest.mark.parametrize("step_s", [0.1, 30.0])
def test_a_draft_model_that_is_wrong_or_slow_is_soon_asked_rarely(step_s: float) -> None:
    rig = Rig(Timed(10.0), draft := Timed(step_s, is_wrong=step_s < 1))
    for i in range(20):
        rig.submit([1, 2, 3, 1 + i % 7, 1 + i % 5], 60)
        rig.run()
    early = draft.now
    for i in range(60):
        rig.submit([2, 2, 3, 1 + i % 7, 1 + i % 5], 60)
        rig.run()
    assert early < 0.05 * rig.target.now
    assert draft.now - early < 0.01 * rig.target.now
    assert len(draft.batches) > 1, "it is tried again"
    assert rig.engine.stats().rejected_tokens < 0.01 * rig.target.evaluated_tokens


def test_a_draft_model_that_becomes_good_is_used() -> None:
    rig = Rig(Timed(10.0), draft := Timed(0.1, is_wrong=True))
    for is_wrong in (True, False):
        draft.is_wrong = is_wrong
        for i in range(60):
            rig.submit([1, 2, 3, 1 + i % 7, 1 + i % 5 + is_wrong], 60)
            rig.run()
        steps = len(rig.target.batches)
        rig.submit([4, 2, 4, 4, 4 + is_wrong], 60)
        rig.run()
        assert (len(rig.target.batches) - steps < 30) is not is_wrong


def test_sampled_tokens_are_distributed_as_without_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chi-square of the first two tokens against the exact probabilities."""
    monkeypatch.setattr("treegram.runtime.speculation.Speculation.LEAST_CHANCE", 0.0)
    rig, prompt, n = Rig(Timed(10.0), Timed(0.001, 0.001), logits_bytes=0), [1, 2, 3], 1000
    for seed in range(n):
        rig.submit(prompt, 4, params=SamplingParams(temperature=1.0, seed=seed))
        rig.run()
        rig.engine.cache.clear()  # or the tree would know all answers soon
    counts = Counter(tuple(request.tokens[3:5]) for request in rig.made)
    check_pairs(counts, prompt, lambda tokens: 2 * fake_logits(tokens, N_VOCAB))
    assert rig.engine.stats().accepted_tokens > n / 4, "drafts were really at work"


def test_cancelling_in_the_middle_frees_what_the_draft_model_held() -> None:
    rig = Rig(Timed(10.0), Timed(0.1))
    texts: list[str] = []

    def on_text(delta: str) -> None:
        texts.append(delta)
        if len(texts) == 11:
            rig.engine.cancel(rig.made[0])

    rig.submit([1, 2, 3], 60, on_text=on_text)
    (ended,) = rig.run()
    assert isinstance(ended, CancelledError)
    assert len(texts) == 11
    assert rig.model is not None
    rig.model.cache.park_idle()
    assert rig.model.cache.free_cells == 2048, "nothing is in use"


@pytest.mark.parametrize("failure", [NoSlot(), EngineError("llama_decode failed with code -3")])
def test_a_failure_of_the_draft_model_fails_no_request(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    plain = Rig(Timed(10.0))
    rig = Rig(Timed(10.0), draft := Timed(0.1))
    for each in (plain, rig):
        each.submit([1, 2, 3], 40)
        each.submit([1, 2, 4], 40)
    for _ in range(5):
        rig.engine.step()
    assert len(draft.batches) > 1
    draft.failures = [failure]
    with caplog.at_level(logging.WARNING):
        assert rig.run() == plain.run()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    before = len(draft.batches)
    rig.submit([1, 2, 5], 40)
    rig.run()
    assert len(draft.batches) == before


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
    st.floats(0, 2),
    st.floats(0, 1),
    st.lists(st.floats(0, 1), min_size=1, max_size=24),
    st.integers(1, 6),
)
def test_the_best_size_against_trying_all(
    rates: list[float], first: float, further: float, grows: list[float], most: int
) -> None:
    rates.sort(reverse=True)
    verified = np.cumsum(grows)
    m = np.arange(1.0, len(rates) + 1)
    found = best_size(np.array(rates), first * m, further * m, verified, most=most, least=0.4)
    gains = {}
    for n_requests in range(1, len(rates) + 1):
        for n_tokens in range(1, most + 1):
            if n_requests * n_tokens <= len(verified):
                gain = sum(
                    r**k for r in rates[:n_requests] for k in range(1, n_tokens + 1) if r**k >= 0.4
                )
                gain -= n_requests * (first + (n_tokens - 1) * further)
                gains[n_requests, n_tokens] = gain - verified[n_requests * n_tokens - 1]
    assert found.gain == pytest.approx(max(gains.values()), abs=1e-9)
    assert gains[found.n_requests, found.n_tokens] == pytest.approx(found.gain, abs=1e-9)

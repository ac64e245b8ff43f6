"""Prefill chunks that leave running streams their pace."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from treegram.lang.base import GenRequest
from treegram.runtime.base import Batch, Vocabulary
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder
from treegram.runtime.generation import Generation
from treegram.runtime.pace import Pace
from treegram.runtime.request import EngineRequest

N_VOCAB = 32
VOCABULARY = Vocabulary((b"", *(bytes([96 + i]) for i in range(1, N_VOCAB))), frozenset({0}))


class Slow(FakeDecoder):
    """A step takes 10 ms, and 2 ms for each token of it; the time is its own."""

    now = 0.0

    def decode(self, batch: Batch) -> None:
        super().decode(batch)
        self.now += 0.010 + 0.002 * len(batch.tokens)


def longest_wait(max_itl_s: float | None) -> tuple[float, float]:
    """The longest time between two tokens of a stream beside long prompts; and all of it."""
    decoder = Slow(n_cells=4096, n_batch=512)
    engine = Engine(decoder, max_itl_s=max_itl_s, clock=lambda: decoder.now)
    times: list[float] = []
    ended: list[object] = []

    def submit(prompt: list[int], max_tokens: int, *, streamed: bool) -> None:
        generation = Generation(
            GenRequest((), max_tokens=max_tokens, ignore_eos=True),
            VOCABULARY,
            on_text=(lambda _: times.append(decoder.now)) if streamed else None,
        )
        engine.submit(
            EngineRequest(prompt, len(prompt) - 1, lambda _, error: ended.append(error), generation)
        )

    submit([1, 2, 3], 60, streamed=True)
    for _ in range(8):
        engine.step()
    rng = np.random.default_rng(1)
    for _ in range(3):
        submit(rng.integers(1, N_VOCAB, 300).tolist(), 1, streamed=False)
    while len(ended) < 4:
        engine.step()
    assert ended == [None] * 4
    return float(np.diff(times).max()), decoder.now


def test_a_stream_keeps_its_pace_beside_long_prompts() -> None:
    unbound, fast = longest_wait(None)
    bound, slow = longest_wait(0.1)
    assert unbound > 0.25
    assert bound <= 0.3, "the first chunk is a guess"
    assert slow < 1.5 * fast


def test_once_measured_chunks_fit_the_target() -> None:
    pace = Pace(0.1, most=128)
    assert pace.chunk() == 128
    pace.observe(0, 0.012)
    pace.observe(128, 0.012 + 128 * 0.002)
    assert pace.chunk() == 44
    for _ in range(50):
        pace.observe(44, 0.012 + 44 * 0.004)
    assert pace.chunk() == 22
    for _ in range(50):
        pace.observe(0, 0.5)
    assert pace.chunk() == 16, "nobody waits for ever"


def test_a_slow_first_step_is_forgotten() -> None:
    """The smallest chunks are measured, too."""
    pace = Pace(0.05, most=128)
    pace.observe(0, 0.020)
    pace.observe(128, 0.020 + 128 * 0.002)
    for _ in range(100):
        pace.observe(pace.chunk(), 0.020 + pace.chunk() * 0.0005)
    assert pace.chunk() == pytest.approx(60, abs=2)


@pytest.mark.parametrize("n", [1, 64])
def test_without_a_target_chunks_are_as_large_as_may_be(n: int) -> None:
    pace = Pace(inf, most=n)
    pace.observe(n, 100.0)
    assert pace.chunk() == n

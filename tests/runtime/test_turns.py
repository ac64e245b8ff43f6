"""Batches of one adapter at a time, over the fake decoder: nobody starves, nothing is mixed."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from outcomes import N_VOCAB, Outcome, run

from treegram.runtime.base import Batch
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder
from treegram.runtime.turns import Turns


def under(adapter: str, prompt: Sequence[int], max_tokens: int) -> Outcome:
    """A request under an adapter."""
    return Outcome(prompt, max_tokens, ignore_eos=True, namespace=adapter, adapter=adapter)


class Recording(FakeDecoder):
    """Notes the adapter of each batch."""

    def __init__(self, *, n_cells: int = 256) -> None:
        super().__init__(n_cells=n_cells)
        self.adapters: list[str] = []

    def decode(self, batch: Batch) -> None:
        self.adapters.append(batch.adapter)
        super().decode(batch)


@pytest.mark.parametrize("n_cells", [256, 64], ids=["roomy", "tight"])
@pytest.mark.parametrize("seed", range(5))
def test_each_generates_what_it_would_alone(seed: int, n_cells: int) -> None:
    """Also where requests are preempted, parked and restored between the turns of others."""
    rng = random.Random(seed)
    decoder = Recording(n_cells=n_cells)
    engine = Engine(decoder, max_running=6, idle_cells=16, speculate=seed % 2 == 0)
    shared = rng.choices(range(1, N_VOCAB), k=10)
    outcomes = [
        under(
            rng.choice("abc"), [*shared, *rng.choices(range(1, N_VOCAB), k=4)], rng.randint(1, 30)
        )
        for _ in range(20)
    ]
    run(engine, outcomes)
    for outcome in outcomes:
        assert outcome.ended == [None]
        assert outcome.tokens == outcome.expected


def test_a_long_request_keeps_no_other_adapter_waiting() -> None:
    decoder = Recording()
    engine = Engine(decoder)
    long = under("long", [1, 2, 3], 200)
    engine.submit(long.request)
    for _ in range(20):
        engine.step()
    steps = len(decoder.adapters)
    run(engine, [under(name, [1, 2, 3], 4) for name in ("a", "b", "")])
    assert not long.ended
    assert len(decoder.adapters) - steps <= 2 * Turns.STEPS + 12


def test_turns_are_long_enough_to_pay_for_the_change() -> None:
    decoder = Recording()
    run(Engine(decoder), [under(name, [1, 2, 3], 80) for name in ("a", "b")])
    changes = sum(a != b for a, b in zip(decoder.adapters, decoder.adapters[1:], strict=False))
    assert changes <= len(decoder.adapters) / Turns.STEPS


def test_one_adapter_alone_never_waits() -> None:
    decoder = Recording()
    run(Engine(decoder), [under("a", [1, 2, i], 40) for i in range(3)])
    assert set(decoder.adapters) == {"a"}
    assert len(decoder.adapters) <= 42

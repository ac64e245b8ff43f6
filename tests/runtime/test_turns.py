"""Batches of one adapter at a time, over the fake decoder: nobody starves, nothing is mixed."""

from __future__ import annotations

import random

import pytest

from treegram.lang.base import GenRequest
from treegram.runtime.base import Batch, Vocabulary
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder, adapted, fake_logits
from treegram.runtime.generation import Generation
from treegram.runtime.request import EngineRequest
from treegram.runtime.turns import Turns

N_VOCAB = 32
VOCABULARY = Vocabulary((b"", *(bytes([96 + i]) for i in range(1, N_VOCAB))), frozenset({0}))


class Outcome:
    """A request under an adapter, and how it ended."""

    def __init__(self, prompt: list[int], adapter: str, max_tokens: int) -> None:
        self.prompt, self.adapter = prompt, adapter
        request = GenRequest((), max_tokens=max_tokens, ignore_eos=True)
        self.generation = Generation(request, VOCABULARY)
        self.ended: list[BaseException | None] = []
        self.request = EngineRequest(
            list(prompt),
            len(prompt) - 1,
            lambda _, error: self.ended.append(error),
            self.generation,
            namespace=adapter,
            adapter=adapter,
        )

    @property
    def expected(self) -> list[int]:
        """What greedy decoding gives with nobody else there."""
        tokens = list(self.prompt)
        while len(tokens) < len(self.prompt) + len(self.generation.tokens):
            logits = fake_logits([adapted(token, self.adapter) for token in tokens], N_VOCAB)
            logits[0] = -9
            tokens.append(int(logits.argmax()))
        return tokens[len(self.prompt) :]


class Recording(FakeDecoder):
    """Notes the adapter of each batch."""

    def __init__(self, *, n_cells: int = 256) -> None:
        super().__init__(n_cells=n_cells)
        self.adapters: list[str] = []

    def decode(self, batch: Batch) -> None:
        self.adapters.append(batch.adapter)
        super().decode(batch)


def run(engine: Engine, outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        engine.submit(outcome.request)
    for _ in range(3000):
        if all(outcome.ended for outcome in outcomes):
            return
        engine.step()
    pytest.fail("the engine did not finish")


@pytest.mark.parametrize("n_cells", [256, 64], ids=["roomy", "tight"])
@pytest.mark.parametrize("seed", range(5))
def test_each_generates_what_it_would_alone(seed: int, n_cells: int) -> None:
    """Also where requests are preempted, parked and restored between the turns of others."""
    rng = random.Random(seed)
    decoder = Recording(n_cells=n_cells)
    engine = Engine(decoder, max_running=6, idle_cells=16, speculate=seed % 2 == 0)
    shared = rng.choices(range(1, N_VOCAB), k=10)
    outcomes = [
        Outcome(
            [*shared, *rng.choices(range(1, N_VOCAB), k=4)], rng.choice("abc"), rng.randint(1, 30)
        )
        for _ in range(20)
    ]
    run(engine, outcomes)
    engine.cache.check_integrity()
    for outcome in outcomes:
        assert outcome.ended == [None]
        assert outcome.generation.tokens == outcome.expected


def test_a_long_request_keeps_no_other_adapter_waiting() -> None:
    decoder = Recording()
    engine = Engine(decoder)
    long = Outcome([1, 2, 3], "long", 200)
    engine.submit(long.request)
    for _ in range(20):
        engine.step()
    steps = len(decoder.adapters)
    run(engine, [Outcome([1, 2, 3], name, 4) for name in ("a", "b", "")])
    assert not long.ended
    assert len(decoder.adapters) - steps <= 2 * Turns.STEPS + 12


def test_turns_are_long_enough_to_pay_for_the_change() -> None:
    decoder = Recording()
    run(Engine(decoder), [Outcome([1, 2, 3], name, 80) for name in ("a", "b")])
    changes = sum(a != b for a, b in zip(decoder.adapters, decoder.adapters[1:], strict=False))
    assert changes <= len(decoder.adapters) / Turns.STEPS


def test_one_adapter_alone_never_waits() -> None:
    decoder = Recording()
    run(Engine(decoder), [Outcome([1, 2, i], "a", 40) for i in range(3)])
    assert set(decoder.adapters) == {"a"}
    assert len(decoder.adapters) <= 42

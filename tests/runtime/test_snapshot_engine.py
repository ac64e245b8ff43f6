"""The engine over a fake decoder whose sequences cannot be cut."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from outcomes import N_VOCAB, Outcome, drain, run

from treegram.lang.errors import EngineError
from treegram.radix_cache.disk import SUFFIX, DiskFolder
from treegram.runtime.base import Logits, NoSlot
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder, fake_logits
from treegram.runtime.request import EngineRequest


def asked(prompt: list[int], max_tokens: int = 6) -> Outcome:
    return Outcome(prompt, max_tokens)


def is_right(outcome: Outcome) -> bool:
    return outcome.ended == [None] and outcome.tokens == outcome.expected


def text(rng: random.Random, n: int) -> list[int]:
    return rng.choices(range(1, N_VOCAB), k=n)


def test_rows_that_come_together_compute_their_prefix_once() -> None:
    """The first one stops where the others leave it, so that they find a state there."""
    decoder = FakeDecoder(n_cells=2048, n_seqs=64, n_batch=512, can_cut=False)
    engine, rng = Engine(decoder, measure_minimum=True), random.Random(2)
    shared = text(rng, 200)
    outcomes = [asked([*shared, 1 + i % 31, *text(rng, 12)]) for i in range(32)]
    run(engine, outcomes)
    assert all(is_right(outcome) for outcome in outcomes)
    stats = engine.stats()
    assert stats.minimum_tokens is not None
    assert stats.evaluated_tokens <= 1.05 * stats.minimum_tokens


def test_rows_one_after_the_other_compute_their_prefix_twice() -> None:
    decoder = FakeDecoder(n_cells=2048, n_seqs=64, n_batch=512, can_cut=False)
    engine, rng = Engine(decoder), random.Random(2)
    shared = text(rng, 200)
    for i in range(8):
        outcome = asked([*shared, 1 + i, *text(rng, 12)])
        run(engine, [outcome])
        assert is_right(outcome)
    assert engine.stats().evaluated_tokens < 2 * 200 + 8 * 20


def test_a_repeated_prompt_evaluates_none_of_it() -> None:
    decoder = FakeDecoder(can_cut=False)
    engine, prompt = Engine(decoder), text(random.Random(1), 40)
    run(engine, [asked(prompt)])
    before = decoder.evaluated_tokens
    again = asked(prompt, max_tokens=1)
    run(engine, [again])
    assert is_right(again)
    assert decoder.evaluated_tokens == before


def test_options_are_scored_behind_one_prompt() -> None:
    """What a select does: the logits behind each of several tails of one prompt."""
    decoder = FakeDecoder(n_cells=512, can_cut=False)
    engine, rng = Engine(decoder), random.Random(4)
    prompt = text(rng, 60)
    tails = [text(rng, 1 + i) for i in range(6)]
    found: dict[tuple[int, ...], Logits] = {}
    for tail in tails:

        def note(n: int, logits: Logits, tail: list[int] = tail) -> None:
            found[tuple(tail[:n])] = logits.copy()

        engine.submit(
            EngineRequest(
                [*prompt, *tail], len(prompt) - 1, lambda *_: None, on_logits=note, tail=len(tail)
            )
        )
    drain(engine)
    for tokens, logits in found.items():
        assert (logits == fake_logits([*prompt, *tokens], N_VOCAB)).all()
    assert len(found) >= sum(map(len, tails)) - 5
    assert decoder.evaluated_tokens <= 60 + sum(map(len, tails)) + len(tails)


def test_a_second_start_evaluates_nothing_of_a_pinned_prompt(tmp_path: Path) -> None:
    prompt = text(random.Random(1), 40)

    def start() -> tuple[Engine, FakeDecoder, list[BaseException | None]]:
        decoder, ended = FakeDecoder(can_cut=False), list[BaseException | None]()
        engine = Engine(decoder, disk=(DiskFolder(tmp_path, "model"), 1 << 20))
        engine.submit(
            EngineRequest(
                list(prompt), len(prompt), lambda _, error: ended.append(error), pin="shots"
            )
        )
        drain(engine)
        return engine, decoder, ended

    first, _, ended = start()
    first.cache.close()
    second, decoder, ended_again = start()
    assert ended == ended_again == [None]
    assert decoder.evaluated_tokens == 0
    outcome = asked([*prompt, 1, 2], max_tokens=1)
    run(second, [outcome])
    assert is_right(outcome)
    assert decoder.evaluated_tokens == 2
    second.cache.close()


@pytest.mark.parametrize("seed", range(8))
def test_random_programs_under_pressure(seed: int, tmp_path: Path) -> None:
    """Few states, few cells, little memory in each tier, a decoder that fails now and then."""
    rng = random.Random(seed)
    folder = DiskFolder(tmp_path, "model", writes_through=bool(seed & 2))
    decoder = FakeDecoder(
        n_cells=rng.choice([96, 160]), n_seqs=rng.choice([2, 4, 9]), n_batch=32, can_cut=False
    )
    engine = Engine(
        decoder,
        host_bytes=rng.choice([0, 400, 1 << 20]),
        disk=(folder, rng.choice([1 << 20, 10_000])) if seed & 1 else None,
        idle_cells=rng.choice([0, 40]),
        logits_bytes=rng.choice([0, 1 << 20]),
        chunk_tokens=8,
        max_running=6,
    )
    seen = [text(rng, 30)]
    for _ in range(6):
        outcomes = []
        for _ in range(8):
            base = rng.choice(seen)
            seen.append([*base[: rng.randint(1, len(base))], *text(rng, rng.randint(1, 12))][:60])
            outcomes.append(asked(seen[-1], max_tokens=rng.randint(1, 10)))
        if rng.random() < 0.5:
            decoder.failures.append(NoSlot())
        is_broken = rng.random() < 0.3
        if is_broken:
            decoder.failures.append(EngineError("llama_decode failed"))
        run(engine, outcomes)
        for outcome in outcomes:
            failed = [e for e in outcome.ended if isinstance(e, EngineError)]
            assert is_right(outcome) or (is_broken and len(failed) == len(outcome.ended) == 1)
    engine.cache.clear()
    assert decoder.held_cells == 0
    engine.cache.close()
    assert not list(tmp_path.glob(f"*{SUFFIX}"))

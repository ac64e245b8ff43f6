"""Pinned prefixes through the engine and through a real model."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

import treegram as tg
from treegram.lang.base import GenRequest
from treegram.lang.errors import EngineError
from treegram.radix_cache.base import Blob
from treegram.runtime.base import Vocabulary
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder
from treegram.runtime.generation import Generation
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.request import EngineRequest
from treegram.runtime.runtime import Runtime

N_VOCAB = 32
VOCABULARY = Vocabulary((b"", *(bytes([96 + i]) for i in range(1, N_VOCAB))), frozenset({0}))
SHOTS = [5, 6, 7, 8, 9, 10, 11, 12]


def submit(engine: Engine, tokens: list[int], *, pin: str = "") -> list[BaseException | None]:
    """Runs one request to its end: a pin, or a generation of one token."""
    ended: list[BaseException | None] = []
    generation = None if pin else Generation(GenRequest((), max_tokens=1), VOCABULARY)
    engine.submit(
        EngineRequest(
            list(tokens),
            len(tokens) if pin else len(tokens) - 1,
            lambda _, error: ended.append(error),
            generation,
            pin=pin,
        )
    )
    for _ in range(100):
        if ended:
            break
        engine.step()
    return ended


def flood(engine: Engine) -> None:
    for first in range(1, 30):
        assert submit(engine, [first] * 20) == [None]


@pytest.mark.parametrize("can_cut", [True, False])
def test_what_is_pinned_is_evaluated_once_whatever_comes_between(can_cut: bool) -> None:
    decoder = FakeDecoder(n_cells=64, can_cut=can_cut)
    engine = Engine(decoder, host_bytes=8 * 32, idle_cells=0, logits_bytes=0)
    assert submit(engine, SHOTS, pin="shots") == [None]
    assert decoder.evaluated_tokens == len(SHOTS)
    flood(engine)
    before = decoder.evaluated_tokens
    assert submit(engine, [*SHOTS, 1]) == [None]
    assert decoder.evaluated_tokens == before + 1
    assert submit(engine, SHOTS, pin="shots") == [None]
    assert decoder.evaluated_tokens == before + 1
    engine.unpin("shots")
    flood(engine)
    before = decoder.evaluated_tokens
    assert submit(engine, [*SHOTS, 1]) == [None]
    assert decoder.evaluated_tokens == before + len(SHOTS) + 1


@pytest.mark.parametrize("can_cut", [True, False])
def test_a_pin_that_does_not_fit_fails_its_request_and_no_other(can_cut: bool) -> None:
    engine = Engine(FakeDecoder(n_cells=64, can_cut=can_cut), host_bytes=8 * 4, idle_cells=0)
    (error,) = submit(engine, SHOTS, pin="shots")
    assert isinstance(error, tg.ParameterError)
    assert "host_bytes: 'shots' of 8 tokens cannot be pinned" in str(error)
    engine.cache.check_integrity()
    assert engine.cache.pins() == ()
    assert submit(engine, [*SHOTS, 1]) == [None]


@pytest.mark.parametrize("can_cut", [True, False])
def test_a_pin_that_cannot_be_saved_fails_its_request_and_no_other(can_cut: bool) -> None:
    class Decoder(FakeDecoder):
        is_failing = False

        def save(self, seq: int, start: int, stop: int) -> Blob:
            if self.is_failing:
                raise EngineError("llama.cpp saved no state")
            return super().save(seq, start, stop)

    decoder = Decoder(n_cells=64, can_cut=can_cut)
    engine = Engine(decoder, host_bytes=8 * 32, idle_cells=64)
    assert submit(engine, SHOTS, pin="shots") == [None]
    decoder.is_failing = True
    (error,) = submit(engine, [1, 2, 3], pin="shots")
    assert isinstance(error, EngineError)
    assert "saved no state" in str(error)
    decoder.is_failing = False
    engine.cache.check_integrity()
    assert [pin.tokens for pin in engine.cache.pins()] == [len(SHOTS)]
    assert submit(engine, [*SHOTS, 1]) == [None]


def test_the_priority_of_a_request_reaches_the_eviction_policy() -> None:
    decoder = FakeDecoder(n_cells=64)
    engine = Engine(decoder, host_bytes=8 * 45, idle_cells=0, logits_bytes=0, eviction="priority")
    ended: list[object] = []
    request = EngineRequest(
        list(SHOTS), len(SHOTS) - 1, lambda _, error: ended.append(error), priority=1
    )
    engine.submit(request)
    while not ended:
        engine.step()
    flood(engine)
    assert engine.cache.match(SHOTS) == len(SHOTS)


def test_an_unknown_policy_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(tg.ParameterError, match=r"eviction: expected lru, lfu, .*; got 'fifo'"):
        ModelOptions(eviction="fifo")  # type: ignore[arg-type]  # the mistake that is tested
    with pytest.raises(tg.ParameterError, match="disk_write: expected back, through; got 'none'"):
        ModelOptions(disk_write="none")  # type: ignore[arg-type]  # the mistake that is tested


@tg.function
def classify(s: tg.State, text: str) -> None:
    s += tg.system("Is the text about food? Answer yes or no. " * 4)
    s += tg.user(text)
    s += tg.assistant(tg.select("answer", ["yes", "no"]))


@pytest.mark.model
@pytest.mark.slow
def test_a_program_finds_its_pinned_prefix_in_a_real_model() -> None:
    with Runtime(options=ModelOptions(n_ctx=1024, prepared_bytes=0)) as runtime:
        model = runtime.model()
        with classify.cache(model=model) as pinned:
            assert pinned.tokens > 40
            assert model.stats().cache.pinned_tokens == pinned.tokens
            state = classify.run("Bread and cheese.", model=model)
            assert state.meta("answer").usage.cached_tokens >= pinned.tokens


@pytest.mark.model
def test_an_interrupted_pin_keeps_nothing(
    embedded_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Future[int]):
        def result(self, timeout: float | None = None) -> int:
            raise KeyboardInterrupt

    @tg.function
    def program(s: tg.State) -> None:
        s += "It takes a moment to evaluate what is pinned, and nobody waits for it."
        s += tg.gen("x", max_tokens=1)

    with monkeypatch.context() as patched:
        patched.setattr("treegram.runtime.model.Future", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            program.cache(model=embedded_model)
    program.run(model=embedded_model)
    assert embedded_model.stats().cache.pinned_tokens == 0

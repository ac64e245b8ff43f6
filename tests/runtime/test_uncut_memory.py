"""Recurrent, hybrid and sliding-window models: the cache never changes what they compute.

On tiny models with F32 weights and real layer ratios, against a cold context. A wrong state or a
hole in a window moves their logits by 0.01 and more; the order of cells and chunks by 0.00001.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import treegram as tg
from treegram.lang.errors import EngineError
from treegram.radix_cache import Lease, SnapshotCache, cache_for
from treegram.runtime.base import Batch, Logits
from treegram.runtime.llama import LlamaModel
from treegram.runtime.llama_context import MOST_SEQUENCES, LlamaContext, sequences_for
from treegram.runtime.loading import load_module
from treegram.runtime.memory_kind import MemoryKind
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions

pytestmark = pytest.mark.slow

TINY = load_module(Path(__file__).with_name("tiny_models.py"))
TOLERANCE = 1e-4
DAMAGE = 1e-2
STATES = ("mamba2", "granitehybrid", "lfm2")
"""Architectures with a recurrent state, by llama.cpp's names."""
BYTES = range(3, 259)  # the ids of the tiny vocabulary's text


@pytest.fixture(scope="module", params=sorted(TINY.ARCHITECTURES))
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LlamaModel]:
    path = TINY.write_tiny_model(request.param, tmp_path_factory.mktemp("tiny"))
    loaded = LlamaModel(path)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def cold(model: LlamaModel) -> Iterator[Cold]:
    runner = Cold(model)
    yield runner
    runner.context.close()


class Cold:
    """Evaluates each prompt from nothing, in one batch under one sequence."""

    def __init__(self, model: LlamaModel) -> None:
        self.context = LlamaContext(model, n_ctx=256, n_seqs=2, n_threads=1, exact=True)

    def run(self, tokens: list[int]) -> Logits:
        self.context.clear()
        self.context.decode(batch((0, 0, tokens)))
        return self.context.logits(len(tokens) - 1).copy()


class Warm:
    """Evaluates prompts through the prefix cache of one context, as the engine does."""

    def __init__(self, model: LlamaModel, *, idle_cells: int, host_bytes: int = 1 << 30) -> None:
        self.context = LlamaContext(model, n_ctx=256, n_seqs=6, n_threads=1, exact=True)
        self.cache = cache_for(self.context, host_bytes=host_bytes, idle_cells=idle_cells)

    def evaluate(self, lease: Lease, tokens: list[int]) -> Logits:
        """Brings a lease to `tokens`, pausing where the cache asks for it."""
        while True:
            start = lease.length
            stop = self.cache.next_stop(lease) or len(tokens)
            assert self.cache.reserve(stop - start)
            self.context.decode(batch((lease.seq, start, tokens[start:stop])))
            self.cache.extend(lease, stop - start)
            self.cache.commit(lease, tokens[:stop])
            if stop == len(tokens):
                return self.context.logits(stop - start - 1).copy()

    def run(self, tokens: list[int]) -> Logits:
        lease = self.cache.acquire(tokens, len(tokens) - 1)
        logits = self.evaluate(lease, tokens)
        self.cache.release(lease)
        self.cache.trim_idle()
        self.cache.check_integrity()
        return logits


def batch(*rows: tuple[int, int, list[int]]) -> Batch:
    """Rows of (sequence, first position, tokens); the logits of each row's end are wanted."""
    wants = [i == len(tokens) - 1 for _, _, tokens in rows for i in range(len(tokens))]
    return Batch(
        np.array([t for _, _, tokens in rows for t in tokens], np.int32),
        np.concatenate([np.arange(at, at + len(t), dtype=np.int32) for _, at, t in rows]),
        np.concatenate([np.full(len(t), seq, np.int32) for seq, _, t in rows]),
        np.array(wants, np.bool_),
    )


def drift(a: Logits, b: Logits) -> float:
    return float(np.abs(a - b).max())


def text(rng: random.Random, n: int) -> list[int]:
    return rng.choices(BYTES, k=n)


# --- what a model is ---------------------------------------------------------------------------


def test_the_kind_of_memory_is_read_from_the_model(model: LlamaModel) -> None:
    is_state = model.metadata("general.architecture") in STATES
    assert model.memory_kind is (MemoryKind.STATE if is_state else MemoryKind.WINDOW)
    assert model.unsupported is None


@pytest.mark.parametrize("architecture", ["deepseek4", "glm5-next", "qwen4exp"])
def test_a_memory_that_is_not_proved_is_refused(architecture: str, tmp_path: Path) -> None:
    model = LlamaModel(TINY.write_vocabulary(architecture, tmp_path), vocab_only=True)
    assert model.unsupported is not None
    assert "cannot share safely" in model.unsupported
    model.close()


def test_states_are_counted_by_what_they_take(model: LlamaModel) -> None:
    context = LlamaContext(model, n_ctx=64, n_seqs=1, n_threads=1)
    context.decode(batch((0, 0, [5])))
    size = context.state_bytes(0)
    context.close()
    if model.memory_kind is MemoryKind.WINDOW:
        assert size == 0
        assert sequences_for(model, state_bytes=1) == MOST_SEQUENCES
    else:
        assert size > 4096
        assert sequences_for(model, state_bytes=17 * size) == 17
        assert sequences_for(model, state_bytes=1) == 4
        assert sequences_for(model, state_bytes=1 << 40) == MOST_SEQUENCES


# --- what it computes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("idle_cells", "host_bytes"),
    [(10_000, 1 << 30), (0, 1 << 30), (0, 600_000), (160, 0)],
    ids=["live", "parked", "evicted", "forgotten"],
)
def test_random_branches(model: LlamaModel, cold: Cold, idle_cells: int, host_bytes: int) -> None:
    """Prompts that leave each other anywhere, in a context too small for them all."""
    warm = Warm(model, idle_cells=idle_cells, host_bytes=host_bytes)
    rng, seen = random.Random(idle_cells + host_bytes), list[list[int]]()
    for _ in range(14):
        base = rng.choice(seen)[: rng.randint(1, 120)] if seen and rng.random() < 0.8 else []
        tokens = [*base, *text(rng, rng.randint(5, 60))][:150]
        seen.append(tokens)
        assert drift(warm.run(tokens), cold.run(tokens)) < TOLERANCE
    stats = warm.cache.stats()
    assert stats.hit_rate > (0.2 if host_bytes > 600_000 else 0.02)
    assert (stats.parked_tokens_total > 0) == (host_bytes > 0)
    assert stats.evicted_tokens_total > 0 or host_bytes > 600_000
    warm.context.close()


def test_branches_of_one_batch(model: LlamaModel, cold: Cold) -> None:
    """Rows of unequal length, of ids that are not adjacent, forked while their source goes on."""
    warm, rng = Warm(model, idle_cells=10_000), random.Random(3)
    prompt = text(rng, 60)
    first = warm.cache.acquire([*prompt, 3])
    warm.cache.stop_at(first, len(prompt))
    warm.evaluate(first, prompt)
    leases = [first, *(warm.cache.acquire([*prompt, 3 + i]) for i in range(3))]
    assert [lease.length for lease in leases] == [60] * 4
    warm.cache.release(leases.pop(1))
    rows = [list(prompt) for _ in leases]
    for lengths in ((1, 9, 40), (5, 1, 1), (1, 1, 1)):
        pieces = [text(rng, n) for n in lengths]
        order = [2, 0, 1]
        warm.context.decode(batch(*((leases[i].seq, leases[i].length, pieces[i]) for i in order)))
        at = -1
        for i in order:
            rows[i] += pieces[i]
            at += lengths[i]
            logits = warm.context.logits(at).copy()
            assert drift(logits, cold.run(rows[i])) < TOLERANCE
            warm.cache.extend(leases[i], lengths[i])
    warm.cache.check_integrity()
    warm.context.close()


def test_rows_share_their_prefix_through_the_engine(model: LlamaModel) -> None:
    """Whole programs, more at once than there are states and cells, equal those run alone."""

    @tg.function
    def answer(s: tg.State, text: str) -> None:
        s += ["Few shots that all rows share, at some length. ", text]
        s += tg.gen("reply", max_tokens=8, ignore_eos=True)

    rows = [{"text": f"{'abc'[i % 3]} row {i}: "} for i in range(9)]
    options = ModelOptions(
        n_ctx=512, n_threads=1, max_running=8, state_bytes=1, exact=True, measure_minimum=True
    )
    busy, alone = Model("busy", model.path, options), Model("alone", model.path, options)
    replies = [state["reply"] for state in answer.run_batch(rows, model=busy)]
    stats = busy.stats()
    assert replies == [answer.run(text=row["text"], model=alone)["reply"] for row in rows]
    assert stats.minimum_tokens is not None
    assert stats.evaluated_tokens < 1.6 * stats.minimum_tokens
    busy.close()
    alone.close()


# --- what must not go unseen -------------------------------------------------------------------


def test_a_state_is_never_cut(model: LlamaModel) -> None:
    if model.memory_kind is not MemoryKind.STATE:
        pytest.skip("it can be cut")
    context = LlamaContext(model, n_ctx=256, n_seqs=3, n_threads=1, exact=True)
    context.decode(batch((0, 0, text(random.Random(1), 20))))
    for cut in (
        lambda: context.copy(0, 1, 0, 12),
        lambda: context.copy(0, 1, 4, 20),
        lambda: context.remove(0, 12, -1),
        lambda: context.save(0, 0, 12),
    ):
        with pytest.raises(EngineError, match="sequence 0"):
            cut()
    context.copy(0, 1, 0, 20)
    with pytest.raises(EngineError, match="sequence 1"):
        context.copy(0, 1, 0, 20)
    assert [context.length(seq) for seq in range(3)] == [20, 20, 0]
    context.close()


def test_another_text_s_state_is_seen(model: LlamaModel, cold: Cold) -> None:
    """The comparison that these tests rely on goes red when the memory is wrong."""
    rng = random.Random(2)
    tokens = text(rng, 40)
    wrong = [*tokens[:30], (tokens[30] + 1), *tokens[31:]]
    context = cold.context
    context.clear()
    context.decode(batch((0, 0, wrong[:-1])))
    context.decode(batch((0, len(tokens) - 1, tokens[-1:])))
    damaged = context.logits(0).copy()
    assert drift(damaged, cold.run(tokens)) > DAMAGE


def test_a_window_whose_saving_fails_leaves_nothing_behind(
    model: LlamaModel, cold: Cold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the next one saved would have these cells in it, too."""
    if model.memory_kind is not MemoryKind.WINDOW:
        pytest.skip("it has no window")
    rng = random.Random(5)
    first, second = text(rng, 90), text(rng, 100)
    context = LlamaContext(model, n_ctx=512, n_seqs=4, n_threads=1, exact=True)
    context.decode(batch((0, 0, first)))
    context.decode(batch((1, 0, second[:-1])))
    with monkeypatch.context() as patched:
        patched.setattr(context._buffers, "take", fail_for_memory)
        with pytest.raises(MemoryError):
            context.save(0, 0, len(first))
    blob = context.save(1, 0, len(second) - 1)
    context.clear()
    context.load(blob, 2)
    context.decode(batch((2, len(second) - 1, second[-1:])))
    assert drift(context.logits(0), cold.run(second)) < TOLERANCE
    context.close()


def fail_for_memory(size: int) -> None:
    raise MemoryError(size)


def test_a_window_without_shadows_is_recycled(model: LlamaModel, cold: Cold) -> None:
    """Why there are shadows: without them the cells of a prefix are lost while others are free."""
    if model.memory_kind is not MemoryKind.WINDOW:
        pytest.skip("it has no window")
    rng = random.Random(4)
    long, other = text(rng, 120), text(rng, 140)

    def branch(*, shadows: bool) -> float:
        context = LlamaContext(model, n_ctx=512, n_seqs=4, n_threads=1, exact=True)
        if not shadows:
            context._window = 0
        context.decode(batch((1, 0, other[:100])))
        context.decode(batch((0, 0, long)))
        context.remove(1, 0, -1)
        context.decode(batch((1, 0, other)))  # the 100 cells before `long`, and then?
        context.copy(0, 2, 0, 50)
        try:
            context.decode(batch((2, 50, long[50:60])))
            return drift(context.logits(9), cold.run(long[:60]))
        except EngineError:
            return float("inf")
        finally:
            context.close()

    assert branch(shadows=True) < TOLERANCE
    assert branch(shadows=False) > DAMAGE


def test_snapshots_are_the_cache_of_states(model: LlamaModel) -> None:
    context = LlamaContext(model, n_ctx=256, n_seqs=3)
    cache = cache_for(context, host_bytes=0, idle_cells=0)
    assert isinstance(cache, SnapshotCache) == (model.memory_kind is MemoryKind.STATE)
    context.close()

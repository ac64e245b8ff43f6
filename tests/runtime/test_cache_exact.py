"""The cache never changes what the model computes: proved in F32 against a cold context.

With F32 weights and KV and no flash attention, the order of cells and chunks moves logits by less
than 1e-4, while a wrong token, a shifted position or a hole moves them by 0.01 and more. So warm
must equal cold to 1e-3 here, and the same comparison must fail once the KV is damaged on purpose.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import llama_cpp.llama_cpp as ll
import numpy as np
import pytest

from treegram.radix_cache.cache import Lease, RadixCache
from treegram.runtime.base import Batch, Logits
from treegram.runtime.llama import LlamaModel
from treegram.runtime.llama_context import LlamaContext

pytestmark = [pytest.mark.model, pytest.mark.slow]

TOLERANCE = 1e-3
DAMAGE = 1e-2


class Warm:
    """Evaluates prompts through a radix cache over one context, as the engine does."""

    def __init__(self, model: LlamaModel, n_ctx: int, idle_cells: int) -> None:
        self.context = LlamaContext(model, n_ctx=n_ctx, n_seqs=32, exact=True)
        self.cache = RadixCache(self.context, idle_cells=idle_cells)

    def evaluate(self, lease: Lease, tokens: list[int]) -> Logits:
        start = lease.length
        self.context.decode(batch(tokens[start:], start, lease.seq))
        self.cache.extend(lease, len(tokens) - start)
        return self.context.logits(len(tokens) - start - 1).copy()

    def run(self, tokens: list[int]) -> Logits:
        lease = self.cache.acquire(tokens, len(tokens) - 1)
        assert self.cache.reserve(len(tokens) - lease.length)
        logits = self.evaluate(lease, tokens)
        self.cache.commit(lease, tokens)
        self.cache.release(lease)
        self.cache.trim_idle()
        self.cache.check_integrity()
        return logits


class Cold:
    """Evaluates each prompt from nothing, in one batch under one sequence."""

    def __init__(self, model: LlamaModel) -> None:
        self.context = LlamaContext(model, n_ctx=512, n_seqs=2, exact=True)

    def run(self, tokens: list[int]) -> Logits:
        self.context.clear()
        self.context.decode(batch(tokens, 0, 0))
        return self.context.logits(len(tokens) - 1).copy()


def batch(tokens: list[int], start: int, seq: int) -> Batch:
    n = len(tokens)
    wants = np.zeros(n, np.bool_)
    wants[-1] = True
    return Batch(
        np.array(tokens, np.int32),
        np.arange(start, start + n, dtype=np.int32),
        np.full(n, seq, np.int32),
        wants,
    )


@pytest.fixture(scope="module")
def cold(f32_model: LlamaModel) -> Iterator[Cold]:
    runner = Cold(f32_model)
    yield runner
    runner.context.close()


@pytest.fixture
def warm(f32_model: LlamaModel) -> Iterator[Warm]:
    runner = Warm(f32_model, n_ctx=512, idle_cells=10_000)
    yield runner
    runner.context.close()


def ids(model: LlamaModel, text: str) -> list[int]:
    return model.encode(text, start=True)


def drift(a: Logits, b: Logits) -> float:
    return float(np.abs(a - b).max())


STORY = "Once upon a time there was a small town by the sea, where an old fisherman"


def test_fork(f32_model: LlamaModel, warm: Warm, cold: Cold) -> None:
    """Two branches of one evaluated prefix, sharing its cells, each equal a cold run."""
    prompt = ids(f32_model, STORY)
    lease = warm.cache.acquire(prompt, len(prompt) - 1)
    warm.evaluate(lease, prompt)
    warm.cache.commit(lease, prompt)
    other = warm.cache.acquire(prompt)
    for branch, text in ((lease, " mended his nets"), (other, " told the children a story")):
        tokens = prompt + f32_model.encode(text)
        assert drift(warm.evaluate(branch, tokens), cold.run(tokens)) < TOLERANCE
        warm.cache.release(branch)


def test_cells_moved_together(f32_model: LlamaModel, warm: Warm, cold: Cold) -> None:
    """Three branches that took cells in turn go on from where their cells were moved to."""
    prompt = ids(f32_model, STORY)
    warm.run(prompt)
    texts = [prompt + f32_model.encode(end) for end in (" mended nets", " told a story", " sang")]
    leases = [warm.cache.acquire(prompt, len(prompt) - 1) for _ in texts]
    for n in range(len(prompt), max(map(len, texts)) + 1):
        for lease, tokens in zip(leases, texts, strict=True):
            if n <= len(tokens):
                warm.evaluate(lease, tokens[:n])
    warm.cache.commit(leases[0], texts[0])
    assert warm.cache.defragment()
    warm.cache.check_integrity()
    for lease, tokens in zip(leases, texts, strict=True):
        more = tokens + f32_model.encode(" until the evening")
        assert drift(warm.evaluate(lease, more), cold.run(more)) < TOLERANCE


def test_split(f32_model: LlamaModel, warm: Warm, cold: Cold) -> None:
    """A prompt that leaves a cached one in the middle of its edge shares the first part."""
    warm.run(ids(f32_model, STORY + " lived with his dog."))
    tokens = ids(f32_model, STORY.replace("fisherman", "woman") + " sold bread.")
    assert warm.cache.match(tokens) > 10
    assert drift(warm.run(tokens), cold.run(tokens)) < TOLERANCE


def test_parking_and_restoring(f32_model: LlamaModel, cold: Cold) -> None:
    """Prefixes parked in host memory node by node and brought back equal a cold run."""
    warm = Warm(f32_model, n_ctx=512, idle_cells=0)
    for ending in (" mended his nets", " told a story", " told a lie", " mended his boat"):
        tokens = ids(f32_model, STORY + ending)
        assert drift(warm.run(tokens), cold.run(tokens)) < TOLERANCE
    stats = warm.cache.stats()
    assert stats.live_tokens == 0
    assert stats.restored_tokens_total > 30
    warm.context.close()


def test_random_prompts_under_eviction(f32_model: LlamaModel, cold: Cold) -> None:
    """Random branching prompts in a context and a host tier too small for them all."""
    warm = Warm(f32_model, n_ctx=256, idle_cells=64)
    pieces = [" the sea", " was calm", " and grey", " that day", " he said", ", so"]
    rng = random.Random(7)
    for _ in range(12):
        text = STORY + "".join(rng.choices(pieces, k=rng.randint(1, 14)))
        tokens = ids(f32_model, text)
        assert drift(warm.run(tokens), cold.run(tokens)) < TOLERANCE
    assert warm.cache.stats().parked_tokens_total > 0
    warm.context.close()


@pytest.mark.parametrize("damage", ["wrong token", "shifted position", "hole"])
def test_damaged_kv_is_seen(f32_model: LlamaModel, warm: Warm, cold: Cold, damage: str) -> None:
    """The comparison that the other tests rely on goes red when the KV is wrong."""
    tokens = ids(f32_model, STORY + " mended his nets")
    prefix, context, at = len(tokens) - 1, warm.context, 9
    if damage == "wrong token":
        wrong = [*tokens[:at], tokens[at] + 1, *tokens[at + 1 :]]
        context.decode(batch(wrong[:prefix], 0, 0))
    elif damage == "shifted position":
        context.decode(batch(tokens[:prefix], 0, 0))
        ll.llama_memory_seq_add(context._memory, 0, at, prefix, 1)
    else:
        context.decode(batch(tokens[:prefix], 0, 0))
        context.remove(0, at, at + 1)
    context.decode(batch(tokens[prefix:], prefix + (damage == "shifted position"), 0))
    assert drift(context.logits(0), cold.run(tokens)) > DAMAGE

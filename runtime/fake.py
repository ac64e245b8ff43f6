"""A decoder without a model: deterministic logits over the in-memory KV store, for tests.

The logits of a position are a function of the tokens that its sequence really holds and of the
adapter under which each was computed, so an engine or a cache that shares the wrong cells generates
something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from ..lang.errors import EngineError
from ..radix_cache.fake import FakeKVStore
from .base import Batch, Logits, NoSlot


def fake_logits(tokens: Sequence[int], n_vocab: int) -> Logits:
    """float32[n_vocab] that depend on every token before; the same in every process."""
    seed = 0
    for token in tokens:
        seed = (seed * 1_000_003 + token + 1) % (1 << 61)
    return np.random.default_rng(seed).standard_normal(n_vocab).astype(np.float32)


def adapted(token: int, adapter: str) -> int:
    """What stands in a fake cell for a token that was computed under an adapter ("" for none)."""
    return token + (crc32(adapter.encode()) << 20)


class FakeDecoder(FakeKVStore):
    """Implements `runtime.base.Decoder`.

    Attributes:
        evaluated_tokens: tokens decoded so far.
        failures: errors to raise from the next `decode` calls instead of decoding, last one first.
    """

    def __init__(
        self,
        *,
        n_cells: int = 256,
        n_seqs: int = 32,
        n_batch: int = 64,
        n_vocab: int = 32,
        can_cut: bool = True,
        attends_in_tiles: bool = False,
    ) -> None:
        super().__init__(n_cells, n_seqs, can_cut=can_cut)
        self.attends_in_tiles = attends_in_tiles
        self.n_batch = n_batch
        self.n_vocab = n_vocab
        self.evaluated_tokens = 0
        self.failures: list[Exception] = []
        self._logits: dict[int, Logits] = {}

    def decode(self, batch: Batch) -> None:
        n = len(batch.tokens)
        if not 0 < n <= self.n_batch:
            raise EngineError(f"a batch of {n} tokens; expected 1 to {self.n_batch}")
        if self.failures:
            raise self.failures.pop()
        if n > self.n_cells - self.held_cells:
            raise NoSlot
        self._logits = {}
        for i in range(n):
            seq = int(batch.seqs[i])
            self.write(seq, int(batch.positions[i]), adapted(int(batch.tokens[i]), batch.adapter))
            if batch.wants_logits[i]:
                self._logits[i] = fake_logits(self.read(seq), self.n_vocab)
        self.evaluated_tokens += n

    def logits(self, index: int) -> Logits:
        return self._logits[index]

    def clear(self) -> None:
        for seq in range(self.n_seqs):
            self.remove(seq, 0, -1)

"""The least time that llama.cpp itself could need for the workload, from its own rates.

Two rates are measured on the same file with nothing around `llama_decode`: `prefill`, tokens per
second of the shared prompt in one batch, and `decode`, tokens per second of B sequences that share
that prompt, one token each per step. With S shared prompt tokens, O own prompt tokens of all rows
and G answer tokens of all rows (the last one of each row is never evaluated, so not counted):

    seconds        = (S + O) / prefill + G / decode
    seconds forced = (S + O + F) / prefill + (G - F) / decode

where F of the G tokens are forced by the schema and so could be evaluated like a prompt: all but
the tokens of the name and the version, the one that ends each of them, and the one that picks the
licence. The second is what an engine approaches that appends forced text.
"""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any

import llama_cpp.llama_cpp as ll
import numpy as np
from numpy.typing import NDArray
from peer import Setup
from workload import Workload

BATCH = 16
PREFILL_RUNS = 7
DECODE_STEPS = 24
N_BATCH = 512

_LOG_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_NO_LOG = _LOG_CALLBACK(lambda level, text, data: None)  # kept: llama.cpp calls it until the end


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Rates in tokens per second, counts in tokens, times in seconds."""

    prefill: float
    decode: float
    batch: int
    shared: int
    own: int
    answers: int
    forced: int

    @property
    def seconds(self) -> float:
        """Shared tokens once, own tokens at the prefill rate, answers at the decode rate."""
        return (self.shared + self.own) / self.prefill + self.answers / self.decode

    @property
    def seconds_forced(self) -> float:
        """The same with forced tokens at the prefill rate."""
        prefilled = self.shared + self.own + self.forced
        return prefilled / self.prefill + (self.answers - self.forced) / self.decode


def measure(setup: Setup, workload: Workload) -> Ceiling:
    """Counts the workload's tokens and measures both rates."""
    with _Context(setup) as context:
        whole = [context.tokenize(prompt) for prompt in workload.prompts]
        shared = _common_prefix(whole)
        answers = [len(context.tokenize(text)) - 1 for text in workload.expected]
        chosen = [
            len(context.tokenize(row.truth.name)) + len(context.tokenize(row.truth.version)) + 3
            for row in workload.rows
        ]
        prefix = whole[0][:shared]
        batch = min(BATCH, len(whole))
        return Ceiling(
            prefill=context.prefill_rate(prefix),
            decode=context.decode_rate(prefix, batch),
            batch=batch,
            shared=shared,
            own=sum(len(tokens) - shared for tokens in whole),
            answers=sum(answers),
            forced=sum(answers) - sum(chosen),
        )


class _Context:
    """A bare llama.cpp context with a batch that numpy fills."""

    def __init__(self, setup: Setup) -> None:
        self._model = _load(setup.model)
        params = ll.llama_context_default_params()
        params.n_ctx = 4096
        params.n_batch = params.n_ubatch = N_BATCH
        params.n_seq_max = BATCH
        params.n_threads = params.n_threads_batch = setup.threads
        params.kv_unified = True
        params.flash_attn_type = ll.LLAMA_FLASH_ATTN_TYPE_ENABLED
        self._handle: Any = ll.llama_init_from_model(self._model, params)
        if not self._handle:
            raise RuntimeError(f"llama.cpp made no context for {setup.model}")
        self._memory: Any = ll.llama_get_memory(self._handle)
        self._vocab: Any = ll.llama_model_get_vocab(self._model)
        self._batch: Any = ll.llama_batch_init(N_BATCH, 0, 1)

    def __enter__(self) -> _Context:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ll.llama_batch_free(self._batch)
        ll.llama_free(self._handle)
        ll.llama_model_free(self._model)

    def tokenize(self, text: str) -> list[int]:
        data = text.encode()
        tokens = (ll.llama_token * (len(data) + 2))()
        n = int(ll.llama_tokenize(self._vocab, data, len(data), tokens, len(tokens), True, False))
        return list(tokens[:n])

    def prefill_rate(self, prefix: Sequence[int]) -> float:
        chunk = np.asarray(prefix[:N_BATCH], np.int32)
        positions = np.arange(len(chunk), dtype=np.int32)
        sequence = np.zeros(len(chunk), np.int32)
        seconds = []
        for _ in range(PREFILL_RUNS):
            ll.llama_memory_clear(self._memory, False)
            seconds.append(self._decode(chunk, positions, sequence))
        return len(chunk) / statistics.median(seconds)

    def decode_rate(self, prefix: Sequence[int], batch: int) -> float:
        """After a prefix that all `batch` sequences share, as `prefill_rate` left it."""
        held = min(len(prefix), N_BATCH)
        for sequence in range(1, batch):
            ll.llama_memory_seq_cp(self._memory, 0, sequence, 0, held)
        sequences = np.arange(batch, dtype=np.int32)
        seconds = []
        for step in range(DECODE_STEPS):
            # any tokens will do; different ones per row, as in the workload
            tokens = np.asarray(prefix[step : step + batch], np.int32)
            seconds.append(self._decode(tokens, np.full(batch, held + step, np.int32), sequences))
        return batch / statistics.median(seconds)

    def _decode(
        self, tokens: NDArray[np.int32], positions: NDArray[np.int32], sequences: NDArray[np.int32]
    ) -> float:
        n = len(tokens)
        batch = self._batch
        batch.n_tokens = n
        np.ctypeslib.as_array(batch.token, (N_BATCH,))[:n] = tokens
        np.ctypeslib.as_array(batch.pos, (N_BATCH,))[:n] = positions
        single = len(set(sequences.tolist())) == 1
        for i, sequence in enumerate(sequences.tolist()):
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = not single or i == n - 1
        started = time.perf_counter()
        code = ll.llama_decode(self._handle, batch)
        ll.llama_synchronize(self._handle)
        if code:
            raise RuntimeError(f"llama_decode returned {code}")
        return time.perf_counter() - started


def _common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """How many leading tokens all sequences share."""
    columns = zip(*sequences, strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def _load(path: Path) -> Any:
    ll.llama_log_set(_NO_LOG, ctypes.c_void_p())
    ll.llama_backend_init()
    model = ll.llama_model_load_from_file(str(path).encode(), ll.llama_model_default_params())
    if not model:
        raise RuntimeError(f"llama.cpp cannot load {path}")
    return model

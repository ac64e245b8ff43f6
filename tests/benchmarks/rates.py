"""llama.cpp's own rates on a file, with nothing around `llama_decode`: what no engine can beat."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import llama_cpp.llama_cpp as ll
import numpy as np
from numpy.typing import NDArray
from peer import Setup

PREFILL_RUNS = 7
DECODE_STEPS = 24
N_BATCH = 512
CELLS = 4096

_LOG_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_NO_LOG = _LOG_CALLBACK(lambda level, text, data: None)  # kept: llama.cpp calls it until the end


class Rates:
    """A bare llama.cpp context with a batch that numpy fills.

    Args:
        sequences: the most that `decode_rate` will be asked for.
    """

    def __init__(self, setup: Setup, sequences: int) -> None:
        self._model = _load(setup.model)
        params = ll.llama_context_default_params()
        params.n_ctx = CELLS
        params.n_batch = params.n_ubatch = N_BATCH
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = setup.threads
        params.kv_unified = True
        params.flash_attn_type = ll.LLAMA_FLASH_ATTN_TYPE_ENABLED
        self._handle: Any = ll.llama_init_from_model(self._model, params)
        if not self._handle:
            raise RuntimeError(f"llama.cpp made no context for {setup.model}")
        self._memory: Any = ll.llama_get_memory(self._handle)
        self._vocab: Any = ll.llama_model_get_vocab(self._model)
        self._batch: Any = ll.llama_batch_init(N_BATCH, 0, 1)

    def __enter__(self) -> Rates:
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

    def tokenize(self, text: str, *, start: bool = True, control: bool = False) -> list[int]:
        """Token ids; `start` adds what the model begins a text with, `control` reads its tokens."""
        data = text.encode()
        tokens = (ll.llama_token * (len(data) + 2))()
        n = int(
            ll.llama_tokenize(self._vocab, data, len(data), tokens, len(tokens), start, control)
        )
        return list(tokens[:n])

    def prefill_rate(self, prefix: Sequence[int], runs: int = PREFILL_RUNS) -> float:
        """Tokens per second of the first `N_BATCH` of `prefix` in one batch; the median."""
        chunk = np.asarray(prefix[:N_BATCH], np.int32)
        positions = np.arange(len(chunk), dtype=np.int32)
        sequence = np.zeros(len(chunk), np.int32)
        seconds = []
        for _ in range(runs):
            ll.llama_memory_clear(self._memory, False)
            seconds.append(self._decode(chunk, positions, sequence))
        return len(chunk) / statistics.median(seconds)

    def decode_rate(self, prefix: Sequence[int], batch: int, steps: int = DECODE_STEPS) -> float:
        """Tokens per second of `batch` sequences that share `prefix`, one token each per step."""
        ll.llama_memory_clear(self._memory, False)
        held = len(prefix)
        for begin in range(0, held, N_BATCH):
            chunk = np.asarray(prefix[begin : begin + N_BATCH], np.int32)
            positions = np.arange(begin, begin + len(chunk), dtype=np.int32)
            self._decode(chunk, positions, np.zeros(len(chunk), np.int32))
        for sequence in range(1, batch):
            ll.llama_memory_seq_cp(self._memory, 0, sequence, 0, held)
        sequences = np.arange(batch, dtype=np.int32)
        seconds = []
        for step in range(steps):
            # any tokens will do; different ones per row, as in the workload
            tokens = np.resize(np.asarray(prefix[step % held :], np.int32), batch)
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


def _load(path: Path) -> Any:
    ll.llama_log_set(_NO_LOG, ctypes.c_void_p())
    ll.llama_backend_init()
    model = ll.llama_model_load_from_file(str(path).encode(), ll.llama_model_default_params())
    if not model:
        raise RuntimeError(f"llama.cpp cannot load {path}")
    return model

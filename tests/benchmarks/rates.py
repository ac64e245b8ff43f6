"""llama.cpp's own rates on a file, with nothing around `llama_decode`: what no engine can beat."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Sequence
from itertools import takewhile
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
CELLS = 8192

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

    def prefill_rate(
        self, prefix: Sequence[int], runs: int = PREFILL_RUNS, depth: int = 0
    ) -> float:
        """Tokens per second of the first `N_BATCH` of `prefix` in one batch; the median.

        Args:
            depth: tokens of the sequence in front of them.
        """
        n = len(prefix[:N_BATCH])
        ll.llama_memory_clear(self._memory, False)
        text = np.resize(np.asarray(prefix, np.int32), depth + n).tolist()
        self._fill(0, text[:depth], 0)
        seconds = []
        for _ in range(runs):
            seconds.append(self._fill(0, text, depth))
            ll.llama_memory_seq_rm(self._memory, 0, depth, -1)
        return n / statistics.median(seconds)

    def decode_rate(self, prefix: Sequence[int], batch: int, steps: int = DECODE_STEPS) -> float:
        """Tokens per second of `batch` sequences that share `prefix`, one token each per step."""
        return self.decode_rates([prefix] * batch, [batch], steps)[batch]

    def decode_rates(
        self, prompts: Sequence[Sequence[int]], batches: Sequence[int], steps: int = DECODE_STEPS
    ) -> dict[int, float]:
        """Tokens per second of sequences that hold `prompts`, one token each per step.

        Beginnings that prompts have in common are in the same cells. Batches, in ascending order,
        are of the first prompts; one for which the context has no room is left out, and all after.
        """
        ll.llama_memory_clear(self._memory, False)
        rates: dict[int, float] = {}
        filled = used = 0
        for batch in batches:
            for sequence in range(filled, batch):
                prompt = prompts[sequence]
                common = [common_prefix([prompt, other]) for other in prompts[:sequence]]
                shared = max(common, default=0)
                used += len(prompt) - shared
                if used + batch * steps > CELLS:
                    return rates
                if shared:
                    source = common.index(shared)
                    ll.llama_memory_seq_cp(self._memory, source, sequence, 0, shared)
                self._fill(sequence, prompt, shared)
            filled = batch
            sequences = np.arange(batch, dtype=np.int32)
            ends = np.asarray([len(prompt) for prompt in prompts[:batch]], np.int32)
            seconds = []
            for step in range(steps):
                # any tokens will do; different ones per row, as in the workload
                tokens = np.resize(np.asarray(prompts[0][step % ends[0] :], np.int32), batch)
                seconds.append(self._decode(tokens, ends + step, sequences))
            rates[batch] = batch / statistics.median(seconds)
            for sequence in range(batch):
                ll.llama_memory_seq_rm(self._memory, sequence, int(ends[sequence]), -1)
        return rates

    def _fill(self, sequence: int, tokens: Sequence[int], begin: int) -> float:
        """Evaluates a sequence's tokens from `begin` on; gives the seconds that took."""
        seconds = 0.0
        for at in range(begin, len(tokens), N_BATCH):
            chunk = np.asarray(tokens[at : at + N_BATCH], np.int32)
            positions = np.arange(at, at + len(chunk), dtype=np.int32)
            seconds += self._decode(chunk, positions, np.full(len(chunk), sequence, np.int32))
        return seconds

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


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
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

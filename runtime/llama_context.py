"""A llama.cpp context as a KV store and decoder: one unified KV buffer, many sequences.

Facts this leans on (`src/llama-kv-cache.cpp`): in a unified cache `seq_cp` only sets bits; a saved
sequence is restored at its own positions into any free cells; `llama_decode` returning 1 changed
nothing. What would abort the process (a batch over n_batch, fewer batch slots than sequences) is
checked before the call.
"""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np
from llama_cpp import __version__
from numpy.typing import NDArray

from ..lang.errors import EngineError, ModelError, ParameterError
from ..radix_cache.base import Blob, CacheFull
from .base import Batch, Logits, NoSlot
from .llama import LlamaModel, ll, log_tail

MIN_CONTEXT = 64


class LlamaContext:
    """KV cells and forward pass of one model. Implements `runtime.base.Decoder`.

    Args:
        model: the weights.
        n_ctx: KV cells, shared by all sequences (tokens).
        n_batch: most tokens per decode call; fewer where the context is smaller.
        n_seqs: sequence ids, at most 256 (llama.cpp's LLAMA_MAX_SEQ); fewer where the batch is
            smaller, because llama.cpp asserts that a batch holds an output per sequence.
        n_threads: CPU threads.
        exact: F32 KV and no flash attention, for tests of the cache; slower.

    Attributes:
        kv_format: saved KV fits contexts of the same model and format only.
    """

    def __init__(
        self,
        model: LlamaModel,
        *,
        n_ctx: int,
        n_batch: int = 512,
        n_seqs: int = 256,
        n_threads: int = 2,
        exact: bool = False,
    ) -> None:
        if n_ctx < MIN_CONTEXT:
            raise ParameterError("n_ctx", f"expected {MIN_CONTEXT} or more, got {n_ctx}")
        n_batch = min(n_batch, n_ctx)
        n_seqs = min(n_seqs, n_batch, int(ll.llama_max_parallel_sequences()))
        params = ll.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = n_batch
        params.n_ubatch = n_batch
        params.n_seq_max = n_seqs
        params.n_threads = params.n_threads_batch = n_threads
        params.kv_unified = True
        params.swa_full = True  # without it, cells shared by forks are never recycled
        params.no_perf = True
        params.flash_attn_type = (
            ll.LLAMA_FLASH_ATTN_TYPE_DISABLED if exact else ll.LLAMA_FLASH_ATTN_TYPE_ENABLED
        )
        if exact:
            params.type_k = params.type_v = ll.GGML_TYPE_F32
        handle: Any = ll.llama_init_from_model(model.handle, params)
        if not handle:
            raise ModelError(
                f"{model.path}: no context of {n_ctx} tokens could be made: {log_tail.take()}"
            )
        self.kv_format = f"llama-cpp-python {__version__}, unified, {'F32' if exact else 'F16 FA'}"
        self._handle = handle
        self._finalizer = weakref.finalize(self, ll.llama_free, handle)
        self._memory: Any = ll.llama_get_memory(handle)
        self._model = model  # a context must not outlive its weights
        self.n_vocab = model.n_vocab
        self.n_cells = int(ll.llama_n_ctx(handle))
        self.n_batch = n_batch
        self.n_seqs = n_seqs
        self._batch = _BatchBuffer(n_batch)
        self._output_row = np.zeros(n_batch, np.int32)
        self._logits: NDArray[np.float32] = np.empty((0, self.n_vocab), np.float32)
        self._buffers = _BufferPool()
        log_tail.raise_interrupt()

    def close(self) -> None:
        """Frees the KV cells. Idempotent."""
        self._finalizer()

    # --- KV store --------------------------------------------------------------------------

    def copy(self, src: int, dst: int, start: int, stop: int) -> None:
        ll.llama_memory_seq_cp(self._memory, src, dst, start, stop)

    def remove(self, seq: int, start: int, stop: int) -> None:
        ll.llama_memory_seq_rm(self._memory, seq, start, stop)

    def clear(self) -> None:
        """Frees every cell of every sequence."""
        ll.llama_memory_clear(self._memory, False)

    def save(self, seq: int, start: int, stop: int) -> Blob:
        """See `KVStore.save`. llama.cpp saves whole sequences only, so `seq` must hold no more."""
        size = int(ll.llama_state_seq_get_size(self._handle, seq))
        buffer = self._buffers.take(size)
        pointer = buffer.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        written = int(ll.llama_state_seq_get_data(self._handle, pointer, size, seq))
        if written != size:
            raise EngineError(f"llama.cpp saved {written} of {size} bytes of a sequence")
        blob = Blob(start, stop, buffer[:size].data, size)
        weakref.finalize(blob, self._buffers.give, buffer)
        return blob

    def load(self, blob: Blob, seq: int) -> None:
        data = np.frombuffer(blob.data, np.uint8)
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        if not ll.llama_state_seq_set_data(self._handle, pointer, blob.n_bytes, seq):
            log_tail.take()
            raise CacheFull(f"no {blob.stop - blob.start} free cells to restore a prefix into")

    # --- decoder ---------------------------------------------------------------------------

    def decode(self, batch: Batch) -> None:
        n = len(batch.tokens)
        if not 0 < n <= self.n_batch:
            raise EngineError(f"a batch of {n} tokens; expected 1 to {self.n_batch}")
        code = ll.llama_decode(self._handle, self._batch.fill(batch))
        if code == 1:
            log_tail.take()
            raise NoSlot
        if code:
            raise EngineError(f"llama_decode failed with code {code}: {log_tail.take()}")
        wanted = np.flatnonzero(batch.wants_logits)
        self._output_row[wanted] = np.arange(len(wanted))
        if len(wanted):
            pointer = ll.llama_get_logits(self._handle)
            self._logits = np.ctypeslib.as_array(pointer, (len(wanted), self.n_vocab))

    def logits(self, index: int) -> Logits:
        row: Logits = self._logits[self._output_row[index]]
        return row


class _BatchBuffer:
    """One llama_batch over numpy arrays: element-wise filling takes 100x longer."""

    def __init__(self, n_batch: int) -> None:
        self.tokens = np.zeros(n_batch, np.int32)
        self.positions = np.zeros(n_batch, np.int32)
        self.seqs = np.zeros(n_batch, np.int32)
        self.seq_counts = np.ones(n_batch, np.int32)
        self.wants = np.zeros(n_batch, np.int8)
        addresses = self.seqs.ctypes.data + 4 * np.arange(n_batch, dtype=np.uintp)
        self.seq_pointers = addresses
        self.struct = ll.llama_batch()
        self.struct.token = _pointer(self.tokens, ctypes.c_int32)
        self.struct.pos = _pointer(self.positions, ctypes.c_int32)
        self.struct.n_seq_id = _pointer(self.seq_counts, ctypes.c_int32)
        self.struct.seq_id = _pointer(addresses, ctypes.POINTER(ctypes.c_int32))
        self.struct.logits = _pointer(self.wants, ctypes.c_int8)

    def fill(self, batch: Batch) -> Any:
        n = len(batch.tokens)
        self.tokens[:n] = batch.tokens
        self.positions[:n] = batch.positions
        self.seqs[:n] = batch.seqs
        self.wants[:n] = batch.wants_logits
        self.struct.n_tokens = n
        return self.struct


def _pointer(array: NDArray[Any], ctype: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctype))


class _BufferPool:
    """Host buffers for saved KV, reused by size class (an eighth apart at most).

    A first touch of fresh memory costs 50x more than the copy itself.
    """

    KEEP_BYTES = 256 << 20

    def __init__(self) -> None:
        self._free: dict[int, list[NDArray[np.uint8]]] = {}
        self._free_bytes = 0

    def take(self, size: int) -> NDArray[np.uint8]:
        step = max(4096, (1 << size.bit_length()) // 16)
        capacity = -(-size // step) * step
        free = self._free.get(capacity)
        if free:
            self._free_bytes -= capacity
            return free.pop()
        return np.empty(capacity, np.uint8)

    def give(self, buffer: NDArray[np.uint8]) -> None:
        if self._free_bytes + buffer.nbytes <= self.KEEP_BYTES:
            self._free_bytes += buffer.nbytes
            self._free.setdefault(buffer.nbytes, []).append(buffer)

"""A llama.cpp context as a KV store and decoder: one unified memory, many sequences.

Facts this leans on (`src/llama-kv-cache.cpp`): in a unified cache `seq_cp` only sets bits; a saved
sequence is restored at its own positions into any free cells; `llama_decode` returning 1 changed
nothing. What would abort the process (a batch over n_batch, fewer batch slots than sequences) is
checked before the call.

A sliding window's cell is recycled once it has left the window of the one sequence that holds it,
even while others are free; a branch that starts before it would then attend to a hole. A cell that
two sequences hold is left alone, so with a window each sequence has a shadow that holds the same.
Nor does llama.cpp save what has left the window; so it is given pieces that are no longer than one.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from itertools import pairwise
from typing import Any

import numpy as np
from llama_cpp import __version__
from numpy.typing import NDArray

from ..lang.errors import EngineError, ModelError, ParameterError
from ..radix_cache.base import Blob, CacheFull
from .base import Batch, Logits, NoSlot
from .llama import LlamaModel, ll, log_tail
from .memory_kind import MemoryKind

MIN_CONTEXT = 64
MOST_SEQUENCES = int(ll.llama_max_parallel_sequences())
FEWEST_STATES = 4  # one that runs, and some to share from


class LlamaContext:
    """KV cells and forward pass of one model. Implements `runtime.base.Decoder`.

    Args:
        model: the weights.
        n_ctx: KV cells, shared by all sequences (tokens).
        n_batch: most tokens per decode call; fewer where the context is smaller.
        n_seqs: sequence ids, at most 256 (llama.cpp's LLAMA_MAX_SEQ), or 127 with a window; fewer
            where the batch is smaller, because llama.cpp asserts that a batch holds an output per
            sequence. See `sequences_for`.
        n_threads: CPU threads.
        exact: F32 KV and no flash attention, for tests of the cache; slower.

    Attributes:
        can_cut: see `KVStore.can_cut`.
        attends_in_tiles: see `Decoder.attends_in_tiles`.
        kv_format: saved KV fits contexts of the same model and format only.
    """

    def __init__(
        self,
        model: LlamaModel,
        *,
        n_ctx: int,
        n_batch: int = 512,
        n_seqs: int = MOST_SEQUENCES,
        n_threads: int = 2,
        exact: bool = False,
    ) -> None:
        if n_ctx < MIN_CONTEXT:
            raise ParameterError("n_ctx", f"expected {MIN_CONTEXT} or more, got {n_ctx}")
        n_batch = min(n_batch, n_ctx)
        kind = model.memory_kind
        n_seqs = min(n_seqs, n_batch, MOST_SEQUENCES)
        n_seq_max = n_seqs
        if kind is MemoryKind.WINDOW:
            n_seqs = min(n_seqs, (min(n_batch, MOST_SEQUENCES) - 1) // 2)
            n_seq_max = 2 * n_seqs + 1  # with their shadows, and one for pieces
        params = ll.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = n_batch
        params.n_ubatch = n_batch
        params.n_seq_max = n_seq_max
        params.n_threads = params.n_threads_batch = n_threads
        params.kv_unified = True
        params.swa_full = True  # as many cells for layers with a window as for the others
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
        layout = f"{kind.value}, " if kind is not MemoryKind.CELLS else ""
        precision = "F32" if exact else "F16 FA"
        self.kv_format = f"llama-cpp-python {__version__}, unified, {layout}{precision}"
        self.can_cut = kind is not MemoryKind.STATE
        self.attends_in_tiles = not (model.is_offloaded or exact) and self.can_cut
        self._window = model.window if kind is MemoryKind.WINDOW else 0  # tokens
        self._handle = handle
        self._finalizer = weakref.finalize(self, ll.llama_free, handle)
        self._memory: Any = ll.llama_get_memory(handle)
        self._model = model  # a context must not outlive its weights
        self.n_vocab = model.n_vocab
        self._n_embd = model.n_embd
        self.n_cells = int(ll.llama_n_ctx(handle))
        self.n_batch = n_batch
        self.n_seqs = n_seqs
        self._batch = _BatchBuffer(n_batch)
        self._output_row = np.zeros(n_batch, np.int32)
        self._logits: NDArray[np.float32] = np.empty((0, self.n_vocab), np.float32)
        self._buffers = _BufferPool()
        self._adapter = ""
        log_tail.raise_interrupt()

    def close(self) -> None:
        """Frees the KV cells. Idempotent."""
        self._finalizer()

    # --- KV store --------------------------------------------------------------------------

    def copy(self, src: int, dst: int, start: int, stop: int) -> None:
        if not self.can_cut:
            self._check_whole(src, start, stop)
            self._check_whole(dst, 0, 0)
            start = stop = -1  # a hybrid's state would be shared whatever the range
        ll.llama_memory_seq_cp(self._memory, src, dst, start, stop)
        self._shadow(dst, start, stop)

    def remove(self, seq: int, start: int, stop: int) -> None:
        if not self.can_cut:
            self._check_whole(seq, start, self.length(seq) if stop < 0 else stop)
            start = stop = -1
        is_removed = ll.llama_memory_seq_rm(self._memory, seq, start, stop)
        if self._window:
            is_removed &= ll.llama_memory_seq_rm(self._memory, self.n_seqs + seq, start, stop)
        if not is_removed:
            raise EngineError(f"llama.cpp cannot remove [{start}, {stop}) of sequence {seq}")

    def length(self, seq: int) -> int:
        """How many tokens `seq` ends behind."""
        return int(ll.llama_memory_seq_pos_max(self._memory, seq)) + 1

    def _check_whole(self, seq: int, start: int, stop: int) -> None:
        # llama.cpp would go on with a state that stands for other tokens
        if (start, stop) != (0, self.length(seq)):
            raise EngineError(
                f"[{start}, {stop}) of sequence {seq} was asked for, which has {self.length(seq)} "
                "tokens and cannot be cut"
            )

    def _shadow(self, seq: int, start: int, stop: int) -> None:
        """Keeps llama.cpp from recycling cells [start, stop) of `seq`."""
        if self._window:
            ll.llama_memory_seq_cp(self._memory, seq, self.n_seqs + seq, start, stop)

    def clear(self) -> None:
        """Frees every cell of every sequence."""
        ll.llama_memory_clear(self._memory, False)

    def save(self, seq: int, start: int, stop: int) -> Blob:
        """See `KVStore.save`. llama.cpp saves whole sequences only, so `seq` must hold no more.

        Raises EngineError if it holds something else.
        """
        self._check_held(seq, start, stop)
        if not self._window:
            buffer, size = self._get(seq)
        else:
            parts = []
            for first, last in self._pieces(start, stop):
                ll.llama_memory_seq_cp(self._memory, seq, self._piece, first, last)
                try:
                    parts.append(self._get(self._piece))
                finally:  # or the next piece would be saved with these cells in it
                    ll.llama_memory_seq_rm(self._memory, self._piece, -1, -1)
            size = sum(8 + n for _, n in parts)
            buffer = self._buffers.take(size)
            at = 0
            for part, n in parts:
                buffer[at : at + 8] = np.frombuffer(n.to_bytes(8, "little"), np.uint8)
                buffer[at + 8 : at + 8 + n] = part[:n]
                at += 8 + n
                self._buffers.give(part)
        blob = Blob(start, stop, buffer[:size].data, size)
        weakref.finalize(blob, self._buffers.give, buffer)
        return blob

    def load(self, blob: Blob, seq: int) -> None:
        data = np.frombuffer(blob.data, np.uint8)
        if not self._window:
            self._set(seq, data)
        else:
            at = 0
            for first, last in self._pieces(blob.start, blob.stop):
                n = int.from_bytes(data[at : at + 8].tobytes(), "little")
                try:
                    self._set(self._piece, data[at + 8 : at + 8 + n])
                    ll.llama_memory_seq_cp(self._memory, self._piece, seq, first, last)
                    self._shadow(seq, first, last)
                finally:
                    ll.llama_memory_seq_rm(self._memory, self._piece, -1, -1)
                at += 8 + n
        self._check_held(seq, blob.start, blob.stop)

    @property
    def _piece(self) -> int:
        return 2 * self.n_seqs  # behind the sequences and their shadows

    def _pieces(self, start: int, stop: int) -> list[tuple[int, int]]:
        """[start, stop) cut at multiples of the window: none is masked for the last of its piece,
        whether windows slide or are chunks."""
        size = self._window
        cuts = [start, *range((start // size + 1) * size, stop, size), stop]
        return list(pairwise(cuts))

    def _get(self, seq: int) -> tuple[NDArray[np.uint8], int]:
        """What llama.cpp saves of a sequence: a buffer of the pool, and how much of it is used."""
        size = int(ll.llama_state_seq_get_size(self._handle, seq))
        buffer = self._buffers.take(size)
        pointer = buffer.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        written = int(ll.llama_state_seq_get_data(self._handle, pointer, size, seq))
        if written != size:
            raise EngineError(f"llama.cpp saved {written} of {size} bytes of a sequence")
        return buffer, size

    def _set(self, seq: int, data: NDArray[np.uint8]) -> None:
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        if not ll.llama_state_seq_set_data(self._handle, pointer, len(data), seq):
            log_tail.take()
            raise CacheFull("no free cells to restore a prefix into")

    def _check_held(self, seq: int, start: int, stop: int) -> None:
        """Raises EngineError unless `seq` holds exactly [start, stop)."""
        first = int(ll.llama_memory_seq_pos_min(self._memory, seq))
        if not self.can_cut and first == stop - 1:
            first = start  # of a state there is only the end
        if (first, self.length(seq)) != (start, stop):
            raise EngineError(
                f"sequence {seq} holds [{first}, {self.length(seq)}), expected [{start}, {stop})"
            )

    def state_bytes(self, seq: int) -> int:
        """What the recurrent state of `seq` takes, whatever its length; 0 without one."""
        if self.can_cut:
            return 0
        flags = ll.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
        return int(ll.llama_state_seq_get_size_ext(self._handle, seq, flags))

    # --- decoder ---------------------------------------------------------------------------

    def decode(self, batch: Batch) -> None:
        n = len(batch.tokens)
        if not 0 < n <= self.n_batch:
            raise EngineError(f"a batch of {n} tokens; expected 1 to {self.n_batch}")
        if batch.embeddings is not None and batch.embeddings.shape != (n, self._n_embd):
            raise EngineError(
                f"embeddings of shape {batch.embeddings.shape}; expected {(n, self._n_embd)}"
            )
        order = np.arange(n)
        if not self.can_cut:  # states of adjacent sequences are advanced together
            order = np.argsort(batch.seqs, kind="stable")
            batch = Batch(
                batch.tokens[order],
                batch.positions[order],
                batch.seqs[order],
                batch.wants_logits[order],
                batch.adapter,
                None if batch.embeddings is None else batch.embeddings[order],
            )
        self._apply(batch.adapter)
        code = ll.llama_decode(self._handle, self._batch.fill(batch))
        if code == 1:
            log_tail.take()
            raise NoSlot
        if code:
            raise EngineError(f"llama_decode failed with code {code}: {log_tail.take()}")
        if self._window:
            for seq in np.unique(batch.seqs).tolist():
                positions = batch.positions[batch.seqs == seq]
                self._shadow(seq, int(positions.min()), int(positions.max()) + 1)
        wanted = np.flatnonzero(batch.wants_logits)
        self._output_row[order[wanted]] = np.arange(len(wanted))
        if len(wanted):
            pointer = ll.llama_get_logits(self._handle)
            self._logits = np.ctypeslib.as_array(pointer, (len(wanted), self.n_vocab))

    def _apply(self, adapter: str) -> None:
        """Lets the weights of an adapter, or of none, join in what is decoded from now on."""
        if adapter == self._adapter:
            return
        used = [self._model.adapters[adapter]] if adapter else []
        handles = (ll.llama_adapter_lora_p_ctypes * 1)(*used)
        scales = (ctypes.c_float * 1)(1.0)
        if ll.llama_set_adapters_lora(self._handle, handles, len(used), scales):
            raise EngineError(f"llama.cpp cannot apply the adapter {adapter!r}: {log_tail.take()}")
        self._adapter = adapter

    def logits(self, index: int) -> Logits:
        row: Logits = self._logits[self._output_row[index]]
        return row


def sequences_for(model: LlamaModel, state_bytes: int) -> int:
    """How many sequences a context of `model` should have.

    As many as there can be where one costs nothing; else as many as `state_bytes` hold, but at
    least 4. Evaluates a token to learn what one takes.
    """
    if model.memory_kind is not MemoryKind.STATE:
        return MOST_SEQUENCES
    context = LlamaContext(model, n_ctx=MIN_CONTEXT, n_seqs=1, n_threads=1)
    try:
        first = np.zeros(1, np.int32)
        context.decode(Batch(first, first, first, np.zeros(1, np.bool_)))
        return max(FEWEST_STATES, min(MOST_SEQUENCES, state_bytes // context.state_bytes(0)))
    finally:
        context.close()


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
        self.embeddings = np.zeros((0, 0), np.float32)
        self.struct = ll.llama_batch()
        self.struct.pos = _pointer(self.positions, ctypes.c_int32)
        self.struct.n_seq_id = _pointer(self.seq_counts, ctypes.c_int32)
        self.struct.seq_id = _pointer(addresses, ctypes.POINTER(ctypes.c_int32))
        self.struct.logits = _pointer(self.wants, ctypes.c_int8)

    def fill(self, batch: Batch) -> Any:
        n = len(batch.tokens)
        if batch.embeddings is None:
            self.tokens[:n] = batch.tokens
            self.struct.token = _pointer(self.tokens, ctypes.c_int32)
            self.struct.embd = None
        else:  # llama.cpp takes the one or the other
            self.embeddings = np.ascontiguousarray(batch.embeddings, np.float32)
            self.struct.token = None
            self.struct.embd = _pointer(self.embeddings, ctypes.c_float)
        self.positions[:n] = batch.positions
        self.seqs[:n] = batch.seqs
        self.wants[:n] = batch.wants_logits
        self.struct.n_tokens = n
        return self.struct


def _pointer(array: NDArray[Any], ctype: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctype))


class _BufferPool:
    """Host buffers for saved KV, reused by size class (an eighth apart at most).

    A first touch of fresh memory costs 50x more than the copy itself. Buffers come back from any
    thread, whichever lets go of the last reference.
    """

    KEEP_BYTES = 256 << 20

    def __init__(self) -> None:
        self._free: dict[int, list[NDArray[np.uint8]]] = {}
        self._free_bytes = 0
        self._lock = threading.RLock()  # one may come back while another is taken

    def take(self, size: int) -> NDArray[np.uint8]:
        step = max(4096, (1 << size.bit_length()) // 16)
        capacity = -(-size // step) * step
        with self._lock:
            free = self._free.get(capacity)
            if free:
                self._free_bytes -= capacity
                return free.pop()
        return np.empty(capacity, np.uint8)

    def give(self, buffer: NDArray[np.uint8]) -> None:
        with self._lock:
            if self._free_bytes + buffer.nbytes <= self.KEEP_BYTES:
                self._free_bytes += buffer.nbytes
                self._free.setdefault(buffer.nbytes, []).append(buffer)

"""Every call to libmtmd, llama.cpp's side of images: a projector turns one into embeddings.

A projector is a GGUF of its own (`mmproj`). Its preprocessor may cut an image into tiles, and puts
tokens around and between them, each model in a way of its own; so an image comes as parts, tokens
and positions by turns. Only models that read those positions like text are supported, one after
the other: anything else would need batches of its own kind (`tools/mtmd/mtmd.h`).
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..lang.errors import EngineError, ModelError, ParameterError
from .llama import LlamaModel, ll, log_tail
from .pseudo_tokens import Embeddings, ImagePart

try:
    import llama_cpp.mtmd_cpp
except (OSError, ImportError, AttributeError) as error:  # AttributeError: it lacks a symbol
    raise ModelError(
        "this llama-cpp-python was built without libmtmd, which images need; build it with "
        f"-DLLAVA_BUILD=ON, which is its default ({error})"
    ) from error

mtmd: Any = llama_cpp.mtmd_cpp

_NO_FOLDER = b"/dev/null"
"""Where ffmpeg is said to be: libmtmd would start it on files that it cannot read itself."""


class Projector:
    """A projector on top of a model. `read` may be called from any thread, the rest from one.

    Args:
        path: its GGUF, which must have passed `gguf_check.check_projector` with the model.
        model: the weights, which must outlive it.
        n_threads: CPU threads.
        n_gpu_layers: 0 keeps it on the CPU.
        exact: no flash attention.

    Raises:
        ModelError: libmtmd refused the file, or images of this model cannot be evaluated here.
    """

    def __init__(
        self, path: Path, model: LlamaModel, *, n_threads: int, n_gpu_layers: int, exact: bool
    ) -> None:
        for set_log in (mtmd.mtmd_log_set, mtmd.mtmd_helper_log_set):
            set_log(log_tail.callback, ctypes.c_void_p(0))
        params = mtmd.mtmd_context_params_default()
        params.use_gpu = n_gpu_layers != 0
        params.print_timings = False
        params.n_threads = n_threads
        params.warmup = False
        params.flash_attn_type = (
            ll.LLAMA_FLASH_ATTN_TYPE_DISABLED if exact else ll.LLAMA_FLASH_ATTN_TYPE_AUTO
        )
        handle: Any = mtmd.mtmd_init_from_file(str(path).encode(), model.handle, params)
        if not handle:
            raise ModelError(f"{path}: no projector of {model.path}: {log_tail.take()}")
        self._handle = handle
        self._finalizer = weakref.finalize(self, mtmd.mtmd_free, handle)
        self._model = model
        self._n_embd = model.n_embd
        reason = self._unsupported()
        if reason is not None:
            self.close()
            raise ModelError(f"{path}: not supported: {reason}")
        log_tail.raise_interrupt()

    def _unsupported(self) -> str | None:
        if not mtmd.mtmd_support_vision(self._handle):
            return "it reads sound, not images"
        if mtmd.mtmd_decode_use_non_causal(self._handle, None):
            return "the model's images attend to what follows in them (as in Gemma 3)"
        if mtmd.mtmd_decode_use_mrope(self._handle):
            return "the model's images have two-dimensional positions (M-RoPE, as in Qwen-VL)"
        return None

    def close(self) -> None:
        """Frees the projector. Idempotent."""
        self._finalizer()

    def read(self, data: bytes) -> LlamaImage:
        """Decodes an image file and cuts it up as the model wants it; encodes nothing yet.

        Raises ParameterError for a file that cannot be decoded.
        """
        if not self._finalizer.alive:
            raise EngineError("the model is closed; load it again")
        options = mtmd.mtmd_helper_init_opt_default()
        options.video_params.ffmpeg_bin_dir = _NO_FOLDER
        buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        bitmap = mtmd.mtmd_helper_bitmap_init_from_buf(
            self._handle, buffer, len(data), False, options
        )
        if not bitmap:
            log_tail.take()
            raise ParameterError("image", "the file is damaged: it cannot be decoded")
        try:
            return LlamaImage(self._handle, bitmap, self._n_embd)
        finally:
            mtmd.mtmd_bitmap_free(bitmap)


class LlamaImage:
    """An image cut up for a model, in libmtmd's memory. Implements `pseudo_tokens.ReadImage`.

    Raises:
        ParameterError: the preprocessor refuses it.
        ModelError: its positions are not those of a text, or the model is not of this projector.
    """

    def __init__(self, projector: Any, bitmap: Any, n_embd: int) -> None:
        self._projector, self._n_embd = projector, n_embd
        self._chunks: Any = mtmd.mtmd_input_chunks_init()
        # not at exit: the engine's thread may be encoding then
        weakref.finalize(self, mtmd.mtmd_input_chunks_free, self._chunks).atexit = False
        marker = mtmd.mtmd_default_marker()
        text = mtmd.mtmd_input_text(marker, len(marker), False, True)
        bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
        if mtmd.mtmd_tokenize(projector, self._chunks, ctypes.byref(text), bitmaps, 1):
            raise ParameterError("image", f"the model cannot read it: {log_tail.take()}")
        indices = range(mtmd.mtmd_input_chunks_size(self._chunks))
        self.parts: Sequence[ImagePart] = tuple(map(self._part, indices))

    def _part(self, index: int) -> ImagePart:
        chunk = mtmd.mtmd_input_chunks_get(self._chunks, index)
        if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
            size = ctypes.c_size_t()
            found = mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(size))
            tokens = tuple(found[: size.value])
            if min(tokens) < 0:
                raise ModelError("the model lacks tokens that its projector puts around images")
            return ImagePart(tokens, 0)
        n = int(mtmd.mtmd_input_chunk_get_n_tokens(chunk))
        if mtmd.mtmd_input_chunk_get_n_pos(chunk) != n:
            raise ModelError("images of this model are not supported: their positions skip")
        return ImagePart((), n)

    def encode(self) -> Embeddings:
        rows: list[Embeddings] = []
        for index, part in enumerate(self.parts):
            if not part.n_embeddings:
                continue
            chunk = mtmd.mtmd_input_chunks_get(self._chunks, index)
            if mtmd.mtmd_encode_chunk(self._projector, chunk):
                raise EngineError(f"the image could not be encoded: {log_tail.take()}")
            found = mtmd.mtmd_get_output_embd(self._projector)
            shape = (part.n_embeddings, self._n_embd)
            rows.append(np.ctypeslib.as_array(found, shape).copy())
        return np.concatenate(rows)

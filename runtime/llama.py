"""Every call to llama.cpp's model side: weights, vocabulary, tokeniser, metadata, quantiser.

llama-cpp-python's low-level API moves with every release, so the calls live in this file and in
`llama_context.py` only, and the version is checked once at import. The calls are llama.cpp's own
(`include/llama.h`); anything of them that can abort the process is checked here first.
"""

from __future__ import annotations

import ctypes
import os
import re
import weakref
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

# libgomp's threads spin 300,000 times at each barrier: beside one busy process a two-thread decode
# step then takes seconds. Set before libgomp loads; a value of the user's own stands.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import llama_cpp.llama_cpp

from ..lang.errors import EngineError, ModelError
from .base import Vocabulary
from .memory_kind import MemoryKind
from .pretokenizer import LONGEST, SAFE, pieces

ll: Any = llama_cpp.llama_cpp  # its annotations are narrower than what ctypes takes

TESTED = ("0.3.36",)
_OWN_STATES = ("deepseek4", "glm5-next", "qwen4exp")  # memories that no test has proved yet
_WORD_START_TYPES = (ll.LLAMA_VOCAB_TYPE_SPM, ll.LLAMA_VOCAB_TYPE_UGM)
_NEEDED = (
    "llama_memory_seq_cp",
    "llama_memory_seq_pos_max",
    "llama_model_is_hybrid",
    "llama_state_seq_get_size_ext",
    "llama_state_seq_get_data",
    "llama_state_seq_set_data",
    "llama_sampler_init_grammar",
    "llama_model_chat_template",
    "llama_model_n_embd_inp",
    "llama_adapter_lora_init",
    "llama_set_adapters_lora",
)


def check_binding() -> None:
    """Raises ModelError if llama-cpp-python is not a release that treegram was tested with."""
    found = version("llama-cpp-python")
    missing = [name for name in _NEEDED if not hasattr(ll, name)]
    if missing or found not in TESTED:
        raise ModelError(
            f"llama-cpp-python {found} is installed and treegram was tested with "
            f"{', '.join(TESTED)}{f'; it lacks {missing}' if missing else ''}. "
            f"Run: pip install llama-cpp-python=={TESTED[-1]}"
        )


check_binding()


class _LogTail:
    """Keeps llama.cpp's last error lines, so that a failed call can say why; prints nothing."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._interrupted = False
        self.callback = ll.llama_log_callback(self._write)
        ll.llama_log_set(self.callback, ctypes.c_void_p(0))

    def _write(self, level: int, text: bytes, _: ctypes.c_void_p) -> None:
        try:
            if level in (3, 4):  # GGML_LOG_LEVEL_WARN, _ERROR (ggml.h)
                self.lines.append(text.decode("utf-8", "replace").strip())
                del self.lines[:-8]
        except KeyboardInterrupt:  # ctypes would swallow a Ctrl-C that comes in a callback
            self._interrupted = True

    def raise_interrupt(self) -> None:
        """Raises the KeyboardInterrupt that came while llama.cpp was logging, if one did."""
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt

    def take(self) -> str:
        text = "; ".join(line for line in self.lines if line)
        self.lines.clear()
        return text or "llama.cpp gave no reason"


log_tail = _LogTail()


class LlamaModel:
    """A GGUF's weights and vocabulary. Implements `runtime.base.Tokenizer`.

    The file must have passed `gguf_check.check_gguf`: a damaged one can abort the process.

    Args:
        path: the GGUF file.
        n_gpu_layers: layers to offload, -1 for all; ignored by a CPU build.
        vocab_only: load no weights (tokenising and grammars only).
        adapters: LoRA adapters by name, which must have passed `gguf_check.check_adapter`.

    Attributes:
        is_offloaded: whether layers are on an accelerator.

    Raises:
        ModelError: llama.cpp refused a file, or an adapter is of a kind that is not supported.
    """

    def __init__(
        self,
        path: Path,
        *,
        n_gpu_layers: int = -1,
        vocab_only: bool = False,
        adapters: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        ll.llama_backend_init()
        params = ll.llama_model_default_params()
        params.n_gpu_layers = n_gpu_layers
        params.vocab_only = vocab_only
        self.path = path
        self.is_offloaded = offloads(n_gpu_layers)
        handle: Any = ll.llama_model_load_from_file(str(path).encode(), params)
        if not handle:
            raise ModelError(f"{path}: llama.cpp cannot load it: {log_tail.take()}")
        self.handle = handle
        self._finalizer = weakref.finalize(self, ll.llama_model_free, handle)
        self.vocab: Any = ll.llama_model_get_vocab(handle)
        kind = ll.llama_vocab_type(self.vocab)
        self._word_start = kind in _WORD_START_TYPES
        self._cuts_words = (
            kind == ll.LLAMA_VOCAB_TYPE_BPE and self.metadata("tokenizer.ggml.pre") not in SAFE
        )
        self._vocabulary: Vocabulary | None = None
        self.adapters = {name: self._adapter(file) for name, file in adapters.items()}
        log_tail.raise_interrupt()

    def _adapter(self, path: Path) -> Any:
        adapter: Any = ll.llama_adapter_lora_init(self.handle, str(path).encode())
        if not adapter:
            raise ModelError(f"{path}: llama.cpp cannot load the adapter: {log_tail.take()}")
        if ll.llama_adapter_get_alora_n_invocation_tokens(adapter):
            raise ModelError(
                f"{path}: an activated LoRA, which applies from certain tokens of a prompt on, is "
                "not supported; expected a plain LoRA adapter"
            )
        return adapter

    def close(self) -> None:
        """Frees the weights. Idempotent; every context of the model must be closed before."""
        self._finalizer()

    @property
    def n_vocab(self) -> int:
        return int(ll.llama_vocab_n_tokens(self.vocab))

    @property
    def n_embd(self) -> int:
        """How wide an embedding is that is evaluated in place of a token."""
        return int(ll.llama_model_n_embd_inp(self.handle))

    @property
    def chat_template(self) -> str | None:
        """The GGUF's own chat template (Jinja source), or None."""
        source: bytes | None = ll.llama_model_chat_template(self.handle, None)
        return source.decode("utf-8") if source else None

    @property
    def memory_kind(self) -> MemoryKind:
        """What the model remembers of a text."""
        if ll.llama_model_is_recurrent(self.handle) or ll.llama_model_is_hybrid(self.handle):
            return MemoryKind.STATE
        return MemoryKind.WINDOW if self.window else MemoryKind.CELLS

    @property
    def window(self) -> int:
        """How far layers with a sliding window look back, in tokens; 0 if no layer has one."""
        return int(ll.llama_model_n_swa(self.handle))

    @property
    def unsupported(self) -> str | None:
        """Why this model cannot be run, or None if it can."""
        if self.metadata("general.architecture") in _OWN_STATES:
            return "its memory is of a kind of its own, which treegram cannot share safely yet"
        if ll.llama_model_has_encoder(self.handle) or not ll.llama_model_has_decoder(self.handle):
            return "it is not a decoder-only text model"
        if ll.llama_model_is_diffusion(self.handle):
            return "it is a diffusion model"
        return None

    def metadata(self, key: str) -> str | None:
        """A GGUF metadata value as text, or None."""
        if ll.llama_model_meta_val_str(self.handle, key.encode(), None, 0) < 0:
            return None
        return self._string(
            lambda buf, n: int(ll.llama_model_meta_val_str(self.handle, key.encode(), buf, n))
        )

    @staticmethod
    def _string(call: Callable[[Any, int], int]) -> str:
        size = 256
        while True:
            buffer = ctypes.create_string_buffer(size)
            needed = call(buffer, size)
            if needed < size:
                return buffer.value.decode("utf-8", "replace")
            size = needed + 1

    # --- tokenizer -------------------------------------------------------------------------

    @property
    def vocabulary(self) -> Vocabulary:
        """All pieces as bytes; read from llama.cpp once."""
        if self._vocabulary is None:
            ids = range(self.n_vocab)
            buffer = ctypes.create_string_buffer(64)
            pieces = tuple(self._piece(i, buffer, special=False) for i in ids)
            eog = frozenset(i for i in ids if ll.llama_vocab_is_eog(self.vocab, i))
            controls = {
                i: text
                for i, piece in enumerate(pieces)
                if not piece and i not in eog and (text := self.control_text(i))
            }
            self._vocabulary = Vocabulary(pieces, eog, controls)
        return self._vocabulary

    def control_text(self, token: int) -> str:
        """How a control token is spelled in a template; "" for the id -1 (no such token)."""
        if token < 0:
            return ""
        buffer = ctypes.create_string_buffer(64)
        return self._piece(token, buffer, special=True).decode("utf-8", "replace")

    @property
    def bos(self) -> int:
        return int(ll.llama_vocab_bos(self.vocab))

    @property
    def eos(self) -> int:
        return int(ll.llama_vocab_eos(self.vocab))

    @property
    def adds_bos(self) -> bool:
        """Whether a prompt of this model starts with the BOS token."""
        return bool(ll.llama_vocab_get_add_bos(self.vocab))

    def _piece(self, token: int, buffer: Any, *, special: bool) -> bytes:
        size = ll.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
        if size < 0:  # llama-cpp-python's own helper stops at 32 bytes; some pieces are longer
            buffer = ctypes.create_string_buffer(-size)
            size = ll.llama_token_to_piece(self.vocab, token, buffer, -size, 0, special)
        return bytes(buffer.raw[:size])

    def encode(self, text: str, *, special: bool = False, start: bool = False) -> list[int]:
        """See `Tokenizer.encode`. BOS is never added here."""
        if not text:
            return []
        if self._cuts_words and len(text) > LONGEST:
            return [t for piece in pieces(text) for t in self._tokenize(piece.encode(), special)]
        data = text.encode()
        if start or not self._word_start:
            return self._tokenize(data, special)
        # SentencePiece puts a word-start space before every text; behind a newline it cannot
        lead = self._tokenize(b"\n", False)
        whole = self._tokenize(b"\n" + data, special)
        return whole[len(lead) :] if whole[: len(lead)] == lead else self._tokenize(data, special)

    def _tokenize(self, data: bytes, special: bool) -> list[int]:
        if not self._finalizer.alive:
            raise EngineError("the model is closed; load it again")
        size = len(data) + 8
        while True:
            out = (ll.llama_token * size)()
            n = int(ll.llama_tokenize(self.vocab, data, len(data), out, size, False, special))
            if n >= 0:
                return list(out[:n])
            size = -n


def dequantize(source: Path, target: Path) -> None:
    """Writes `source` with F32 weights to `target` (llama.cpp's own quantiser).

    Cache correctness is provable in F32 only: with quantised weights the order of cells alone
    moves logits by 0.5. Raises ModelError.
    """
    params = ll.llama_model_quantize_default_params()
    params.ftype = ll.LLAMA_FTYPE_ALL_F32
    part = target.with_suffix(".part")
    _quantize(source, part, params, "F32")
    part.rename(target)


def requantize(source: Path, target: Path, kept: Mapping[str, int], n_threads: int) -> None:
    """Writes `source` with Q8_0 weights to `target` (llama.cpp's own quantiser).

    `kept` names the tensors that stay as they are, with their types (GGML_TYPE_*). Raises
    ModelError; `target` may then be there in part.
    """
    params = ll.llama_model_quantize_default_params()
    params.ftype = ll.LLAMA_FTYPE_MOSTLY_Q8_0
    params.nthread = n_threads
    overrides = (ll.llama_model_tensor_override * (len(kept) + 1))()  # the last one ends the list
    for override, (name, type_) in zip(overrides, kept.items(), strict=False):
        exactly = re.sub(r"([^A-Za-z0-9_-])", r"\\\1", name)  # std::regex's rules, not Python's
        override.pattern = f"^{exactly}$".encode()
        override.type = type_
    params.tt_overrides = overrides
    _quantize(source, target, params, "Q8_0")


def _quantize(source: Path, target: Path, params: Any, name: str) -> None:
    params.allow_requantize = True
    if ll.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params)):
        raise ModelError(f"{source}: cannot be rewritten in {name}: {log_tail.take()}")


def cpu_features() -> str:
    """What llama.cpp's kernels are chosen by on this machine."""
    ll.llama_backend_init()
    text: bytes = ll.llama_print_system_info()
    return text.decode("utf-8", "replace")


def offloads(n_gpu_layers: int) -> bool:
    """Whether this llama.cpp puts layers on an accelerator when asked for so many (-1: all)."""
    return n_gpu_layers != 0 and bool(ll.llama_supports_gpu_offload())

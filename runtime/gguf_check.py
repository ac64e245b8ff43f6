"""Proves that a GGUF loads before this process tries it.

llama.cpp aborts the process on some damaged files, so an unknown file is first loaded, and one
token decoded, in a child process; an adapter on top of its model, since the shapes of some tensors
are compared only where they meet, and so a projector, which encodes an empty image there. A file
that passed is remembered by path, size, time of change and llama-cpp-python version in the user's
cache folder, so that it is checked once.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from ..lang.compiler.cache_folder import cache_folder
from ..lang.errors import ModelError

MAGIC = b"GGUF"
TIMEOUT_S = 300

_CHILD = """
import ctypes, sys
import llama_cpp.llama_cpp as ll
ll.llama_backend_init()
params = ll.llama_model_default_params()
params.check_tensors = True
params.n_gpu_layers = 0
model = ll.llama_model_load_from_file(sys.argv[1].encode(), params)
if not model:
    sys.exit(3)
shape = ll.llama_context_default_params()
shape.n_ctx, shape.n_batch, shape.n_ubatch, shape.n_threads = 64, 64, 64, 1
context = ll.llama_init_from_model(model, shape)
if not context:
    sys.exit(4)
if sys.argv[2:]:
    adapter = ll.llama_adapter_lora_init(model, sys.argv[2].encode())
    if not adapter:
        sys.exit(6)
    one = (ll.llama_adapter_lora_p_ctypes * 1)(adapter)
    ll.llama_set_adapters_lora(context, one, 1, (ctypes.c_float * 1)(1.0))
token = (ll.llama_token * 1)(0)
batch = ll.llama_batch_get_one(token, 1)
if not ll.llama_model_has_encoder(model) and ll.llama_decode(context, batch):
    sys.exit(5)
"""


_PROJECTOR_CHILD = """
import sys
import llama_cpp.llama_cpp as ll
import llama_cpp.mtmd_cpp as mtmd
ll.llama_backend_init()
params = ll.llama_model_default_params()
params.vocab_only = True
model = ll.llama_model_load_from_file(sys.argv[1].encode(), params)
shape = mtmd.mtmd_context_params_default()
shape.use_gpu = False
if not mtmd.mtmd_init_from_file(sys.argv[2].encode(), model, shape):
    sys.exit(3)
"""


def check_gguf(path: Path) -> None:
    """Raises ModelError, saying what is wrong, if `path` is no GGUF that llama.cpp can load."""
    _check_magic(path, "convert the model with llama.cpp or download a GGUF of it")
    _check_loads(path)


def check_adapter(path: Path, base: Path) -> None:
    """Raises ModelError if `path` is no LoRA adapter in GGUF of the model `base`, which is good."""
    _check_magic(path, "convert the adapter with llama.cpp's convert_lora_to_gguf.py")
    _check_loads(base, path)


def check_projector(path: Path, base: Path) -> None:
    """Raises ModelError if `path` is no projector in GGUF of the model `base`, which is good."""
    _check_magic(path, "give the mmproj file that comes with the model")
    _check_loads(base, path, child=_PROJECTOR_CHILD, kind="projector")


def _check_magic(path: Path, remedy: str) -> None:
    if not path.exists():
        raise ModelError(f"{path}: no such file; expected a GGUF file")
    if path.is_dir():
        raise ModelError(f"{path}: is a folder; expected a GGUF file, give the file inside it")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if magic != MAGIC:
        raise ModelError(
            f"{path}: not a GGUF file (it starts with {magic!r}, expected {MAGIC!r}); {remedy}"
        )


def _check_loads(*paths: Path, child: str = _CHILD, kind: str = "LoRA adapter") -> None:
    stamp = _stamp(paths, child)
    if stamp.exists():
        return
    _load_in_child(paths, child, kind)
    try:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    except OSError:
        pass  # an unwritable cache folder only means that the file is checked again next time


def _stamp(paths: Sequence[Path], code: str) -> Path:
    files = [(path.resolve(), path.stat()) for path in paths]
    parts = [f"{path}|{status.st_size}|{status.st_mtime_ns}" for path, status in files]
    identity = "|".join([*parts, version("llama-cpp-python"), code])
    return cache_folder() / "checked" / hashlib.sha256(identity.encode()).hexdigest()


def _load_in_child(paths: Sequence[Path], code: str, kind: str) -> None:
    path = paths[-1]
    try:
        child = subprocess.run(
            [sys.executable, "-c", code, *map(str, paths)],
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{path}: loading it took over {TIMEOUT_S} s; it is damaged") from error
    if child.returncode == 0:
        return
    lines = child.stderr.decode("utf-8", "replace").splitlines()
    words = ("error", "assert", "failed to apply")
    reasons = [line.strip() for line in lines if any(word in line.lower() for word in words)]
    reason = reasons[0] if reasons else f"llama.cpp ended with code {child.returncode}"
    wrong = "damaged or not supported by this llama.cpp"
    if len(paths) > 1:
        wrong = f"damaged, or no {kind} of {paths[0]}"
    raise ModelError(f"{path}: {wrong}: {reason}")

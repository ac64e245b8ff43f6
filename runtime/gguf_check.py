"""Proves that a GGUF loads before this process tries it.

llama.cpp aborts the process on some damaged files, so an unknown file is first loaded, and one
token decoded, in a child process. A file that passed is remembered by path, size, time of change
and llama-cpp-python version in the user's cache folder, so that it is checked once.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
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
token = (ll.llama_token * 1)(0)
batch = ll.llama_batch_get_one(token, 1)
if not ll.llama_model_has_encoder(model) and ll.llama_decode(context, batch):
    sys.exit(5)
"""


def check_gguf(path: Path) -> None:
    """Raises ModelError, saying what is wrong, if `path` is no GGUF that llama.cpp can load."""
    if not path.exists():
        raise ModelError(f"{path}: no such file; expected a GGUF model")
    if path.is_dir():
        raise ModelError(f"{path}: is a folder; expected a GGUF file, give the file inside it")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    if magic != MAGIC:
        raise ModelError(
            f"{path}: not a GGUF file (it starts with {magic!r}, expected {MAGIC!r}); "
            "convert the model with llama.cpp or download a GGUF of it"
        )
    stamp = _stamp(path)
    if stamp.exists():
        return
    _load_in_child(path)
    try:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    except OSError:
        pass  # an unwritable cache folder only means that the file is checked again next time


def _stamp(path: Path) -> Path:
    status = path.stat()
    loader = version("llama-cpp-python")
    identity = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{loader}"
    return cache_folder() / "checked" / hashlib.sha256(identity.encode()).hexdigest()


def _load_in_child(path: Path) -> None:
    try:
        child = subprocess.run(
            [sys.executable, "-c", _CHILD, str(path)],
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{path}: loading it took over {TIMEOUT_S} s; it is damaged") from error
    if child.returncode == 0:
        return
    lines = child.stderr.decode("utf-8", "replace").splitlines()
    reasons = [
        line.strip() for line in lines if "error" in line.lower() or "assert" in line.lower()
    ]
    reason = reasons[0] if reasons else f"llama.cpp ended with code {child.returncode}"
    raise ModelError(f"{path}: damaged or not supported by this llama.cpp: {reason}")

"""What saved KV is bound to: it fits only the model, the context and the library it came from."""

from __future__ import annotations

import hashlib
from pathlib import Path

SAMPLES = 64
SAMPLE_BYTES = 64 << 10


def whole_digest(path: Path) -> str:
    """A name for all of a file (32 hex digits), for files that may differ in a single tensor."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, _blake2b).hexdigest()


def _blake2b() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


def fingerprint(path: Path) -> str:
    """A name for the content of a GGUF file (32 hex digits), without reading all of it.

    Covers its size, its first MiB (metadata and the table of tensors) and 64 evenly spaced blocks
    of 64 KiB: a file with other weights differs in nearly every block.
    """
    size = path.stat().st_size
    sha = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
    with path.open("rb") as stream:
        sha.update(stream.read(1 << 20))
        for i in range(SAMPLES):
            stream.seek(max(size - SAMPLE_BYTES, 0) * i // (SAMPLES - 1))
            sha.update(stream.read(SAMPLE_BYTES))
    return sha.hexdigest()

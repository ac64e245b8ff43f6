"""Logits at branch points, kept so that nobody evaluates the end of a prompt a second time.

A fork, `n > 1`, a retry and a repeated request all start from a prompt whose logits are known: its
KV comes from the cache whole, and the first token is drawn without a forward pass. Logits depend on
the tokens alone, so they are addressed by those and outlive whatever the cache parks or drops.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from .base import Logits

DIGEST_BYTES = 16


def prefix_digest(tokens: NDArray[np.int32], namespace: str) -> bytes:
    """A name for a token prefix int32[n] of a namespace (BLAKE2b; equal names never meet)."""
    sha = hashlib.blake2b(digest_size=DIGEST_BYTES)
    sha.update(len(namespace).to_bytes(4, "little") + namespace.encode())
    sha.update(np.ascontiguousarray(tokens).data)
    return sha.digest()


class KeptLogits:
    """float32[n_vocab] rows by prefix digest, least recently used out first. Not thread-safe.

    Args:
        budget_bytes: most memory for rows; 0 keeps none.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._rows: OrderedDict[bytes, Logits] = OrderedDict()
        self.n_bytes = 0

    def get(self, digest: bytes) -> Logits | None:
        """The logits behind the prefix, read-only, or None."""
        row = self._rows.get(digest)
        if row is not None:
            self._rows.move_to_end(digest)
        return row

    def put(self, digest: bytes, logits: Logits) -> None:
        """Keeps a copy of `logits`, unless the prefix has a row or a row exceeds the budget."""
        if digest in self._rows or logits.nbytes > self._budget_bytes:
            return
        row = logits.copy()
        row.flags.writeable = False
        self._rows[digest] = row
        self.n_bytes += row.nbytes
        while self.n_bytes > self._budget_bytes:
            _, oldest = self._rows.popitem(last=False)
            self.n_bytes -= oldest.nbytes

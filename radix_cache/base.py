"""The seam between the cache and whatever holds KV cells.

A *sequence* is llama.cpp's: an id in [0, n_seqs) that names a set of (position -> cell). Copying a
range to another sequence shares its cells; a cell is free once no sequence holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class CacheFull(Exception):
    """No cells or no sequence could be freed now; something else must finish first."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Blob:
    """KV of positions [start, stop) of one sequence, saved in host memory. Immutable.

    `data` is for the store alone to understand; `n_bytes` is what it costs.
    """

    start: int
    stop: int
    data: bytes | memoryview
    n_bytes: int


class KVStore(Protocol):
    """A KV cache of `n_cells` cells shared by `n_seqs` sequences. Not thread-safe."""

    @property
    def n_cells(self) -> int: ...

    @property
    def n_seqs(self) -> int: ...

    @property
    def can_cut(self) -> bool:
        """Whether ranges of a sequence can be copied, removed and saved.

        If not (a recurrent state stands for all tokens so far), only whole sequences can: `start`
        is 0, and `stop` the sequence's length, or -1 to remove.
        """
        ...

    def copy(self, src: int, dst: int, start: int, stop: int) -> None:
        """Shares the cells of `src` at positions [start, stop) with `dst`. Moves no data."""
        ...

    def remove(self, seq: int, start: int, stop: int) -> None:
        """Takes positions [start, stop) from `seq`; `stop` -1 means to the end."""
        ...

    def save(self, seq: int, start: int, stop: int) -> Blob:
        """Copies [start, stop), which is all that `seq` holds, into host memory. The cells stay."""
        ...

    def load(self, blob: Blob, seq: int) -> None:
        """Puts a blob's cells, at their positions, into `seq`, which must be empty.

        Needs `blob.stop - blob.start` free cells. Raises CacheFull if there are none.
        """
        ...

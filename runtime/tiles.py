"""Which rows of a batch are worth computing in the tiles of a CPU's attention kernel.

llama.cpp's flash attention on a CPU (ggml-cpu/ops.cpp) is two kernels. In a batch of fewer than 64
rows each row looks at its own cells only. A larger batch is cut into tiles of 64 rows by 64 cells,
and a tile in which any row attends to any cell is computed whole: less than half the time per pair
if they all do, many times the time if every row has cells of its own. With eight conversations in
one context that was a third of the time of everything. So tiles are filled with rows that attend to
the same cells, of one sequence or of neighbours in the tree, and all others are left for batches
of fewer rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..radix_cache.cache import RadixCache
from ..radix_cache.lease import Lease
from .slices import Slice, first_rows

TILE = 64
"""Rows, and cells, of a tile; from so many rows on a batch is cut into tiles."""

# Time per cell, measured on AVX-512, where 1 is what a row of a small batch takes for a cell that
# it attends to: what each row of a tile takes for a cell that some row there attends to; and what
# moving a cell takes, and a run of cells.
_IN_TILE, _MOVED, _MOVED_RUN = 0.25, 6.0, 40.0


@dataclass(slots=True)
class _Part:
    """Rows of one share that are in the tile; `common` cells are those of the share before it."""

    share: int
    rows: int
    stop: int
    common: int


class Tiles:
    """Chooses the rows of one batch after the other. Owned by the engine's thread.

    Args:
        cache: whose leases the requests hold.
        n_cells: the context's cells.
    """

    def __init__(self, cache: RadixCache, n_cells: int) -> None:
        self._cache = cache
        self._n_cells = n_cells
        self._scattered = 0  # cells that sequences have taken in turn
        self._is_dense_next = True

    def choose(self, slices: list[Slice], n_short: int, most: int, room: int) -> list[Slice]:
        """Rows for the next batch: whole tiles of them, or fewer than `TILE`, in turn.

        Args:
            slices: all that could be evaluated; the first `n_short` are of requests that decode.
            most: the most rows in tiles.
            room: the most rows otherwise.
        """
        dense: list[Slice] = []
        if sum(map(len, slices)) >= TILE:
            dense = self._dense(slices[n_short:] + slices[:n_short])
        first = first_rows(dense, most - most % TILE)
        worth_waiting = {id(piece.request) for piece in dense} if first else ()
        others = [piece for piece in slices if id(piece.request) not in worth_waiting]
        if first and (self._is_dense_next or not others):
            self._is_dense_next = False
            return first
        self._is_dense_next = True
        rows = first_rows(others, min(room, TILE - 1))
        if len(rows) > 1:
            self._scattered += sum(map(len, rows))
        return rows

    def _dense(self, slices: list[Slice]) -> list[Slice]:
        """What is best computed in tiles, once the cells lie well or as they lie."""
        shares = [(s.request.lease, len(s)) for s in slices if s.request.lease is not None]
        used = self._n_cells - self._cache.free_cells
        scattered = min(self._scattered, used)
        rows = rows_in_tiles(shares, used, 0)
        moving = used * _MOVED + self._cache.live_runs * _MOVED_RUN
        is_worth_moving = sum(rows) * scattered * _IN_TILE > moving
        if is_worth_moving and self._is_dense_next:
            is_worth_moving = self._cache.defragment()
            self._scattered *= not is_worth_moving
        if scattered and not is_worth_moving:
            rows = rows_in_tiles(shares, used, scattered)
        return [piece.first(n) for piece, n in zip(slices, rows, strict=True) if n]


def rows_in_tiles(shares: Sequence[tuple[Lease, int]], used: int, scattered: int) -> list[int]:
    """How many of the next rows of each share are best computed in tiles.

    Whole tiles only: the sum is a multiple of `TILE`, so that rows in this order fill them.

    Args:
        shares: sequences, and how many rows each has to compute; neighbours should be related.
        used: about how many cells of the context are in use.
        scattered: in how many of those, about, each sequence has some here and there.
    """
    counts = [0] * len(shares)
    common = [0, *(b.cells_in_common(a) for (a, _), (b, _) in pairwise(shares))]
    left = deque((share, n) for share, (_, n) in enumerate(shares))
    tile: list[_Part] = []
    filled = 0
    while left:
        share, n = left.popleft()
        lease, total = shares[share]
        rows = min(n, TILE - filled)
        tile.append(_Part(share, rows, lease.length + total - n + rows, common[share]))
        filled += rows
        if n > rows:
            left.appendleft((share, n - rows))
        if filled < TILE:
            continue
        if _is_dense(tile, used, scattered):
            for part in tile:
                counts[part.share] += part.rows
        else:  # what follows the first may be better off among itself
            for part in reversed(tile):
                if left and left[0][0] == part.share:
                    left[0] = (part.share, left[0][1] + part.rows)
                else:
                    left.appendleft((part.share, part.rows))
            left.popleft()
        tile, filled = [], 0
    return counts


def _is_dense(tile: Sequence[_Part], used: int, scattered: int) -> bool:
    """Whether a tile's rows take less time in it than alone."""
    alone = sum(part.rows * part.stop for part in tile)
    cells = tile[0].stop + sum(part.stop - part.common for part in tile[1:])
    cells += TILE * len(tile)  # a run of cells begins and ends within tiles
    return TILE * _IN_TILE * min(cells + scattered, used) < alone

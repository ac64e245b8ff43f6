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
from .request import EngineRequest
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


class CellsLost(Exception):
    """The cells were being moved, and could not be put back."""


class Tiles:
    """Chooses the rows of one batch after the other. Owned by the engine's thread.

    Args:
        cache: whose leases the requests hold.
        n_cells: the context's cells.
    """

    LEAST = 16  # rows of a small batch that are for prefill, if there is any

    def __init__(self, cache: RadixCache, n_cells: int) -> None:
        self._cache = cache
        self._n_cells = n_cells
        self._scattered = 0  # cells that sequences have taken in turn
        self._movable = n_cells  # so many cells in use have not been found too many to move
        self._is_dense_next = True
        self._next: EngineRequest | None = None  # whose turn it is where not all fit

    def choose(
        self, decoding: list[Slice], prefill: list[Slice], *, most: int, room: int, may_move: bool
    ) -> list[Slice]:
        """Rows for the next batch: whole tiles of them, or fewer than `TILE`, in turn.

        Args:
            decoding: what requests have to evaluate before they draw again.
            prefill: what else could be evaluated.
            most: the most rows in tiles.
            room: the most rows otherwise.
            may_move: whether cells may be moved, which takes the time of a step or more.

        Raises:
            CellsLost: all that was in the context is gone.
        """
        dense: list[Slice] = []
        most -= most % TILE
        if most > 0 and sum(map(len, decoding)) + sum(map(len, prefill)) >= TILE:
            worthy = self._dense(prefill, decoding, may_move)
            dense = first_rows(worthy, most)
            taken = {id(piece.request) for piece in dense}
            decoding = [piece for piece in decoding if id(piece.request) not in taken]
            taken = {id(piece.request) for piece in worthy}  # for a later batch
            prefill = [piece for piece in prefill if id(piece.request) not in taken]
        is_left = bool(decoding or prefill)
        if dense and (self._is_dense_next or not is_left):
            self._is_dense_next = not is_left
            return dense
        self._is_dense_next = True
        rows = self._small(decoding, prefill, min(room, TILE - 1))
        if len(rows) > 1:
            self._scattered += sum(map(len, rows))
        return rows

    def _small(self, decoding: list[Slice], prefill: list[Slice], room: int) -> list[Slice]:
        """Rows of a batch without tiles; who does not fit comes first in the next one."""
        for at, piece in enumerate(decoding):
            if piece.request is self._next:
                decoding = decoding[at:] + decoding[:at]
        rows = first_rows(decoding, room - min(self.LEAST, room // 2) * bool(prefill))
        served = {id(piece.request) for piece in rows}
        waiting = [piece for piece in decoding if id(piece.request) not in served]
        self._next = waiting[0].request if waiting else None
        return rows + first_rows(prefill, room - sum(map(len, rows)))

    def _dense(self, prefill: list[Slice], decoding: list[Slice], may_move: bool) -> list[Slice]:
        """What is best computed in tiles, once the cells lie well or as they lie."""
        slices = prefill + [piece for piece in decoding if not piece.others]
        shares = [(s.request.lease, len(s)) for s in slices if s.request.lease is not None]
        used = self._n_cells - self._cache.free_cells
        scattered = self._scattered = min(self._scattered, used)
        rows = rows_in_tiles(shares, used, 0)
        moving = used * _MOVED + self._cache.live_runs * _MOVED_RUN
        is_well = may_move and used <= self._movable
        is_well &= sum(rows) * scattered * _IN_TILE > moving
        if is_well and self._is_dense_next:
            is_well = self._move(used)
        if scattered and not is_well:
            rows = rows_in_tiles(shares, used, scattered)
        return [piece.first(n) for piece, n in zip(slices, rows, strict=True) if n]

    def _move(self, used: int) -> bool:
        self._movable = 0  # a move that fails is not tried again
        try:
            is_done = self._cache.defragment()
        except Exception as error:
            raise CellsLost(str(error)) from error
        self._movable = self._n_cells if is_done else used - 1
        self._scattered *= not is_done
        return is_done


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

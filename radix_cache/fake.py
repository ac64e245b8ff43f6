"""An in-memory KV store with llama.cpp's semantics and none of its tolerance, for tests.

Where llama.cpp would silently build a broken sequence (a hole, two cells at one position), the fake
raises ValueError. Each cell also remembers which prefix it was computed after, as real KV does: a
cell moved under other tokens is found by `read` even if its own token is the right one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .base import Blob, CacheFull

_CELL = struct.Struct("<qqq")


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    position: int
    token: int
    prefix: int  # hash of all tokens up to and including this one


def _after(prefix: int, token: int) -> int:
    return hash((prefix, token))


class FakeKVStore:
    """Implements `KVStore`, plus `write` for a fake decoder and `read` for assertions.

    Args:
        can_cut: False makes it refuse to copy, remove or save less than a whole sequence.

    Attributes:
        saves, loads: calls of each kind so far.
        written_tokens, saved_tokens, loaded_tokens: tokens that moved.
        failing_loads: set it to make that many of the next loads raise CacheFull.
    """

    def __init__(
        self, n_cells: int, n_seqs: int, bytes_per_token: int = 8, *, can_cut: bool = True
    ) -> None:
        self._n_cells = n_cells
        self.can_cut = can_cut
        self._bytes_per_token = bytes_per_token
        self._sequences: list[dict[int, _Cell]] = [{} for _ in range(n_seqs)]
        self._holders: dict[_Cell, int] = {}  # cell -> how many sequences hold it
        self.saves = self.loads = 0
        self.written_tokens = self.saved_tokens = self.loaded_tokens = 0
        self.failing_loads = 0

    @property
    def n_cells(self) -> int:
        return self._n_cells

    @property
    def n_seqs(self) -> int:
        return len(self._sequences)

    @property
    def held_cells(self) -> int:
        """Cells that at least one sequence holds."""
        return len(self._holders)

    # --- KVStore ---------------------------------------------------------------------------

    def copy(self, src: int, dst: int, start: int, stop: int) -> None:
        """See `KVStore.copy`. Raises ValueError on a hole in `src` or a position held in `dst`."""
        self._check_whole(src, start, stop)
        source, target = self._sequences[src], self._sequences[dst]
        for position in range(start, stop):
            if position not in source:
                raise ValueError(f"copy [{start}, {stop}): sequence {src} lacks {position}")
            if position in target:
                raise ValueError(f"copy [{start}, {stop}): sequence {dst} already has {position}")
            self._hold(dst, source[position])

    def remove(self, seq: int, start: int, stop: int) -> None:
        """See `KVStore.remove`. Positions that `seq` does not hold are passed over."""
        self._check_whole(seq, start, len(self._sequences[seq]) if stop < 0 else stop)
        for position in [p for p in self._sequences[seq] if start <= p and (stop < 0 or p < stop)]:
            cell = self._sequences[seq].pop(position)
            self._holders[cell] -= 1
            if not self._holders[cell]:
                del self._holders[cell]

    def save(self, seq: int, start: int, stop: int) -> Blob:
        """See `KVStore.save`. Raises ValueError unless `seq` holds exactly [start, stop)."""
        self.saves += 1
        self._check_whole(seq, start, stop)
        cells = tuple(cell for _, cell in sorted(self._sequences[seq].items()))
        if [cell.position for cell in cells] != list(range(start, stop)):
            held = [cell.position for cell in cells]
            raise ValueError(f"save [{start}, {stop}): sequence {seq} holds positions {held}")
        self.saved_tokens += len(cells)
        data = b"".join(_CELL.pack(c.position, c.token, c.prefix) for c in cells)
        return Blob(start, stop, data, len(cells) * self._bytes_per_token)

    def load(self, blob: Blob, seq: int) -> None:
        """See `KVStore.load`. Raises ValueError if `seq` is not empty."""
        self.loads += 1
        if self._sequences[seq]:
            raise ValueError(f"load into sequence {seq}, which holds {len(self._sequences[seq])}")
        if self.failing_loads:
            self.failing_loads -= 1
            raise CacheFull("a load was told to fail")
        cells = [_Cell(*fields) for fields in _CELL.iter_unpack(memoryview(blob.data))]
        self._require_free(len(cells))
        for cell in cells:
            self._hold(seq, cell)
        self.loaded_tokens += len(cells)

    # --- a decoder's side ------------------------------------------------------------------

    def write(self, seq: int, position: int, token: int) -> None:
        """Evaluates one token: takes a free cell for it at the end of `seq`.

        Raises CacheFull if no cell is free, ValueError if `position` is not the next one.
        """
        cells = self._sequences[seq]
        if position in cells or (position and position - 1 not in cells):
            raise ValueError(f"write at {position}: sequence {seq} ends at {len(cells)}")
        self._require_free(1)
        prefix = cells[position - 1].prefix if position else 0
        self._hold(seq, _Cell(position, token, _after(prefix, token)))
        self.written_tokens += 1

    def read(self, seq: int) -> list[int]:
        """The tokens of `seq` in order.

        Raises ValueError on a hole, or on a cell that was computed after other tokens than those
        that precede it here.
        """
        tokens: list[int] = []
        prefix = 0
        for expected, (position, cell) in enumerate(sorted(self._sequences[seq].items())):
            if position != expected:
                raise ValueError(f"sequence {seq}: a hole at {expected}, then {position}")
            prefix = _after(prefix, cell.token)
            if cell.prefix != prefix:
                raise ValueError(f"sequence {seq}: the cell at {position} is of another prefix")
            tokens.append(cell.token)
        return tokens

    def _check_whole(self, seq: int, start: int, stop: int) -> None:
        length = len(self._sequences[seq])
        if not self.can_cut and (start, stop) != (0, length):
            raise ValueError(f"[{start}, {stop}) of sequence {seq}, which is whole: [0, {length})")

    def _hold(self, seq: int, cell: _Cell) -> None:
        self._sequences[seq][cell.position] = cell
        self._holders[cell] = self._holders.get(cell, 0) + 1

    def _require_free(self, n: int) -> None:
        free = self._n_cells - len(self._holders)
        if n > free:
            raise CacheFull(f"{n} cells are needed, {free} of {self._n_cells} are free")

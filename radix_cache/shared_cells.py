"""How many cells sequences take that were copied whole from one another.

A copy shares every cell that its source had at that moment; what either gains later is its own. So
cells come in runs, and a run is free once no sequence has it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class _Run:
    n_cells: int
    holders: int = 0
    locks: int = 0  # holders that are locked


@dataclass(slots=True)
class _Sequence:
    runs: list[_Run]
    is_locked: bool


class SharedCells:
    """The books of a store's cells, by sequence id.

    Attributes:
        used: cells that some sequence holds.
        locked: cells that a locked sequence holds.
    """

    def __init__(self) -> None:
        self.used = self.locked = 0
        self._sequences: dict[int, _Sequence] = {}

    def open(self, seq: int, n_cells: int = 0, *, locked: bool) -> None:
        """A new sequence with `n_cells` cells of its own."""
        self._sequences[seq] = _Sequence([], locked)
        self.grow(seq, n_cells)

    def copy(self, src: int, dst: int, *, locked: bool) -> None:
        """A new sequence `dst` with all cells of `src`."""
        copied = _Sequence(list(self._sequences[src].runs), locked)
        self._sequences[dst] = copied
        for run in copied.runs:
            self._take(run, locked)

    def grow(self, seq: int, n_cells: int) -> None:
        """Adds cells at the end of `seq`."""
        if not n_cells:
            return
        sequence = self._sequences[seq]
        if sequence.runs and sequence.runs[-1].holders == 1:
            sequence.runs[-1].n_cells += n_cells
            self.used += n_cells
            self.locked += n_cells * sequence.is_locked
            return
        run = _Run(n_cells)
        sequence.runs.append(run)
        self._take(run, sequence.is_locked)

    def close(self, seq: int) -> None:
        """The sequence gives up its cells."""
        sequence = self._sequences.pop(seq)
        for run in sequence.runs:
            self._give(run, sequence.is_locked)

    def unlock(self, seq: int) -> None:
        """The sequence keeps its cells, no longer locked."""
        sequence = self._sequences[seq]
        for run in sequence.runs:
            self._take(run, locked=False)
            self._give(run, sequence.is_locked)
        sequence.is_locked = False

    def length(self, seq: int) -> int:
        """How many cells `seq` holds."""
        return sum(run.n_cells for run in self._sequences[seq].runs)

    def locked_in(self, seq: int) -> int:
        """How many cells of `seq` are locked, by it or by others."""
        return sum(run.n_cells for run in self._sequences[seq].runs if run.locks)

    def _take(self, run: _Run, locked: bool) -> None:
        self.used += run.n_cells * (not run.holders)
        self.locked += run.n_cells * (locked and not run.locks)
        run.holders += 1
        run.locks += locked

    def _give(self, run: _Run, locked: bool) -> None:
        run.holders -= 1
        run.locks -= locked
        self.used -= run.n_cells * (not run.holders)
        self.locked -= run.n_cells * (locked and not run.locks)

    def check_integrity(self) -> None:
        """Raises AssertionError where the counts differ from the runs."""
        runs = {run for sequence in self._sequences.values() for run in sequence.runs}
        used = sum(run.n_cells for run in runs)
        locked = sum(run.n_cells for run in runs if run.locks)
        if (used, locked) != (self.used, self.locked):
            raise AssertionError(
                f"cells used, locked: {self.used}, {self.locked} in the books, "
                f"{used}, {locked} counted"
            )

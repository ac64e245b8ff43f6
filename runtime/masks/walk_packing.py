"""Tables of walks as bytes, and back: numbers in as few bytes as they need, nothing executable.

Whoever wrote the bytes can compute a checksum, and no more: they are read with every length, place
and label checked, so that a table that is read is one that a walk could have made.
"""

from __future__ import annotations

import struct
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...lang.automaton.regular_terminal import RegularMachine
from ...lang.ir.measured import Measured
from .byte_trie import ByteTrie
from .terminal_walk import WalkTable

Bounds: TypeAlias = Literal["none", "counted", "measured"]
"""What kind of bounds the labels of a walk are for."""

_KINDS = [np.dtype(name) for name in ("<i1", "<i2", "<i4")]
_COUNT = struct.Struct("<I")


def packed(table: WalkTable) -> bytes:
    """A walk as bytes that `unpacked` reads."""
    order, doors_order = np.argsort(table.inside), np.argsort(table.doors)
    return b"".join(
        (
            _packed_set(table.inside[order]),
            _packed_list(table.label_of[order] if len(table.labels) else table.label_of),
            _COUNT.pack(table.labels.shape[1]),
            _packed_list(table.labels.ravel()),
            _packed_list(table.doors[doors_order]),
            _packed_list(table.door_tallies[doors_order]),
        )
    )


def _packed_set(numbers: NDArray[np.int64]) -> bytes:
    """Ascending numbers: as bits where they are many."""
    size = int(numbers[-1]) + 1 if len(numbers) else 0
    if 32 * len(numbers) <= size:
        return _COUNT.pack(0) + _packed_list(numbers)
    bits = np.zeros(size, dtype=bool)
    bits[numbers] = True
    return _COUNT.pack(-(-size // 8)) + np.packbits(bits).tobytes()


def _packed_list(numbers: NDArray[np.integer]) -> bytes:
    """Numbers in as few bytes each as the largest needs."""
    low, high = int(numbers.min(initial=0)), int(numbers.max(initial=0))
    kind = next(
        n for n, t in enumerate(_KINDS) if np.iinfo(t).min <= low <= high <= np.iinfo(t).max
    )
    return _COUNT.pack(len(numbers)) + bytes((kind,)) + numbers.astype(_KINDS[kind]).tobytes()


def unpacked(data: bytes, trie: ByteTrie, machine: RegularMachine, bounds: Bounds) -> WalkTable:
    """Raises ValueError for bytes that `packed` has not made of such a walk of such a terminal."""
    table = _unpacked(data, trie)
    _check_labels(table, bounds, machine)
    return table


def _unpacked(data: bytes, trie: ByteTrie) -> WalkTable:
    reader = Reader(data)
    inside = reader.set()
    label_of = reader.list()
    width = reader.count()
    flat = reader.list()
    doors = reader.list()
    tallies = reader.list()
    if reader.rest or len(tallies) != len(doors):
        raise ValueError("a walk of another length")
    if not _are_indices(trie.n_entries, inside) or not _are_indices(len(trie), doors):
        raise ValueError("entries or nodes that are none")
    if not 2 <= width <= max(2, len(flat)) or len(flat) % width:
        raise ValueError("labels of another width")
    labels = flat.astype(np.int32).reshape(-1, width)
    return WalkTable(inside, label_of.astype(np.int32), labels, doors, tallies.astype(np.int16))


def _check_labels(table: WalkTable, bounds: Bounds, machine: RegularMachine) -> None:
    """Raises ValueError for labels that bounds of this kind do not understand."""
    if bounds == "none":
        return
    label_of, labels, node = table.label_of, table.labels, machine.node
    n_labels, width = labels.shape
    used = label_of.max(initial=-1)
    fits = len(label_of) == len(table.inside) and label_of.min(initial=0) >= 0 and used < n_labels
    if bounds == "counted":
        fits = fits and width == 2
    elif isinstance(node, Measured):  # states, and units on the way there, from the third place on
        states = labels[:, 2::2]
        fits = fits and width % 2 == 0 and states.max(initial=-1) < len(node.dfa.edges)
    else:
        fits = False
    if not fits:
        raise ValueError("labels of something else")


def _are_indices(limit: int, numbers: NDArray[np.int64]) -> bool:
    """Whether the numbers are indices below a limit, in order and none twice."""
    if not len(numbers):
        return True
    is_ascending = bool((numbers[1:] > numbers[:-1]).all())
    return is_ascending and int(numbers[0]) >= 0 and int(numbers[-1]) < limit


class Reader:
    """Takes bytes from the front. Raises ValueError where they end too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def rest(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        if size > self.rest:
            raise ValueError("the end is missing")
        self._at += size
        return self._data[self._at - size : self._at]

    def count(self) -> int:
        (count,) = _COUNT.unpack(self.take(_COUNT.size))
        assert isinstance(count, int)
        return count

    def set(self) -> NDArray[np.int64]:
        """What `_packed_set` wrote."""
        n_bytes = self.count()
        if not n_bytes:
            return self.list()
        bits = np.frombuffer(self.take(n_bytes), np.uint8)
        return np.flatnonzero(np.unpackbits(bits))

    def list(self) -> NDArray[np.int64]:
        """What `_packed_list` wrote."""
        count = self.count()
        kind = self.take(1)[0]
        if kind >= len(_KINDS):
            raise ValueError("numbers of no kind")
        data = self.take(count * _KINDS[kind].itemsize)
        return np.frombuffer(data, _KINDS[kind]).astype(np.int64)

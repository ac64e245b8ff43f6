"""The table of tensors at the head of a GGUF: which types a file's weights have.

llama.cpp gives no access to it once a model is loaded. The format is described in ggml's
`docs/gguf.md`; everything is little-endian here.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_MOST_DIMENSIONS = 4
_STRING_SIZE = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: `type` is ggml's number (GGML_TYPE_*), `n_elements` the product of its shape."""

    name: str
    type: int
    n_elements: int


@dataclass(frozen=True, slots=True)
class TensorTable:
    """What the head of a file says.

    Attributes:
        n_files: parts that the model is split into; this file is one of them.
    """

    tensors: tuple[Tensor, ...]
    n_files: int


def read_tensors(path: Path) -> TensorTable:
    """Reads the table of tensors. Raises ValueError where the file is no GGUF of version 2 or 3."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _table(_Cursor(data))
        except (struct.error, OverflowError) as error:  # a size may lead anywhere
            raise ValueError(f"{path}: the head of the file is cut short") from error
        except RecursionError as error:
            raise ValueError(f"{path}: arrays are nested too deeply in its metadata") from error


def _table(head: _Cursor) -> TensorTable:
    if head.take(4) != _MAGIC:
        raise ValueError("not a GGUF file")
    version = head.scalar("I")
    if version not in _VERSIONS:
        raise ValueError(f"GGUF version {version}; expected 2 or 3")
    n_tensors, n_values = head.scalar("Q"), head.scalar("Q")
    n_files = 1
    for _ in range(n_values):
        key = head.string()
        value = head.value(head.scalar("I"))
        if key == b"split.count" and isinstance(value, int):
            n_files = max(value, 1)
    return TensorTable(tuple(_tensor(head) for _ in range(n_tensors)), n_files)


def _tensor(head: _Cursor) -> Tensor:
    name = head.string().decode("utf-8")
    n_dimensions = head.scalar("I")
    if n_dimensions > _MOST_DIMENSIONS:
        raise ValueError(f"tensor {name!r} has {n_dimensions} dimensions")
    n_elements = prod(head.scalar("Q") for _ in range(n_dimensions))
    kind = head.scalar("I")
    head.scalar("Q")  # where its data begins
    return Tensor(name, kind, n_elements)


class _Cursor:
    """Reads one thing after the other. Raises struct.error behind the end of the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        if len(found) < size:
            raise struct.error("behind the end of the file")
        self._at += size
        return found

    def scalar(self, code: str) -> int:
        """Floats and booleans come as they are; nobody here looks at them."""
        (found,) = struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))
        return found  # type: ignore[no-any-return]

    def string(self) -> bytes:
        return self.take(self.scalar("Q"))

    def value(self, kind: int) -> object:
        """A metadata value; None for an array, which is only passed over."""
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            self._skip_array()
            return None
        return self.scalar(self._code(kind))

    def _skip_array(self) -> None:
        kind, length = self.scalar("I"), self.scalar("Q")
        if kind == _STRING:
            at, size_at = self._at, _STRING_SIZE.unpack_from
            for _ in range(length):  # a vocabulary: hundreds of thousands
                at += _STRING_SIZE.size + size_at(self._data, at)[0]
            self._skip(at - self._at)
        elif kind == _ARRAY:
            for _ in range(length):
                self._skip_array()
        else:
            self._skip(length * struct.calcsize(f"<{self._code(kind)}"))

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise struct.error("behind the end of the file")

    @staticmethod
    def _code(kind: int) -> str:
        if kind not in _SCALARS:
            raise ValueError(f"a metadata value of unknown type {kind}")
        return _SCALARS[kind]

"""The table of tensors is read as the `gguf` package reads it, and damage is an error."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from gguf import GGUFReader, GGUFWriter

from treegram.runtime.gguf_tensors import read_tensors
from treegram.runtime.loading import load_module

TINY = load_module(Path(__file__).with_name("tiny_models.py"))


@pytest.mark.parametrize("architecture", sorted(TINY.ARCHITECTURES))
def test_as_the_gguf_package_reads_it(tmp_path: Path, architecture: str) -> None:
    path = TINY.write_tiny_model(architecture, tmp_path)
    table = read_tensors(path)
    expected = [
        (t.name, int(t.tensor_type), math.prod(int(n) for n in t.shape))
        for t in GGUFReader(path).tensors
    ]
    assert [(t.name, t.type, t.n_elements) for t in table.tensors] == expected
    assert table.n_files == 1


def small(path: Path) -> bytes:
    """A file with every kind of metadata and no tensors."""
    writer = GGUFWriter(path, "llama")
    writer.add_uint16("split.count", 3)
    writer.add_bool("a.flag", True)
    writer.add_float64("a.number", 0.5)
    writer.add_array("a.list", [1, 2, 3])
    writer.add_array("a.names", ["one", "two", ""])
    writer.add_array("a.nested", [[1, 2], [3]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path.read_bytes()


def test_metadata_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    small(path)
    assert read_tensors(path).n_files == 3


def test_every_cut_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    whole = small(path).rstrip(b"\0")
    for size in range(1, len(whole) - 4):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"cut short|not a GGUF"):
            read_tensors(path)


@pytest.mark.parametrize(
    ("at", "byte", "message"),
    [(0, 0, "not a GGUF"), (4, 9, "version 9"), (15, 255, "cut short"), (23, 127, "cut short")],
)
def test_damage(tmp_path: Path, at: int, byte: int, message: str) -> None:
    path = tmp_path / "damaged.gguf"
    data = bytearray(small(path))
    data[at] = byte
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_tensors(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (struct.pack("<IQQ", 8, 2, 2**64 - 1), "cut short"),
        (struct.pack("<IQ", 9, 1) * 3000, "nested too deeply"),
    ],
    ids=["a string of 2**64 - 1 bytes", "arrays in arrays"],
)
def test_hostile_metadata(tmp_path: Path, value: bytes, message: str) -> None:
    path = tmp_path / "hostile.gguf"
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
    path.write_bytes(head + struct.pack("<I", 9) + value + bytes(64))
    with pytest.raises(ValueError, match=message):
        read_tensors(path)


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.gguf"
    path.touch()
    with pytest.raises(ValueError, match="empty"):
        read_tensors(path)

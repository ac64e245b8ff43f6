"""A file that is no good model is refused with its reason, and this process survives it."""

from __future__ import annotations

from pathlib import Path

import pytest

from treegram.lang.errors import ModelError
from treegram.runtime import gguf_check
from treegram.runtime.gguf_check import check_gguf
from treegram.runtime.runtime import Runtime


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        check_gguf(tmp_path / "none.gguf")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder"):
        check_gguf(tmp_path)


def test_not_a_gguf(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(ModelError, match=r"not a GGUF.*PK"):
        check_gguf(path)


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", ["truncated", "header only", "scrambled metadata", "huge counts"]
)
def test_damaged(embedded_path: Path, tmp_path: Path, damage: str) -> None:
    """Each of these reaches llama.cpp's loader, in a child process."""
    data = bytearray(embedded_path.read_bytes()[: 8 << 20])
    if damage == "header only":
        data = data[:24]
    elif damage == "scrambled metadata":
        data[2000:4000] = bytes(255 - b for b in data[2000:4000])
    elif damage == "huge counts":
        data[8:24] = b"\xff" * 15 + b"\x7f"
    path = tmp_path / "damaged.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="damaged or not supported"):
        check_gguf(path)


@pytest.mark.model
@pytest.mark.slow
def test_a_good_file_is_checked_once(embedded_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_gguf(embedded_path)
    monkeypatch.setattr(gguf_check, "_load_in_child", lambda path: pytest.fail("checked again"))
    check_gguf(embedded_path)


def test_an_unknown_model_name_lists_the_known_ones() -> None:
    with (
        Runtime({"tiny": "tiny.gguf"}) as runtime,
        pytest.raises(ModelError, match=r"'none'.*smollm2, tiny"),
    ):
        runtime.model("none")

"""A file that many processes may open is there whole or not at all."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from treegram.atomic_file import PART_SUFFIX, new_file


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with new_file(tmp_path / "one") as part:
        part.write_text("whole")
        assert names(tmp_path) == [part.name]
        assert part.suffix == PART_SUFFIX
    assert names(tmp_path) == ["one"]
    with suppress(KeyboardInterrupt), new_file(tmp_path / "one") as part:
        part.write_text("hal")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["one"]
    assert (tmp_path / "one").read_text() == "whole"


def test_another_ending(tmp_path: Path) -> None:
    with new_file(tmp_path / "one", ".kind") as part:
        assert part.suffix == ".kind"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_only_this_user_may_read_it(tmp_path: Path) -> None:
    with new_file(tmp_path / "one"):
        pass
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o600


def test_an_error_of_the_block_is_not_hidden(tmp_path: Path) -> None:
    """Also where somebody has removed the file in between."""

    def fail() -> None:
        with new_file(tmp_path / "one") as part:
            part.unlink()
            raise ValueError("the block's")

    with pytest.raises(ValueError, match="the block's"):
        fail()
    assert names(tmp_path) == []

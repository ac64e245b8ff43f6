"""Many processes share the folder: nothing half-written, nothing over the budget."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from treegram.runtime import weights_folder
from treegram.runtime.available_memory import available_memory
from treegram.runtime.weights_folder import IN_USE_S, NoRoom, WeightsFolder


@pytest.fixture(autouse=True)
def little_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_folder, "SPARE_BYTES", 0)


@pytest.fixture
def folder(tmp_path: Path) -> WeightsFolder:
    return WeightsFolder(tmp_path / "weights")


def put(folder: WeightsFolder, name: str, n_bytes: int, hours_ago: float) -> Path:
    path = folder.path / f"{name}.gguf"
    path.write_bytes(bytes(n_bytes))
    path.with_suffix(".json").touch()
    used = time.time() - hours_ago * IN_USE_S
    os.utime(path, (used, used))
    return path


def names(folder: WeightsFolder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


def test_what_was_not_used_for_longest_goes_first(folder: WeightsFolder) -> None:
    for name, hours_ago in (("a", 5), ("b", 9), ("c", 2), ("d", 0.1)):
        put(folder, name, 100, hours_ago)
    folder.make_room(100, 500)
    assert len(names(folder)) == 8
    folder.make_room(150, 400)
    assert names(folder) == ["c.gguf", "c.json", "d.gguf", "d.json"]


@pytest.mark.parametrize(("n_bytes", "most"), [(500, 400), (350, 400)])
def test_what_does_not_fit_removes_nothing(folder: WeightsFolder, n_bytes: int, most: int) -> None:
    put(folder, "idle", 100, 5)
    put(folder, "in-use", 100, 0.1)
    with pytest.raises(NoRoom, match="prepared_bytes"):
        folder.make_room(n_bytes, most)
    assert len(names(folder)) == 4


def test_a_disk_without_room(folder: WeightsFolder) -> None:
    put(folder, "idle", 100, 5)
    with pytest.raises(NoRoom, match="of disk"):
        folder.make_room(1 << 60, 1 << 61)
    assert len(names(folder)) == 2


def test_what_a_killed_process_left_goes(folder: WeightsFolder) -> None:
    for name, hours_ago in (("new.part", 0.5), ("old.part", 2.0)):
        (folder.path / name).touch()
        used = time.time() - hours_ago * IN_USE_S
        os.utime(folder.path / name, (used, used))
    folder.make_room(1, 100)
    assert names(folder) == ["new.part"]


def test_one_at_a_time(folder: WeightsFolder) -> None:
    order: list[str] = []
    entered = threading.Event()

    def other() -> None:
        entered.set()
        with folder.alone("name"):
            order.append("other")

    with folder.alone("name"), folder.alone("another name"):
        thread = threading.Thread(target=other)
        thread.start()
        entered.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_the_folder_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(PermissionError, match="another user"):
        WeightsFolder(tmp_path)


# --- memory ------------------------------------------------------------------------------------


def test_memory_is_the_lesser_of_machine_and_container(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 2000 kB\nMemAvailable: 1000 kB\n")
    assert available_memory(meminfo, tmp_path) == 1000 << 10
    (tmp_path / "memory.current").write_text("500000\n")
    (tmp_path / "memory.stat").write_text("anon 100000\ninactive_file 200000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(meminfo, tmp_path) == 1000 << 10
    (tmp_path / "memory.max").write_text("600000\n")
    assert available_memory(meminfo, tmp_path) == 300000


def test_memory_of_an_unknown_system(tmp_path: Path) -> None:
    assert available_memory(tmp_path / "none", tmp_path) is None

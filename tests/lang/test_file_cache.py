"""Files of a cache: what was kept under a key comes back, or nothing does; never an exception."""

from __future__ import annotations

import hashlib
import logging
import os
import resource
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from treegram.lang.compiler.code_identity import code_identity
from treegram.lang.compiler.file_cache import FileCache

KEY = hashlib.sha256(b"key").hexdigest()
CONTENT = bytes(range(200))
HEADER_BYTES = len(b"treegram thing\n")


def cache_in(folder: Path, limit_bytes: int = 1 << 20) -> FileCache:
    return FileCache(folder, "thing", limit_bytes)


@pytest.mark.parametrize("at", [0, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 31, -1, -100])
@pytest.mark.parametrize("damage", ["flip", "cut", "repeat"])
def test_damage_anywhere_is_found_and_logged(
    tmp_path: Path, at: int, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In the header, the checksum and the content."""
    cache = cache_in(tmp_path)
    cache.keep(KEY, CONTENT)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    at %= len(good)
    bad = {
        "flip": good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :],
        "cut": good[:at],
        "repeat": good[: at + 1] + good[at:],
    }
    path.write_bytes(bad[damage])
    with caplog.at_level(logging.WARNING):
        assert cache.load(KEY) is None
    assert [path.name in record.getMessage() for record in caplog.records] == [True]
    assert not path.exists()
    cache.keep(KEY, CONTENT)
    assert cache.load(KEY) == CONTENT


def test_kinds_do_not_see_each_other(tmp_path: Path) -> None:
    cache_in(tmp_path).keep(KEY, CONTENT)
    other = FileCache(tmp_path, "other", 300)
    assert other.load(KEY) is None
    for n in range(9):
        other.keep(hashlib.sha256(bytes([n])).hexdigest(), CONTENT)
    assert sum(path.suffix == ".other" for path in tmp_path.iterdir()) == 1
    assert cache_in(tmp_path).load(KEY) == CONTENT


def test_readers_see_whole_contents_while_writers_race(tmp_path: Path) -> None:
    """Also while the limit removes what others are reading."""
    keys = [hashlib.sha256(bytes([n])).hexdigest() for n in range(4)]
    wrong: list[bytes] = []

    def work(seed: int) -> None:
        cache = cache_in(tmp_path, limit_bytes=3 * 3000)
        for n in range(60):
            key = keys[(seed + n) % 4]
            cache.keep(key, key.encode() * (30 + n % 9))
            found = cache.load(keys[n % 4])
            if found is not None and set(found.split(keys[n % 4].encode())) != {b""}:
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert all(path.suffix == ".thing" and path.name[0] != "." for path in tmp_path.iterdir())


@contextmanager
def unprivileged() -> Iterator[None]:
    """As a user who is not root, for whom permissions mean nothing."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_folder_is_still_read() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = cache_in(folder)
        cache.keep(KEY, CONTENT)
        (path,) = folder.iterdir()
        path.chmod(0o444)
        folder.chmod(0o555)
        other = hashlib.sha256(b"other").hexdigest()
        with unprivileged():
            assert cache.load(KEY) == CONTENT
            cache.keep(other, CONTENT)
            assert cache.load(other) is None
        folder.chmod(0o755)
        assert [path.name for path in folder.iterdir()] == [f"{KEY}.thing"]


def test_a_full_disk_keeps_nothing(tmp_path: Path) -> None:
    """No file may grow beyond 100 bytes, which is how a full disk ends a write: with an OSError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        cache_in(tmp_path).keep(KEY, CONTENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_code_is_told_apart_by_its_content(tmp_path: Path) -> None:
    """Not by sizes and times, which installers can make alike for two releases."""
    identity = code_identity.__wrapped__
    module = tmp_path / "module.py"
    found: list[bytes | None] = []
    for content in ("LIMIT = 20", "LIMIT = 30", "LIMIT = 20"):
        module.write_text(content)
        os.utime(module, (1, 1))
        found.append(identity(tmp_path))
    assert found[0] is not None
    assert found[0] == found[2] != found[1]
    module.rename(tmp_path / "other.py")
    assert identity(tmp_path) not in found


def test_code_that_was_edited_while_it_runs_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("LIMIT = 20")
    assert code_identity.__wrapped__(tmp_path) is None


def test_code_in_an_archive_is_unknown(tmp_path: Path) -> None:
    assert code_identity.__wrapped__(tmp_path / "archive.zip" / "lang") is None

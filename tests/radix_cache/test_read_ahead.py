"""What waits is kept and read ahead; a late, failed or needless read changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from treegram.radix_cache import FakeKVStore, RadixCache
from treegram.radix_cache.base import Blob
from treegram.radix_cache.disk import SUFFIX, DiskFile, DiskFolder
from treegram.radix_cache.read_ahead import ReadAhead

PROMPT = list(range(100, 120))


class SlowFolder(DiskFolder):
    """Reads ahead only once it may."""

    def __init__(self, folder: Path) -> None:
        self.may_read = threading.Event()
        self.peeked: list[DiskFile] = []
        self.waited_for: list[DiskFile] = []
        super().__init__(folder, "model")

    def peek(self, file: DiskFile) -> Blob | None:
        self.peeked.append(file)
        assert self.may_read.wait(20)
        return super().peek(file)

    def read(self, file: DiskFile) -> Blob | None:
        self.waited_for.append(file)
        return super().read(file)


class Process:
    """A cache over a store and a folder, as one process has them."""

    def __init__(self, folder: DiskFolder | None, host_bytes: int = 1 << 20) -> None:
        ticks = count(1)
        self.store = FakeKVStore(256, 8)
        self.cache = RadixCache(
            self.store,
            host_bytes=host_bytes,
            folder=folder,
            disk_bytes=1 << 20,
            policy="lru",
            idle_cells=0,
            clock=lambda: float(next(ticks)),
        )

    def run(self, tokens: list[int]) -> int:
        """A whole request; how many of its tokens were cached."""
        lease = self.cache.acquire(tokens)
        cached = lease.length
        assert self.store.read(lease.seq) == tokens[:cached]
        assert self.cache.reserve(len(tokens) - cached)
        for position in range(cached, len(tokens)):
            self.store.write(lease.seq, position, tokens[position])
        self.cache.extend(lease, len(tokens) - cached)
        self.cache.commit(lease, tokens)
        self.cache.release(lease)
        self.cache.trim_idle()
        self.cache.check_integrity()
        return cached


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SlowFolder]:
    """One in which `PROMPT` and what goes on from it are saved, by a process that has ended."""
    first = Process(DiskFolder(tmp_path, "model"))
    first.run([*PROMPT, 1, 2])
    first.run([*PROMPT, 3])
    first.cache.close()
    folder = SlowFolder(tmp_path)
    yield folder
    folder.may_read.set()
    folder.close()


def test_what_a_waiting_request_will_find_is_read_before_it_comes(folder: SlowFolder) -> None:
    process = Process(folder)
    cache = process.cache
    folder.may_read.set()

    def is_read() -> bool:
        cache.expect([*PROMPT, 3, 4])
        return cache.stats().stored_tokens == 2  # the other branch

    until(is_read)
    cache.check_integrity()
    for file in folder.peeked:
        file.path.unlink()  # whoever read it now would find nothing
    assert process.run([*PROMPT, 3, 4]) == 21


def test_a_request_waits_for_no_other_read_than_its_own(folder: SlowFolder) -> None:
    process = Process(folder)
    process.cache.expect([*PROMPT, 3])
    process.cache.expect([*PROMPT, 1, 2])
    until(lambda: bool(folder.peeked))
    first = folder.peeked[0]
    assert (first.start, first.stop) == (0, 20)
    threading.Timer(0, folder.may_read.set).start()
    assert process.run([*PROMPT, 3]) == 21, "the prompt as soon as it was read"
    assert process.run([*PROMPT, 1, 2]) == 22
    assert folder.peeked.count(first) == 1
    assert first not in folder.waited_for


def test_what_is_forgotten_while_it_is_read_stays_forgotten(folder: SlowFolder) -> None:
    process = Process(folder)
    process.cache.expect([*PROMPT, 3])
    until(lambda: bool(folder.peeked))
    process.cache.clear()
    folder.may_read.set()
    assert process.run([*PROMPT, 3]) == 0
    process.cache.expect([*PROMPT, 3])
    assert process.run([*PROMPT, 3]) == 21


def test_a_failed_read_is_left_to_who_needs_it(
    folder: SlowFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(folder)
    for path in tmp_path.glob(f"*{SUFFIX}"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    folder.may_read.set()
    process.cache.expect([*PROMPT, 3])
    until(lambda: bool(folder.peeked))
    assert not caplog.records
    assert process.run([*PROMPT, 3]) == 0
    assert "damaged" in caplog.text


def test_what_is_read_ahead_stays_within_the_memory(folder: SlowFolder) -> None:
    cache = Process(folder, host_bytes=21 * 8).cache
    folder.may_read.set()
    for end in ([3], [1, 2]):
        # of a prompt and its two ends, 23 tokens, what nobody waits for gives way
        while cache.match([*PROMPT, *end]) and cache.stats().read_tokens_total < 20 + len(end):
            cache.expect([*PROMPT, *end])
            assert cache.stats().host_bytes <= 21 * 8
            cache.check_integrity()


def test_few_files_are_read_and_those_that_are_claimed_are_not() -> None:
    may_read, begun = threading.Event(), threading.Event()
    blob = Blob(0, 1, b"", 1)

    def read(_: DiskFile) -> Blob:
        begun.set()
        assert may_read.wait(20)
        return blob

    ahead = ReadAhead(read)
    files = [DiskFile(Path(), 0, 1, 1, 1) for _ in range(ReadAhead.READS + 1)]
    assert [ahead.start(file) for file in files] == [True] * ReadAhead.READS + [False]
    assert not ahead.start(files[0])
    assert begun.wait(20)
    assert ahead.take() is None
    assert ahead.claim(files[1]) is None
    assert ahead.start(files[-1])
    may_read.set()
    assert ahead.claim(files[0]) is blob
    found = set[DiskFile]()
    while len(found) < 3:
        if (taken := ahead.take()) is not None:
            found.add(taken[0])
    assert found == {*files[2:]}
    ahead.close()
    ahead.close()
    assert not ahead.start(files[0])


def test_what_waits_outlives_what_was_used_after_it() -> None:
    process = Process(None, host_bytes=8 * 8)
    for first in range(4):
        process.run([first, first])
    process.cache.expect([0, 0, 5])
    process.cache.expect([9, 9])  # nothing is known of it
    for first in range(4, 7):
        process.run([first, first])
    assert [process.cache.match([n, n]) for n in range(7)] == [2, 0, 0, 0, 2, 2, 2]

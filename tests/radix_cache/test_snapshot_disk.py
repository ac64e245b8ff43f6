"""Snapshots on disk: a restart finds what was saved."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from processes import SnapshotProcess, files, flip

PROMPT = list(range(100, 110))


def test_a_second_process_evaluates_nothing_of_what_the_first_had(tmp_path: Path) -> None:
    first = SnapshotProcess(tmp_path)
    first.run([*PROMPT, 1, 2])
    first.run([*PROMPT, 3])  # stops where it leaves the first
    first.run([7, 8, 9], "tenant")
    first.cache.close()
    assert len(files(tmp_path)) == 4
    second = SnapshotProcess(tmp_path)
    second.check()
    assert second.cache.stats().stored_tokens == 12 + 1 + 3
    assert second.run([*PROMPT, 4, 5]) == 10
    assert second.run([*PROMPT, 1, 2, 3]) == 12
    assert second.run([7, 8, 9, 9], "tenant") == 3
    assert second.run([7, 8, 9]) == 0
    assert second.store.written_tokens == 2 + 1 + 1 + 3
    stats = second.cache.stats()
    assert stats.read_tokens_total == stats.restored_tokens_total == 10 + 12 + 3


def test_what_is_pinned_is_written_too(tmp_path: Path) -> None:
    first = SnapshotProcess(tmp_path, idle_cells=0)
    first.run(PROMPT, pin="shots")
    first.cache.close()
    second = SnapshotProcess(tmp_path)
    assert second.cache.pins() == ()
    assert second.run(PROMPT, pin="shots") == 10
    second.flood()
    assert second.store.written_tokens == 30 * 4


def test_what_leaves_host_memory_is_stored_and_comes_back(tmp_path: Path) -> None:
    process = SnapshotProcess(tmp_path, n_cells=24, host_bytes=20 * 8, idle_cells=0)
    prompts = [[i, *PROMPT[1:]] for i in range(8)]
    assert [process.run(prompt) for prompt in prompts] == [0] * 8
    assert process.cache.stats().stored_tokens == 60
    assert [process.run([*prompt, 1]) for prompt in prompts] == [10] * 8
    assert process.cache.stats().host_bytes <= 20 * 8


@pytest.mark.parametrize("host_bytes", [0, 50])
def test_a_snapshot_too_large_for_host_memory_drives_nothing_out_of_it(
    tmp_path: Path, host_bytes: int
) -> None:
    process = SnapshotProcess(tmp_path, host_bytes=host_bytes, idle_cells=0)
    process.run([9, 9])
    process.run(PROMPT)
    stats = process.cache.stats()
    assert stats.host_bytes == min(host_bytes, 16)
    assert stats.parked_tokens == 12
    assert process.run([*PROMPT, 1]) == 10
    assert process.run([9, 9, 1]) == 2


def test_the_budget_drops_what_was_used_longest_ago(tmp_path: Path) -> None:
    one = SnapshotProcess(tmp_path / "one")
    one.run([0, *PROMPT])
    one.cache.close()
    (file,) = files(tmp_path / "one")
    size = file.stat().st_size
    two = SnapshotProcess(tmp_path / "two", disk_bytes=3 * size)
    for i in range(5):
        two.run([i, *PROMPT])
    two.cache.expect([1, *PROMPT])
    two.cache.close()
    assert sum(f.stat().st_size for f in files(tmp_path / "two")) <= 3 * size
    again = SnapshotProcess(tmp_path / "two", disk_bytes=3 * size)
    assert [again.cache.match([i, *PROMPT]) for i in range(5)] == [0, 11, 0, 11, 11]


def test_a_request_that_branches_off_a_stored_edge_leaves_its_snapshot_alone(
    tmp_path: Path,
) -> None:
    first = SnapshotProcess(tmp_path)
    first.run(PROMPT)
    first.cache.close()
    second = SnapshotProcess(tmp_path)
    assert second.run([*PROMPT[:6], 1]) == 0  # stops at 6
    assert second.run([*PROMPT[:6], 2]) == 6
    assert second.run([*PROMPT, 3]) == 10
    second.cache.close()
    assert len(files(tmp_path)) == 5


def test_what_is_live_is_saved_at_the_end_without_host_memory(tmp_path: Path) -> None:
    first = SnapshotProcess(tmp_path, host_bytes=0)
    first.run(PROMPT)
    first.cache.close()
    assert SnapshotProcess(tmp_path).run([*PROMPT, 1]) == 10


def test_after_a_restart_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    first = SnapshotProcess(tmp_path)
    for i in range(3):
        first.run([i, *PROMPT])
    first.cache.close()
    start = np.array([1, *PROMPT], "<i4").tobytes()
    (oldest,) = (path for path in files(tmp_path) if start in path.read_bytes())
    os.utime(oldest, (1e9, 1e9))
    second = SnapshotProcess(tmp_path, disk_bytes=2 * oldest.stat().st_size)
    assert [second.cache.match([i, *PROMPT]) for i in range(3)] == [11, 0, 11]


def test_what_was_evaluated_although_it_is_stored_is_at_hand(tmp_path: Path) -> None:
    """A prompt's last token is evaluated in any case, for its logits."""
    first = SnapshotProcess(tmp_path)
    first.run(PROMPT)
    first.run([*PROMPT, 1, 2])
    first.cache.close()
    second = SnapshotProcess(tmp_path)
    lease = second.cache.acquire(PROMPT, len(PROMPT) - 1)
    second.prefill(lease, PROMPT)
    second.evaluate(lease, [1, 2])
    second.cache.commit(lease, [*PROMPT, 1, 2])
    second.cache.release(lease)
    for path in files(tmp_path):
        path.unlink()
    assert second.run([*PROMPT, 3]) == 10
    assert second.run([*PROMPT, 1, 2, 3]) == 12


def test_what_was_prefilled_in_chunks_is_written_through(tmp_path: Path) -> None:
    first = SnapshotProcess(tmp_path, writes_through=True)
    lease = first.cache.acquire(PROMPT)
    for stop in (4, 10):
        first.evaluate(lease, PROMPT[lease.length : stop])
        first.cache.commit(lease, PROMPT[:stop])
    first.cache.release(lease)
    first.check()
    stats = first.cache.stats()
    assert (stats.live_tokens, stats.host_bytes, stats.written_tokens_total) == (10, 0, 10)
    first.cache.release(first.cache.acquire(PROMPT))
    assert first.cache.stats().written_tokens_total == 10, "written once"
    first.close_folder()
    assert SnapshotProcess(tmp_path).run([*PROMPT, 1]) == 10


def test_files_of_another_binding_are_no_business_of_ours(tmp_path: Path) -> None:
    first = SnapshotProcess(tmp_path, binding="another model")
    first.run(PROMPT)
    first.cache.close()
    second = SnapshotProcess(tmp_path)
    assert second.run(PROMPT) == 0
    second.cache.close()
    assert len(files(tmp_path)) == 2


DAMAGES: dict[str, Callable[[Path], object]] = {
    "head": partial(flip, at=0.1),
    "tokens": partial(flip, at=0.4),
    "state": partial(flip, at=0.8),
    "cut short": lambda path: os.truncate(path, path.stat().st_size // 2),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("when", ["before the start", "while running"])
@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_file_is_left_out_and_said_so(
    tmp_path: Path, what: str, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The snapshot above it is found instead."""
    for tokens in (PROMPT[:4], PROMPT):
        first = SnapshotProcess(tmp_path)
        first.run(tokens)
        first.cache.close()
    path = max(files(tmp_path), key=lambda path: path.stat().st_size)
    if when == "before the start":
        DAMAGES[what](path)
    second = SnapshotProcess(tmp_path)
    if when == "while running":
        DAMAGES[what](path)
    with caplog.at_level(logging.WARNING):
        second.cache.release(second.cache.acquire([*PROMPT, 1]))
    assert second.cache.match([*PROMPT, 1]) == 4
    assert second.run([*PROMPT, 1]) == 4
    assert second.store.loads == 1
    if what != "gone" or when == "while running":
        assert "left out" in caplog.text
    assert second.run([*PROMPT, 1, 1]) == 11, "evaluated again since"


def test_what_waits_is_read_ahead(tmp_path: Path) -> None:
    first = SnapshotProcess(tmp_path)
    first.run(PROMPT)
    first.cache.close()
    second = SnapshotProcess(tmp_path)
    deadline = time.monotonic() + 20
    while second.cache.stats().stored_tokens:
        second.cache.expect([*PROMPT, 1])
        second.check()
        assert time.monotonic() < deadline
    for path in files(tmp_path):
        path.unlink()  # whoever read it now would find nothing
    assert second.run([*PROMPT, 1]) == 10


def test_a_full_disk_costs_only_the_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process = SnapshotProcess(tmp_path, host_bytes=100, idle_cells=0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    process.run(PROMPT)
    process.flood()
    process.run([*PROMPT, 1])
    process.cache.close()
    assert "No space left on device" in caplog.text
    assert files(tmp_path) == []


def serve(folder: Path) -> None:
    """What the process does that is killed: this file, run as a script."""
    process = SnapshotProcess(folder, writes_through=True)
    process.run([*PROMPT, 1, 2])
    process.run([*PROMPT, 3])
    print(process.cache.stats().written_tokens_total, flush=True)
    signal.pause()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no signals here")
def test_what_was_written_through_outlives_a_process_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == f"{12 + 10 + 11}\n"
            deadline = time.monotonic() + 20
            while len(files(tmp_path)) < 3:  # another thread of the child writes them
                assert time.monotonic() < deadline
        finally:
            child.kill()
    second = SnapshotProcess(tmp_path)
    assert second.run([*PROMPT, 4]) == 10
    assert second.run([*PROMPT, 3, 4]) == 11
    assert second.run([*PROMPT, 1, 2, 3]) == 12


if __name__ == "__main__":
    serve(Path(sys.argv[1]))

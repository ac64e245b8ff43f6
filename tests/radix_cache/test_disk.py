"""The disk tier: what comes back is what was written, and nothing else is ever loaded."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from processes import BINDING, TreeProcess, files, flip

from treegram.atomic_file import PART_SUFFIX
from treegram.radix_cache import CacheFull, Lease
from treegram.radix_cache.base import Blob
from treegram.radix_cache.disk import (
    PART_SECONDS,
    PENDING_WRITES,
    RETRY_SECONDS,
    SUFFIX,
    DiskFolder,
)
from treegram.radix_cache.tree import TokenArray

PROMPT = list(range(100, 120))


def test_a_second_process_evaluates_nothing_of_what_the_first_had(tmp_path: Path) -> None:
    first = TreeProcess(tmp_path)
    first.run([*PROMPT, 1, 2])
    first.run([*PROMPT, 3])
    first.run([7, 8, 9], "tenant")
    first.cache.close()
    second = TreeProcess(tmp_path)
    second.cache.check_integrity()
    assert second.cache.stats().stored_tokens == 22 + 1 + 3
    assert second.run([*PROMPT, 3, 4]) == 21
    assert second.run([*PROMPT, 1, 2]) == 22
    assert second.run([7, 8, 9, 9], "tenant") == 3
    assert second.run([7, 8, 9]) == 0
    assert second.store.written_tokens == 1 + 1 + 3


def test_what_was_written_through_outlives_a_process_that_saves_nothing(tmp_path: Path) -> None:
    first = TreeProcess(tmp_path, writes_through=True)
    first.run([*PROMPT, 1, 2])
    first.run([*PROMPT, 3])
    stats = first.cache.stats()
    assert stats.live_tokens == stats.written_tokens_total == 23
    assert stats.host_bytes == 0
    first.cache.park_idle()
    first.cache.check_integrity()
    assert first.cache.stats().written_tokens_total == stats.written_tokens_total
    first.close_folder()
    second = TreeProcess(tmp_path)
    assert second.run([*PROMPT, 3, 4]) == 21
    assert second.run([*PROMPT, 1, 2]) == 22


def test_a_prefix_that_branches_inside_a_file_is_cut_there(tmp_path: Path) -> None:
    first = TreeProcess(tmp_path)
    first.run(PROMPT)
    first.cache.close()
    second = TreeProcess(tmp_path)
    assert second.run([*PROMPT[:9], 1, 2, 3]) == 9
    second.cache.close()
    third = TreeProcess(tmp_path)
    assert third.run([*PROMPT[:9], 1, 2, 3]) == 12
    assert third.run(PROMPT) == 20
    third.cache.close()
    assert len(files(tmp_path)) == 2


def test_what_leaves_host_memory_is_stored_and_comes_back(tmp_path: Path) -> None:
    process = TreeProcess(tmp_path, n_cells=24, host_bytes=20 * 8)
    prompts = [[i, *PROMPT[1:12]] for i in range(8)]
    for prompt in prompts:
        assert process.run(prompt) == 0
    assert process.cache.stats().stored_tokens > 0
    for prompt in prompts:
        assert process.run(prompt) == 12
    stats = process.cache.stats()
    assert stats.host_bytes <= 20 * 8
    assert stats.written_tokens_total == 8 * 12, "a prefix is written once"


def test_another_process_leaves_what_goes_on_from_a_prefix_in_memory(tmp_path: Path) -> None:
    """The first has what two branches share in its cells; only the branches are in files."""
    first = TreeProcess(tmp_path, writes_through=False)
    lease = first.cache.acquire(PROMPT)
    first.evaluate(lease, PROMPT)
    first.cache.commit(lease, PROMPT)
    first.run([*PROMPT, 1, 2])
    first.cache.park_idle()
    branch = first.cache.match([*PROMPT, 1, 2])
    first.cache.close()  # all files; as if it were still running, its first one is not there yet
    beginning = next(path for path in files(tmp_path) if b'"start": 0,' in path.read_bytes())
    content = beginning.read_bytes()
    beginning.unlink()
    second = TreeProcess(tmp_path)
    assert second.cache.match([*PROMPT, 1, 2]) == 0
    assert len(files(tmp_path)) == 1
    beginning.write_bytes(content)
    third = TreeProcess(tmp_path)
    assert third.run([*PROMPT, 1, 2]) == branch
    small = TreeProcess(tmp_path, disk_bytes=0)
    assert (small.cache.match(PROMPT), files(tmp_path)) == (0, [])


def test_the_budget_drops_what_was_used_longest_ago(tmp_path: Path) -> None:
    one = TreeProcess(tmp_path / "one")
    one.run([0, *PROMPT])
    one.cache.close()
    size = files(tmp_path / "one")[0].stat().st_size
    process = TreeProcess(tmp_path / "two", n_cells=32, host_bytes=200, disk_bytes=3 * size)
    for i in range(6):
        process.run([i, *PROMPT])
    process.cache.close()
    assert sum(f.stat().st_size for f in files(tmp_path / "two")) <= 3 * size
    again = TreeProcess(tmp_path / "two", disk_bytes=3 * size)
    assert [again.cache.match([i, *PROMPT]) for i in range(6)] == [0, 0, 0, 21, 21, 21]


def test_files_of_another_binding_are_left_alone_until_their_room_is_needed(
    tmp_path: Path,
) -> None:
    first = TreeProcess(tmp_path, binding="another model")
    first.run(PROMPT)
    first.cache.close()
    size = files(tmp_path)[0].stat().st_size
    second = TreeProcess(tmp_path, disk_bytes=4 * size)
    assert second.run(PROMPT) == 0
    second.cache.close()
    assert len(files(tmp_path)) == 2
    third = TreeProcess(tmp_path, disk_bytes=size + size // 2)
    assert third.cache.match(PROMPT) == 20
    assert len(files(tmp_path)) == 1


def damages() -> Iterator[tuple[str, Callable[[Path], object]]]:
    for at in (0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999, 1.0):
        yield f"a byte at {at}", partial(flip, at=at)
    yield "cut short", lambda p: os.truncate(p, p.stat().st_size // 2)
    yield "grown", lambda p: p.write_bytes(p.read_bytes() + b"x")
    yield "empty", lambda p: p.write_bytes(b"")
    yield "gone", lambda p: p.unlink()


@pytest.mark.parametrize("when", ["before the start", "while running"])
@pytest.mark.parametrize(("what", "damage"), list(damages()))
def test_a_damaged_file_is_left_out_and_said_so(
    tmp_path: Path,
    what: str,
    damage: Callable[[Path], object],
    when: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = TreeProcess(tmp_path)
    first.run(PROMPT)
    first.cache.close()
    (path,) = files(tmp_path)
    if when == "before the start":
        damage(path)
    second = TreeProcess(tmp_path)
    if when == "while running":
        damage(path)
    with caplog.at_level(logging.WARNING):
        assert second.run(PROMPT) == 0
    assert second.store.loads == 0
    if what != "gone" or when == "while running":
        assert "left out" in caplog.text
    assert second.run(PROMPT) == 20


def test_a_lost_prefix_takes_what_goes_on_from_it_along(tmp_path: Path) -> None:
    first = TreeProcess(tmp_path)
    first.run(PROMPT)
    first.run([*PROMPT, 1, 2])
    first.run([*PROMPT, 3, 4])
    first.cache.close()
    second = TreeProcess(tmp_path)
    shortest = min(files(tmp_path), key=lambda f: f.stat().st_mtime_ns)
    for path in files(tmp_path):
        if b'"start": 0,' in path.read_bytes():
            shortest = path
    shortest.unlink()
    assert second.run([*PROMPT, 1, 2]) == 0
    assert second.run([*PROMPT, 3, 4]) == 20, "recomputed since"
    second.cache.check_integrity()


def test_a_file_of_another_key_is_never_loaded(tmp_path: Path) -> None:
    first = TreeProcess(tmp_path)
    first.run(PROMPT)
    first.cache.close()
    (tmp_path / "key").write_bytes(bytes(32))
    second = TreeProcess(tmp_path)
    assert second.cache.match(PROMPT) == 0
    assert files(tmp_path) == []


def test_links_and_strangers_files_are_not_followed(tmp_path: Path) -> None:
    first = TreeProcess(tmp_path / "a")
    first.run(PROMPT)
    first.cache.close()
    (path,) = files(tmp_path / "a")
    (tmp_path / "b").mkdir(mode=0o700)
    (tmp_path / "b" / "key").write_bytes((tmp_path / "a" / "key").read_bytes())
    (tmp_path / "b" / path.name).symlink_to(path)
    assert TreeProcess(tmp_path / "b").cache.match(PROMPT) == 0
    assert path.exists()


def test_the_folder_is_for_its_user_alone(tmp_path: Path) -> None:
    process = TreeProcess(tmp_path / "kv")
    process.run(PROMPT)
    process.cache.close()
    assert (tmp_path / "kv").stat().st_mode & 0o077 == 0
    assert all(p.stat().st_mode & 0o077 == 0 for p in (tmp_path / "kv").iterdir())


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners of files here")
@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "kv"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(PermissionError, match=f"by others .mode {mode:o}.*chmod go-w"):
        DiskFolder(folder, BINDING)
    assert not (folder / "key").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(tmp_path: Path) -> None:
    process = TreeProcess(tmp_path)
    os.mkfifo(tmp_path / f"pipe{SUFFIX}", 0o600)
    assert process.folder.scan() == []
    process.cache.close()
    (tmp_path / "key").unlink()
    os.mkfifo(tmp_path / "key", 0o600)
    with pytest.raises(PermissionError, match="key: it is no plain file of this user; remove it"):
        DiskFolder(tmp_path, BINDING)


@pytest.mark.parametrize("when", ["before the start", "while running"])
def test_no_file_stands_for_another(tmp_path: Path, when: str) -> None:
    """Both were written by this user's process, so each is right by itself."""
    first = TreeProcess(tmp_path)
    first.run(PROMPT, "tenant a")
    first.run([t + 50 for t in PROMPT], "tenant b")
    first.cache.close()
    paths = {b"tenant b" in path.read_bytes(): path for path in files(tmp_path)}
    second = TreeProcess(tmp_path)
    os.replace(paths[True], paths[False])
    if when == "before the start":
        second.cache.close()
        second = TreeProcess(tmp_path)
    assert second.run(PROMPT, "tenant a") == 0
    assert second.store.loads == 0


def test_a_file_of_another_binding_under_a_known_name_is_not_read(tmp_path: Path) -> None:
    """Nothing of its head is authenticated, so its size is not even asked for."""
    first = TreeProcess(tmp_path)
    first.run(PROMPT)
    first.cache.close()
    (path,) = files(tmp_path)
    second = TreeProcess(tmp_path)
    head = path.read_bytes().replace(BINDING.encode(), b"model 2, llama.cpp 2")
    size = int(re.search(rb'"data_bytes": (\d+)', head)[1])  # type: ignore[index]
    huge = str(10**17 + size).encode()
    head = head.replace(b'"data_bytes": %d' % size, b'"data_bytes": ' + huge)
    n_text = int.from_bytes(head[8:12], "little") + len(huge) - len(str(size))
    path.write_bytes(head[:8] + n_text.to_bytes(4, "little") + head[12:])
    assert second.run(PROMPT) == 0


def test_what_killed_processes_left_half_written_goes(tmp_path: Path) -> None:
    process = TreeProcess(tmp_path)
    process.cache.close()
    for name, age in (("old", 2 * PART_SECONDS), ("new", 0.0)):
        part = tmp_path / f"{name}{PART_SUFFIX}"
        part.touch()
        used = time.time() - age
        os.utime(part, times=(used, used))
    TreeProcess(tmp_path).cache.close()
    assert [p.stem for p in tmp_path.glob(f"*{PART_SUFFIX}")] == ["new"]


def blob_of(tokens: list[int]) -> tuple[TokenArray, Blob]:
    data = bytes(200)
    return np.array(tokens, np.int32), Blob(0, len(tokens), data, len(data))


class Held:
    """Stops the writer's thread where it puts files in place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arrived, self.go_on = threading.Event(), threading.Event()
        real = os.replace

        def replace(*args: str) -> None:
            self.arrived.set()
            assert self.go_on.wait(20)
            real(*args)

        monkeypatch.setattr(os, "replace", replace)


def test_a_file_that_is_removed_while_it_is_written_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, held = DiskFolder(tmp_path, BINDING), Held(monkeypatch)
    file = folder.write("", *blob_of([1, 2]))
    assert held.arrived.wait(20)
    folder.remove(file)
    held.go_on.set()
    folder.close()
    assert files(tmp_path) == []


def test_a_removed_file_takes_nothing_along_that_is_written_after_it(tmp_path: Path) -> None:
    folder = DiskFolder(tmp_path, BINDING)
    first = folder.write("", *blob_of([1, 2]))
    folder.remove(first)
    folder.write("", *blob_of([1, 2]))
    folder.close()
    folder.remove(first)
    assert len(files(tmp_path)) == 1


def test_a_slow_disk_holds_up_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process, held = TreeProcess(tmp_path, n_cells=24, host_bytes=200), Held(monkeypatch)
    prompts = [[i, *PROMPT] for i in range(3 * PENDING_WRITES)]
    for prompt in prompts:
        process.run(prompt)
    assert process.folder.would_wait
    assert process.cache.match(prompts[-1]) == 21
    held.go_on.set()
    process.cache.close()
    again = TreeProcess(tmp_path)
    assert again.cache.match(prompts[-1]) == 21, "saved at the end, which may wait"


def test_on_a_full_budget_what_was_used_last_is_saved_at_the_end(tmp_path: Path) -> None:
    one = TreeProcess(tmp_path)
    one.run([0, *PROMPT])
    one.cache.close()
    size = files(tmp_path)[0].stat().st_size
    for binding in ("model A", "model B"):
        for start in (0, 100, 200):
            process = TreeProcess(
                tmp_path, binding=binding, n_cells=256, n_seqs=16, disk_bytes=4 * size + size // 2
            )
            for i in range(6):
                process.run([start + i, *PROMPT])
            process.cache.close()
            again = TreeProcess(tmp_path, binding=binding, disk_bytes=4 * size + size // 2)
            found = [again.cache.match([start + i, *PROMPT]) for i in range(6)]
            assert found == [0, 0, 21, 21, 21, 21]
            again.cache.close()


def test_of_one_path_the_beginning_is_saved(tmp_path: Path) -> None:
    """All of it was used at one time; and its end without its beginning is of no use."""

    def run(process: TreeProcess) -> None:
        leases = []
        for n in (5, 10, 15, 20):
            leases.append(process.cache.acquire(PROMPT[:n]))
            process.evaluate(leases[-1], PROMPT[n - 5 : n])
            process.cache.commit(leases[-1], PROMPT[:n])
        for lease in leases:
            process.cache.release(lease)
        process.cache.close()

    run(TreeProcess(tmp_path / "one"))
    sizes = [path.stat().st_size for path in files(tmp_path / "one")]
    assert len(sizes) == 4
    run(TreeProcess(tmp_path / "two", disk_bytes=2 * max(sizes)))
    assert TreeProcess(tmp_path / "two").cache.match(PROMPT) == 10


def test_a_full_disk_costs_only_the_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process = TreeProcess(tmp_path, n_cells=24, host_bytes=200)
    real = os.replace

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    for i in range(6):
        assert process.run([i, *PROMPT]) == 0
    for i in range(6):
        process.run([i, *PROMPT])
    process.cache.close()
    assert "No space left on device" in caplog.text
    assert files(tmp_path) == []
    assert not list(tmp_path.glob("*.part"))
    monkeypatch.setattr(os, "replace", real)
    assert RETRY_SECONDS > 0
    monkeypatch.setattr(time, "monotonic", lambda: 1e12)
    assert process.folder.takes_writes


def test_two_processes_write_one_prefix_at_once(tmp_path: Path) -> None:
    one, two = TreeProcess(tmp_path), TreeProcess(tmp_path)
    one.run(PROMPT)
    two.run(PROMPT)
    one.cache.close()
    two.cache.close()
    assert len(files(tmp_path)) == 1
    assert TreeProcess(tmp_path).run(PROMPT) == 20


def test_fatal_failure_of_the_store_loses_only_what_was_not_saved(tmp_path: Path) -> None:
    process = TreeProcess(tmp_path)
    process.run(PROMPT)
    process.cache.park_idle()
    process.run([1, 2, 3])
    lease = process.cache.acquire([*PROMPT, 5])
    for seq in range(process.store.n_seqs):
        process.store.remove(seq, 0, -1)
    process.cache.forget_live()
    process.cache.check_integrity()
    assert lease.seq == -1
    assert process.run([1, 2, 3]) == 0
    assert process.run([*PROMPT, 5]) == 20


# --- random operations -----------------------------------------------------------------------

SEQUENCES = st.sampled_from(
    [list(s) for n in (1, 3, 5, 6) for s in product([0, 1], repeat=n) if sum(s) < 3]
)


class DiskMachine(RuleBasedStateMachine):
    """Requests, restarts, crashes and damage, with room in no tier for all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = TemporaryDirectory()
        self.path = Path(self.temporary.name)
        self.leases: list[tuple[Lease, list[int]]] = []

    @initialize(
        n_cells=st.sampled_from([12, 24]),
        host_bytes=st.sampled_from([160, 64, 1 << 20]),
        disk_bytes=st.sampled_from([1 << 20, 3000, 1200]),
        writes_through=st.booleans(),
    )
    def begin(self, n_cells: int, host_bytes: int, disk_bytes: int, writes_through: bool) -> None:
        self.n_cells, self.host_bytes, self.disk_bytes = n_cells, host_bytes, disk_bytes
        self.writes_through = writes_through
        self.start()

    def start(self) -> None:
        self.process = TreeProcess(
            self.path,
            n_cells=self.n_cells,
            n_seqs=5,
            host_bytes=self.host_bytes,
            disk_bytes=self.disk_bytes,
            writes_through=self.writes_through,
        )

    @rule(tokens=SEQUENCES, namespace=st.sampled_from(["", "", "tenant"]))
    def expect(self, tokens: list[int], namespace: str) -> None:
        self.process.cache.expect(tokens, namespace)

    @rule(tokens=SEQUENCES, namespace=st.sampled_from(["", "", "tenant"]))
    def request(self, tokens: list[int], namespace: str) -> None:
        cache, store = self.process.cache, self.process.store
        try:
            lease = cache.acquire(tokens, namespace=namespace)
        except CacheFull:
            return
        assert store.read(lease.seq) == tokens[: lease.length]
        if cache.reserve(len(tokens) - lease.length):
            self.process.evaluate(lease, tokens[lease.length :])
            cache.commit(lease, tokens)
        if len(self.leases) < 2 and sum(tokens) == 1:
            self.leases.append((lease, tokens[: lease.length]))
        else:
            cache.release(lease)

    @precondition(lambda self: self.leases)
    @rule()
    def release(self) -> None:
        lease, held = self.leases.pop(0)
        assert self.process.store.read(lease.seq) == held
        self.process.cache.release(lease)

    @rule()
    def park(self) -> None:
        self.process.cache.park_idle()

    @rule(kill=st.booleans())
    def restart(self, kill: bool) -> None:
        for lease, _ in self.leases:
            self.process.cache.release(lease)
        self.leases.clear()
        if not kill:
            self.process.cache.close()
        self.process.close_folder()
        self.start()

    @rule()
    def lose_the_store(self) -> None:
        for seq in range(self.process.store.n_seqs):
            self.process.store.remove(seq, 0, -1)
        self.process.cache.forget_live()
        self.leases.clear()

    @rule(which=st.integers(0, 9), at=st.integers(0, 999))
    def damage(self, which: int, at: int) -> None:
        found = files(self.path)  # as many as the writer's thread has written
        if found:
            # that thread may delete it meanwhile
            with suppress(FileNotFoundError):
                flip(found[which % len(found)], at / 1000)

    @rule(namespace=st.sampled_from([None, "tenant"]))
    def clear(self, namespace: str | None) -> None:
        self.process.cache.clear(namespace)

    @invariant()
    def books_agree(self) -> None:
        if not hasattr(self, "process"):
            return
        self.process.cache.check_integrity()
        stats = self.process.cache.stats()
        assert stats.host_bytes <= self.host_bytes
        assert stats.disk_bytes <= self.disk_bytes
        assert self.process.store.held_cells == stats.live_tokens + stats.private_tokens

    def teardown(self) -> None:
        if hasattr(self, "process"):
            self.process.close_folder()
        self.temporary.cleanup()


TestDisk = pytest.mark.slow(DiskMachine.TestCase)
TestDisk.settings = settings(
    derandomize=True,
    deadline=None,
    max_examples=100,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_token_arrays_in_files_are_little_endian_int32(tmp_path: Path) -> None:
    process = TreeProcess(tmp_path)
    process.run([1, 70_000, 2**31 - 1])
    process.cache.close()
    assert np.array([1, 70_000, 2**31 - 1], "<i4").tobytes() in files(tmp_path)[0].read_bytes()

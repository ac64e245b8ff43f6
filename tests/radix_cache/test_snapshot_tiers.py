"""Snapshots in host memory and on disk: pins are kept, restarts find what was saved."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count, product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from treegram.radix_cache import CacheFull, FakeKVStore, Lease, SnapshotCache
from treegram.radix_cache.base import Blob
from treegram.radix_cache.disk import SUFFIX, DiskFolder
from treegram.radix_cache.pins import PinRefused

PROMPT = list(range(100, 110))
BINDING = "model 1, llama.cpp 2"


class Process:
    """A cache of 8 bytes a token over a store and perhaps a folder, as one process has them."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        n_cells: int = 64,
        n_seqs: int = 8,
        host_bytes: int = 1 << 20,
        disk_bytes: int = 1 << 20,
        idle_cells: int = 64,
        binding: str = BINDING,
        writes_through: bool = False,
    ) -> None:
        ticks = count()
        self.store = FakeKVStore(n_cells, n_seqs, can_cut=False)
        self.folder: DiskFolder | None = None
        if folder is not None:
            self.folder = DiskFolder(folder, binding, writes_through=writes_through)
        self.cache = SnapshotCache(
            self.store,
            host_bytes=host_bytes,
            folder=self.folder,
            disk_bytes=disk_bytes,
            idle_cells=idle_cells,
            clock=lambda: float(next(ticks)),
        )

    def evaluate(self, lease: Lease, tokens: list[int]) -> None:
        assert self.cache.reserve(len(tokens))
        for i, token in enumerate(tokens):
            self.store.write(lease.seq, lease.length + i, token)
        self.cache.extend(lease, len(tokens))

    def prefill(self, lease: Lease, tokens: list[int]) -> None:
        """Evaluates the rest of `tokens`, pausing where the cache asks for it."""
        while lease.length < len(tokens):
            stop = self.cache.next_stop(lease) or len(tokens)
            self.evaluate(lease, tokens[lease.length : stop])
            self.cache.commit(lease, tokens[:stop])

    def run(self, tokens: list[int], namespace: str = "", *, pin: str = "") -> int:
        """A whole request; how many of its tokens were cached."""
        lease = self.cache.acquire(tokens, namespace=namespace)
        assert self.store.read(lease.seq) == tokens[: lease.length]
        try:
            self.prefill(lease, tokens)
            assert self.store.read(lease.seq) == tokens
            if pin:
                self.cache.pin(pin, lease)
        finally:
            self.cache.release(lease)
            self.cache.trim_idle()
            self.check()
        return lease.cached_tokens

    def flood(self) -> None:
        """Requests that have nothing in common with any other."""
        for first in range(200, 230):
            self.run([first] * 4)

    def lose_the_store(self) -> None:
        for seq in range(self.store.n_seqs):
            self.store.remove(seq, 0, -1)
        self.cache.forget_live()
        self.check()

    def check(self) -> None:
        """The books agree with themselves and with the cells that are really held."""
        self.cache.check_integrity()
        assert self.cache.free_cells == self.store.n_cells - self.store.held_cells


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


# --- pins ----------------------------------------------------------------------------------------


def test_a_pinned_prefix_outlives_everything_else() -> None:
    process = Process(host_bytes=8 * 20, idle_cells=0)
    process.run(PROMPT, pin="shots")
    process.flood()
    process.cache.clear()
    process.lose_the_store()
    assert process.run([*PROMPT, 8]) == 10
    assert process.cache.stats().pinned_tokens == 10
    assert [(pin.name, pin.tokens) for pin in process.cache.pins()] == [("shots", 10)]


def test_an_unpinned_one_goes_like_any_other() -> None:
    process = Process(host_bytes=8 * 20, idle_cells=0)
    process.run(PROMPT, pin="shots")
    assert process.cache.unpin("shots")
    assert not process.cache.unpin("shots")
    process.flood()
    assert process.run([*PROMPT, 8]) == 0
    assert process.cache.pins() == ()
    assert process.cache.stats().pinned_tokens == 0


def test_what_lies_above_a_pin_is_not_kept_with_it() -> None:
    """It has a snapshot of its own, which nobody asked to keep."""
    process = Process(host_bytes=8 * 20, idle_cells=0)
    process.run(PROMPT[:5])
    process.run(PROMPT, pin="shots")
    process.flood()
    assert process.cache.match(PROMPT) == 10
    assert process.cache.match(PROMPT[:9]) == 0
    process.run(PROMPT[:5], pin="half")
    process.flood()
    assert process.cache.match(PROMPT[:9]) == 5
    assert process.cache.stats().pinned_tokens == 10


def test_a_pin_above_another_is_saved_for_itself() -> None:
    process = Process()
    process.run(PROMPT, pin="all")
    process.run(PROMPT[:5], pin="half")
    process.lose_the_store()
    assert process.cache.match(PROMPT[:9]) == 5


def test_what_is_parked_above_a_pin_can_be_pinned_as_well() -> None:
    process = Process(host_bytes=8 * 20)
    process.run(PROMPT[:5])
    process.cache.park_idle()
    process.run(PROMPT, pin="all")
    process.cache.park_idle()
    process.run(PROMPT[:5], pin="half")
    process.cache.check_integrity()
    process.flood()
    assert process.cache.match(PROMPT[:9]) == 5


def test_a_pin_of_the_same_name_replaces_the_first() -> None:
    process = Process(host_bytes=8 * 20, idle_cells=0)
    process.run(PROMPT, pin="shots")
    process.run([9, 9, 9], pin="shots")
    process.flood()
    assert (process.cache.match(PROMPT), process.cache.match([9, 9, 9])) == (0, 3)


def test_a_pin_that_does_not_fit_is_refused_with_numbers() -> None:
    process = Process(host_bytes=8 * 12, idle_cells=0)
    process.run(PROMPT, pin="shots")
    with pytest.raises(PinRefused, match=r"'more' of 3 tokens .* 104 bytes .* 96 are") as caught:
        process.run([9, 9, 9], pin="more")
    assert (caught.value.needed_bytes, caught.value.budget_bytes) == (104, 96)
    assert [pin.name for pin in process.cache.pins()] == ["shots"]
    assert process.cache.stats().host_bytes <= 96
    process.run([9, 9], pin="more")
    process.flood()
    assert (process.cache.match(PROMPT), process.cache.match([9, 9])) == (10, 2)


def test_a_refused_pin_drives_nothing_out() -> None:
    process = Process(host_bytes=8 * 12, idle_cells=0)
    process.run(PROMPT)
    with pytest.raises(PinRefused):
        process.run([9] * 13, pin="more")
    assert process.cache.match(PROMPT) == 10
    assert process.cache.stats().host_bytes == 80


def test_a_pin_needs_no_sequence_id() -> None:
    process = Process(n_seqs=2)
    lease, other = process.cache.acquire(PROMPT), process.cache.acquire([1])
    process.evaluate(lease, PROMPT)
    process.cache.commit(lease, PROMPT)
    process.cache.pin("shots", lease)
    process.check()
    for each in (lease, other):
        process.cache.release(each)
    process.flood()
    assert process.cache.match(PROMPT) == 10


def test_only_what_is_committed_can_be_pinned() -> None:
    process = Process()
    lease = process.cache.acquire(PROMPT)
    with pytest.raises(ValueError, match="cannot pin 'shots' with 0 tokens committed"):
        process.cache.pin("shots", lease)
    process.prefill(lease, PROMPT)
    process.evaluate(lease, [1])
    with pytest.raises(ValueError, match="10 tokens committed and 1 that are not"):
        process.cache.pin("shots", lease)
    assert process.cache.pins() == ()


def test_a_pin_that_fails_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process()
    process.run(PROMPT, pin="shots")

    def fail(*_: object) -> Blob:
        raise RuntimeError("no state")

    monkeypatch.setattr(process.store, "save", fail)
    with pytest.raises(RuntimeError, match="no state"):
        process.run([5, 5], pin="shots")
    assert [pin.tokens for pin in process.cache.pins()] == [10]
    assert process.cache.stats().pinned_tokens == 10


# --- on disk -------------------------------------------------------------------------------------


def test_a_second_process_evaluates_nothing_of_what_the_first_had(tmp_path: Path) -> None:
    first = Process(tmp_path)
    first.run([*PROMPT, 1, 2])
    first.run([*PROMPT, 3])  # stops where it leaves the first
    first.run([7, 8, 9], "tenant")
    first.cache.close()
    assert len(files(tmp_path)) == 4
    second = Process(tmp_path)
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
    first = Process(tmp_path, idle_cells=0)
    first.run(PROMPT, pin="shots")
    first.cache.close()
    second = Process(tmp_path)
    assert second.cache.pins() == ()
    assert second.run(PROMPT, pin="shots") == 10
    second.flood()
    assert second.store.written_tokens == 30 * 4


def test_what_leaves_host_memory_is_stored_and_comes_back(tmp_path: Path) -> None:
    process = Process(tmp_path, n_cells=24, host_bytes=20 * 8, idle_cells=0)
    prompts = [[i, *PROMPT[1:]] for i in range(8)]
    assert [process.run(prompt) for prompt in prompts] == [0] * 8
    assert process.cache.stats().stored_tokens == 60
    assert [process.run([*prompt, 1]) for prompt in prompts] == [10] * 8
    assert process.cache.stats().host_bytes <= 20 * 8


@pytest.mark.parametrize("host_bytes", [0, 50])
def test_a_snapshot_too_large_for_host_memory_drives_nothing_out_of_it(
    tmp_path: Path, host_bytes: int
) -> None:
    process = Process(tmp_path, host_bytes=host_bytes, idle_cells=0)
    process.run([9, 9])
    process.run(PROMPT)
    stats = process.cache.stats()
    assert stats.host_bytes == min(host_bytes, 16)
    assert stats.parked_tokens == 12
    assert process.run([*PROMPT, 1]) == 10
    assert process.run([9, 9, 1]) == 2


def test_the_budget_drops_what_was_used_longest_ago(tmp_path: Path) -> None:
    one = Process(tmp_path / "one")
    one.run([0, *PROMPT])
    one.cache.close()
    (file,) = files(tmp_path / "one")
    size = file.stat().st_size
    two = Process(tmp_path / "two", disk_bytes=3 * size)
    for i in range(5):
        two.run([i, *PROMPT])
    two.cache.expect([1, *PROMPT])
    two.cache.close()
    assert sum(f.stat().st_size for f in files(tmp_path / "two")) <= 3 * size
    again = Process(tmp_path / "two", disk_bytes=3 * size)
    assert [again.cache.match([i, *PROMPT]) for i in range(5)] == [0, 11, 0, 11, 11]


def test_a_request_that_branches_off_a_stored_edge_leaves_its_snapshot_alone(
    tmp_path: Path,
) -> None:
    first = Process(tmp_path)
    first.run(PROMPT)
    first.cache.close()
    second = Process(tmp_path)
    assert second.run([*PROMPT[:6], 1]) == 0  # stops at 6
    assert second.run([*PROMPT[:6], 2]) == 6
    assert second.run([*PROMPT, 3]) == 10
    second.cache.close()
    assert len(files(tmp_path)) == 5


def test_what_is_live_is_saved_at_the_end_without_host_memory(tmp_path: Path) -> None:
    first = Process(tmp_path, host_bytes=0)
    first.run(PROMPT)
    first.cache.close()
    assert Process(tmp_path).run([*PROMPT, 1]) == 10


def test_after_a_restart_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    first = Process(tmp_path)
    for i in range(3):
        first.run([i, *PROMPT])
    first.cache.close()
    start = np.array([1, *PROMPT], "<i4").tobytes()
    (oldest,) = (path for path in files(tmp_path) if start in path.read_bytes())
    os.utime(oldest, (1e9, 1e9))
    second = Process(tmp_path, disk_bytes=2 * oldest.stat().st_size)
    assert [second.cache.match([i, *PROMPT]) for i in range(3)] == [11, 0, 11]


def test_what_was_evaluated_although_it_is_stored_is_at_hand(tmp_path: Path) -> None:
    """A prompt's last token is evaluated in any case, for its logits."""
    first = Process(tmp_path)
    first.run(PROMPT)
    first.run([*PROMPT, 1, 2])
    first.cache.close()
    second = Process(tmp_path)
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
    first = Process(tmp_path, writes_through=True)
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
    assert first.folder is not None
    first.folder.close()  # until all is written; the cache is not closed
    assert Process(tmp_path).run([*PROMPT, 1]) == 10


def test_files_of_another_binding_are_no_business_of_ours(tmp_path: Path) -> None:
    first = Process(tmp_path, binding="another model")
    first.run(PROMPT)
    first.cache.close()
    second = Process(tmp_path)
    assert second.run(PROMPT) == 0
    second.cache.close()
    assert len(files(tmp_path)) == 2


def _flip(path: Path, at: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 0x40
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "head": lambda path: _flip(path, 0.1),
    "tokens": lambda path: _flip(path, 0.4),
    "state": lambda path: _flip(path, 0.8),
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
        first = Process(tmp_path)
        first.run(tokens)
        first.cache.close()
    path = max(files(tmp_path), key=lambda path: path.stat().st_size)
    if when == "before the start":
        DAMAGES[what](path)
    second = Process(tmp_path)
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
    first = Process(tmp_path)
    first.run(PROMPT)
    first.cache.close()
    second = Process(tmp_path)
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
    process = Process(tmp_path, host_bytes=100, idle_cells=0)

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
    process = Process(folder, writes_through=True)
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
    second = Process(tmp_path)
    assert second.run([*PROMPT, 4]) == 10
    assert second.run([*PROMPT, 3, 4]) == 11
    assert second.run([*PROMPT, 1, 2, 3]) == 12


# --- random operations ---------------------------------------------------------------------------

# few sequences with many common prefixes, so that operations meet
SEQUENCES = st.sampled_from(
    [list(s) for length in (1, 3, 5, 6) for s in product([0, 1], repeat=length) if sum(s) < 3]
)
CHUNKS = st.sampled_from([[0], [1], [0, 0], [0, 1], [1, 0], [0, 0, 1]])
NAMESPACES = st.sampled_from(["", "", "", "tenant"])


class SnapshotMachine(RuleBasedStateMachine):
    """Any order of operations, with cells, ids and memory in no tier for all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = TemporaryDirectory()
        self.running: list[tuple[Lease, list[int]]] = []
        self.pinned: dict[str, tuple[str, list[int]]] = {}

    @initialize(
        n_cells=st.sampled_from([12, 24, 8]),
        n_seqs=st.sampled_from([5, 9, 3, 2]),
        host_bytes=st.sampled_from([160, 1 << 20, 64, 0]),
        disk_bytes=st.sampled_from([None, 1 << 20, 3000, 1200]),
        idle_cells=st.sampled_from([6, 0]),
        writes_through=st.booleans(),
    )
    def begin(
        self,
        n_cells: int,
        n_seqs: int,
        host_bytes: int,
        disk_bytes: int | None,
        idle_cells: int,
        writes_through: bool,
    ) -> None:
        self.idle_cells, self.host_bytes, self.disk_bytes = idle_cells, host_bytes, disk_bytes
        self.new_process: Callable[[], Process] = lambda: Process(
            None if disk_bytes is None else Path(self.temporary.name),
            n_cells=n_cells,
            n_seqs=n_seqs,
            host_bytes=host_bytes,
            disk_bytes=disk_bytes or 0,
            idle_cells=idle_cells,
            writes_through=writes_through,
        )
        self.start()

    def start(self) -> None:
        self.process = self.new_process()
        self.cache, self.store = self.process.cache, self.process.store
        self.running.clear()
        self.pinned.clear()

    def pick(self, data: st.DataObject) -> tuple[Lease, list[int]]:
        return self.running[data.draw(st.integers(0, len(self.running) - 1))]

    @precondition(lambda self: len(self.running) < 4)
    @rule(tokens=SEQUENCES, limit=st.sampled_from([None, None, 4, 2]), namespace=NAMESPACES)
    def acquire(self, tokens: list[int], limit: int | None, namespace: str) -> None:
        matched = self.cache.match(tokens if limit is None else tokens[:limit], namespace)
        try:
            lease = self.cache.acquire(tokens, limit, namespace)
        except CacheFull:
            assert len(self.running) == self.store.n_seqs
            return
        assert lease.cached_tokens == lease.committed == lease.length <= matched
        assert self.store.read(lease.seq) == tokens[: lease.length]
        self.running.append((lease, tokens[: lease.length]))

    @rule(tokens=SEQUENCES, namespace=NAMESPACES)
    def expect(self, tokens: list[int], namespace: str) -> None:
        self.cache.expect(tokens, namespace)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), tokens=CHUNKS)
    def evaluate(self, data: st.DataObject, tokens: list[int]) -> None:
        lease, held = self.pick(data)
        if self.cache.reserve(len(tokens)):
            self.process.evaluate(lease, tokens)
            held += tokens
        else:
            assert not self.cache.has_room([*held, *tokens], 0)

    @rule(tokens=SEQUENCES)
    def request(self, tokens: list[int]) -> None:
        """From start to end, where it fits."""
        if self.cache.has_room(tokens, len(tokens)) and len(self.running) < self.store.n_seqs:
            lease = self.cache.acquire(tokens)
            if self.cache.reserve(len(tokens) - lease.length):
                self.process.prefill(lease, tokens)
                assert self.store.read(lease.seq) == tokens
            self.cache.release(lease)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), stop=st.integers(0, 3))
    def commit(self, data: st.DataObject, stop: int) -> None:
        lease, held = self.pick(data)
        if stop:
            self.cache.stop_at(lease, len(held))
        self.cache.commit(lease, held)
        pinned = sum(8 * len(tokens) for _, tokens in self.pinned.values())
        if stop and self.host_bytes - pinned >= 8 * len(held):
            assert self.cache.match(held, lease.namespace) == len(held)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), name=st.sampled_from(["a", "b"]))
    def pin(self, data: st.DataObject, name: str) -> None:
        lease, held = self.pick(data)
        if not held or lease.private:
            return
        wanted = {key: pin for key, pin in self.pinned.items() if key != name}
        wanted[name] = lease.namespace, list(held)
        distinct = {(namespace, *tokens) for namespace, tokens in wanted.values()}
        needed_bytes = sum(8 * (len(key) - 1) for key in distinct)
        if needed_bytes > self.host_bytes:
            with pytest.raises(PinRefused, match=f"would take {needed_bytes} bytes"):
                self.cache.pin(name, lease)
        else:
            self.cache.pin(name, lease)
            self.pinned = wanted

    @rule(name=st.sampled_from(["a", "b"]))
    def unpin(self, name: str) -> None:
        assert self.cache.unpin(name) == (self.pinned.pop(name, None) is not None)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease, held = self.pick(data)
        self.running = [pair for pair in self.running if pair[0] is not lease]
        is_kept = not lease.private
        self.cache.release(lease)
        if is_kept:
            assert self.cache.match(held, lease.namespace) == len(held)

    @rule(n=st.integers(1, 12))
    def reserve(self, n: int) -> None:
        if self.cache.reserve(n):
            assert self.cache.free_cells >= n

    @rule()
    def park(self) -> None:
        self.cache.park_idle()
        held = {tuple(self.store.read(lease.seq)) for lease, _ in self.running}
        assert self.cache.stats().live_tokens <= sum(map(len, held))

    @rule()
    def trim(self) -> None:
        self.cache.trim_idle()
        stats = self.cache.stats()
        assert stats.live_tokens - stats.locked_tokens <= self.idle_cells

    @rule(failures=st.integers(1, 3))
    def failing_loads(self, failures: int) -> None:
        self.store.failing_loads = failures

    @rule(namespace=st.sampled_from([None, "tenant"]))
    def clear(self, namespace: str | None) -> None:
        self.cache.clear(namespace)

    @rule()
    def lose_everything(self) -> None:
        self.process.lose_the_store()
        self.running.clear()

    @rule(is_killed=st.booleans())
    def restart(self, is_killed: bool) -> None:
        if not is_killed:
            for lease, _ in self.running:
                self.cache.release(lease)
            self.cache.close()
            self.process.check()
        if self.process.folder is not None:
            self.process.folder.close()
        self.start()

    @rule(which=st.integers(0, 9), at=st.integers(0, 999))
    def damage(self, which: int, at: int) -> None:
        found = files(Path(self.temporary.name))  # as many as the writer's thread has written
        if found:
            # that thread may delete it meanwhile
            with suppress(FileNotFoundError):
                _flip(found[which % len(found)], at / 1000)

    @invariant()
    def books(self) -> None:
        if not hasattr(self, "process"):
            return
        self.process.check()
        stats = self.cache.stats()
        assert stats.host_bytes <= self.host_bytes
        assert stats.disk_bytes <= (self.disk_bytes or 0)
        for lease, held in self.running:
            assert self.store.read(lease.seq) == held
        assert {pin.name: pin.namespace for pin in self.cache.pins()} == {
            name: namespace for name, (namespace, _) in self.pinned.items()
        }
        for namespace, tokens in self.pinned.values():
            assert self.cache.match(tokens, namespace) == len(tokens)

    def teardown(self) -> None:
        if hasattr(self, "process") and self.process.folder is not None:
            self.process.folder.close()
        self.temporary.cleanup()


TestSnapshotMachine = pytest.mark.slow(SnapshotMachine.TestCase)
TestSnapshotMachine.settings = settings(
    derandomize=True,
    deadline=None,
    max_examples=100,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))

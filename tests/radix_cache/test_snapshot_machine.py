"""Snapshots in all tiers under random operations."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from processes import SnapshotProcess, files, flip

from treegram.radix_cache import CacheFull, Lease
from treegram.radix_cache.pins import PinRefused

PROMPT = list(range(100, 110))

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
        self.new_process: Callable[[], SnapshotProcess] = lambda: SnapshotProcess(
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
        self.process.close_folder()
        self.start()

    @rule(which=st.integers(0, 9), at=st.integers(0, 999))
    def damage(self, which: int, at: int) -> None:
        found = files(Path(self.temporary.name))  # as many as the writer's thread has written
        if found:
            # that thread may delete it meanwhile
            with suppress(FileNotFoundError):
                flip(found[which % len(found)], at / 1000)

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
        if hasattr(self, "process"):
            self.process.close_folder()
        self.temporary.cleanup()


TestSnapshotMachine = pytest.mark.slow(SnapshotMachine.TestCase)
TestSnapshotMachine.settings = settings(
    derandomize=True,
    deadline=None,
    max_examples=100,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)

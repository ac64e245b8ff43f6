"""A cache over a fake store and perhaps a folder, as one process has them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

from treegram.radix_cache import FakeKVStore, Lease, RadixCache, SnapshotCache
from treegram.radix_cache.disk import SUFFIX, DiskFolder

BINDING = "model 1, llama.cpp 2"

Cache = TypeVar("Cache", RadixCache, SnapshotCache)


def files(folder: Path) -> list[Path]:
    """What the disk tier has written."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def flip(path: Path, at: float) -> None:
    """Changes one byte, `at` of the way through the file."""
    with path.open("r+b") as stream:  # a file that is deleted meanwhile does not come back
        content = stream.read()
        place = int(at * (len(content) - 1))
        stream.seek(place)
        stream.write(bytes([content[place] ^ 0x40]))


class Process(Generic[Cache]):
    """What both have; a token takes 8 bytes."""

    def __init__(
        self,
        make: Callable[..., Cache],
        store: FakeKVStore,
        folder: Path | None,
        *,
        binding: str = BINDING,
        writes_through: bool = False,
        host_bytes: int = 1 << 20,
        disk_bytes: int = 1 << 20,
        idle_cells: int,
    ) -> None:
        ticks = count()
        self.store = store
        self._folder: DiskFolder | None = None
        if folder is not None:
            self._folder = DiskFolder(folder, binding, writes_through=writes_through)
        self.cache: Cache = make(
            store,
            host_bytes=host_bytes,
            folder=self._folder,
            disk_bytes=disk_bytes,
            idle_cells=idle_cells,
            clock=lambda: float(next(ticks)),
        )

    @property
    def folder(self) -> DiskFolder:
        assert self._folder is not None
        return self._folder

    def close_folder(self) -> None:
        """Until all is written; the cache is not closed, as in a process that is killed then."""
        if self._folder is not None:
            self._folder.close()

    def evaluate(self, lease: Lease, tokens: list[int]) -> None:
        assert self.cache.reserve(len(tokens))
        for i, token in enumerate(tokens):
            self.store.write(lease.seq, lease.length + i, token)
        self.cache.extend(lease, len(tokens))


class TreeProcess(Process[RadixCache]):
    """Its memory can be cut anywhere."""

    def __init__(self, folder: Path, *, n_cells: int = 64, n_seqs: int = 8, **options: Any) -> None:
        store = FakeKVStore(n_cells, n_seqs)
        super().__init__(RadixCache, store, folder, idle_cells=n_cells, **options)

    def run(self, tokens: list[int], namespace: str = "") -> int:
        """A whole request; how many of its tokens were cached."""
        lease = self.cache.acquire(tokens, namespace=namespace)
        cached = lease.length
        assert self.store.read(lease.seq) == tokens[:cached]
        self.evaluate(lease, tokens[cached:])
        self.cache.commit(lease, tokens)
        assert self.store.read(lease.seq) == tokens
        self.cache.release(lease)
        self.cache.check_integrity()
        return cached


class SnapshotProcess(Process[SnapshotCache]):
    """Its memory cannot be cut."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        n_cells: int = 64,
        n_seqs: int = 8,
        idle_cells: int = 64,
        **options: Any,
    ) -> None:
        store = FakeKVStore(n_cells, n_seqs, can_cut=False)
        super().__init__(SnapshotCache, store, folder, idle_cells=idle_cells, **options)

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

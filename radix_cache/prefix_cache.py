"""What an engine asks of a prefix cache, and which cache fits which store."""

from __future__ import annotations

from typing import Protocol

from .base import KVStore
from .cache import RadixCache
from .disk import DiskFolder
from .lease import Lease
from .pins import Pin
from .policy import DEFAULT_POLICY, PolicyName
from .respell import Pieces
from .snapshots import SnapshotCache
from .stats import CacheStats
from .tree import TokenArray, Tokens


class PrefixCache(Protocol):
    """`RadixCache`, which describes each method, or `SnapshotCache`. Not thread-safe."""

    @property
    def free_cells(self) -> int: ...

    def match(self, tokens: Tokens, namespace: str = "") -> int: ...

    def respelled(self, tokens: Tokens, pieces: Pieces, namespace: str = "") -> TokenArray: ...

    def expect(self, tokens: Tokens, namespace: str = "") -> None: ...

    def has_room(
        self, tokens: Tokens, limit: int, namespace: str = "", *, spare_cells: int = 0
    ) -> bool: ...

    def acquire(
        self,
        tokens: Tokens,
        limit: int | None = None,
        namespace: str = "",
        *,
        priority: int = 0,
    ) -> Lease: ...

    def next_stop(self, lease: Lease) -> int | None: ...

    def stop_at(self, lease: Lease, length: int) -> None: ...

    def extend(self, lease: Lease, n: int) -> None: ...

    def commit(self, lease: Lease, tokens: Tokens) -> None: ...

    def truncate(self, lease: Lease, length: int) -> None: ...

    def release(self, lease: Lease) -> None: ...

    def pin(self, name: str, lease: Lease) -> Pin: ...

    def unpin(self, name: str) -> bool: ...

    def pins(self) -> tuple[Pin, ...]: ...

    def reserve(self, n_cells: int) -> bool: ...

    def park_idle(self) -> bool: ...

    def trim_idle(self) -> None: ...

    def forget_live(self) -> None: ...

    def close(self) -> None: ...

    def clear(self, namespace: str | None = None) -> None: ...

    def stats(self) -> CacheStats: ...

    def check_integrity(self) -> None: ...


def cache_for(
    store: KVStore,
    *,
    host_bytes: int,
    idle_cells: int,
    policy: PolicyName = DEFAULT_POLICY,
    folder: DiskFolder | None = None,
    disk_bytes: int = 0,
) -> PrefixCache:
    """The cache for a store, by whether its sequences can be cut.

    Snapshots go by their last use, whatever the `policy`.
    """
    if store.can_cut:
        return RadixCache(
            store,
            host_bytes=host_bytes,
            folder=folder,
            disk_bytes=disk_bytes,
            policy=policy,
            idle_cells=idle_cells,
        )
    return SnapshotCache(
        store,
        host_bytes=host_bytes,
        folder=folder,
        disk_bytes=disk_bytes,
        idle_cells=idle_cells,
    )

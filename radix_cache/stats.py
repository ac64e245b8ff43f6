"""What the cache holds and what it has done, for logs, tests and metrics alike."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Running totals, in tokens, since the cache was made."""

    queried_tokens: int = 0
    hit_tokens: int = 0
    parked_tokens: int = 0
    restored_tokens: int = 0
    written_tokens: int = 0
    read_tokens: int = 0
    evicted_tokens: int = 0


@dataclass(frozen=True, slots=True)
class CacheStats:
    """A snapshot of a `RadixCache`.

    Attributes:
        live_tokens: tokens of the tree whose KV is in the store.
        locked_tokens: those of them that a lease uses.
        private_tokens: tokens of leases that are not committed to the tree.
        free_cells: cells of the store that nothing holds.
        parked_tokens: tokens of the tree whose KV is only in host memory or on disk.
        stored_tokens: those of them that are only on disk.
        host_bytes: KV in memory, of parked nodes and of live ones that were parked before.
        disk_bytes: KV in files.
        nodes: nodes of the tree, roots not counted.
        sequences_used, sequences_free: sequence ids, the scratch one not counted.
        queried_tokens_total, hit_tokens_total: asked of `acquire`, and found.
        parked_tokens_total, restored_tokens_total: moved to host memory, and back.
        written_tokens_total, read_tokens_total: moved from host memory to disk, and back.
        evicted_tokens_total: dropped from the tree.
        pinned_tokens: tokens of the tree that are not evicted.
    """

    live_tokens: int
    locked_tokens: int
    private_tokens: int
    free_cells: int
    parked_tokens: int
    stored_tokens: int
    host_bytes: int
    disk_bytes: int
    nodes: int
    sequences_used: int
    sequences_free: int
    queried_tokens_total: int
    hit_tokens_total: int
    parked_tokens_total: int
    restored_tokens_total: int
    written_tokens_total: int
    read_tokens_total: int
    evicted_tokens_total: int
    pinned_tokens: int = 0

    @property
    def hit_rate(self) -> float:
        """Share of the queried tokens that were cached; 0.0 before the first query."""
        return self.hit_tokens_total / max(self.queried_tokens_total, 1)

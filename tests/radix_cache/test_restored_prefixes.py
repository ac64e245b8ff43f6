"""Prefixes that come back from disk while others need their memory."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import get_args

import pytest

from treegram.radix_cache import FakeKVStore, Lease, RadixCache
from treegram.radix_cache.disk import DiskFolder
from treegram.radix_cache.policy import PolicyName

TOKEN_BYTES = 8


def new_cache(
    folder: Path,
    *,
    n_cells: int = 200,
    host_tokens: int,
    disk_bytes: int = 1 << 20,
    policy: PolicyName = "lru",
) -> tuple[RadixCache, FakeKVStore]:
    store, ticks = FakeKVStore(n_cells, 8), count()
    cache = RadixCache(
        store,
        host_bytes=TOKEN_BYTES * host_tokens,
        folder=DiskFolder(folder, "b"),
        disk_bytes=disk_bytes,
        policy=policy,
        idle_cells=n_cells,
        clock=lambda: float(next(ticks)),
    )
    return cache, store


def evaluate(cache: RadixCache, store: FakeKVStore, lease: Lease, tokens: list[int]) -> None:
    assert cache.reserve(len(tokens))
    for i, token in enumerate(tokens):
        store.write(lease.seq, lease.length + i, token)
    cache.extend(lease, len(tokens))


def run(cache: RadixCache, store: FakeKVStore, tokens: list[int]) -> None:
    lease = cache.acquire(tokens)
    evaluate(cache, store, lease, tokens[lease.length :])
    cache.commit(lease, tokens)
    cache.release(lease)
    cache.check_integrity()


def test_a_restored_prefix_that_grows_is_saved_with_what_it_grew_by(tmp_path: Path) -> None:
    prompt, answer = list(range(1, 21)), list(range(500, 515))
    cache, store = new_cache(tmp_path, host_tokens=1 << 10)
    run(cache, store, prompt)
    cache.close()
    cache, store = new_cache(tmp_path, host_tokens=50)
    lease = cache.acquire([*prompt, 99])
    assert lease.cached_tokens == 20
    others = [[100 * k + i for i in range(20)] for k in range(10, 18)]
    for other in others[:4]:
        run(cache, store, other)
        cache.park_idle()
    evaluate(cache, store, lease, answer)
    cache.commit(lease, prompt + answer)
    cache.check_integrity()
    cache.release(lease)
    cache.park_idle()
    for other in others[4:]:
        run(cache, store, other)
        cache.park_idle()
    lease = cache.acquire([*prompt, *answer, 7])
    assert store.read(lease.seq) == prompt + answer


@pytest.mark.parametrize("policy", get_args(PolicyName))
@pytest.mark.parametrize("disk_bytes", [1 << 20, 10])
def test_a_path_that_is_being_restored_stays_whole(
    tmp_path: Path, policy: PolicyName, disk_bytes: int
) -> None:
    cache, store = new_cache(
        tmp_path, n_cells=40, host_tokens=40, disk_bytes=disk_bytes, policy=policy
    )
    shared, popular = list(range(1, 11)), list(range(1000, 1035))
    wanted = [*shared, 50, 51, 52, 53, 54, 55]
    run(cache, store, wanted)
    run(cache, store, [*shared, 60, 61])
    cache.park_idle()
    for _ in range(9):
        run(cache, store, popular)
    lease = cache.acquire([*wanted, 7])
    cache.check_integrity()
    assert store.read(lease.seq) == wanted


def test_what_was_read_and_found_no_room_does_not_stay_in_memory(tmp_path: Path) -> None:
    cache, store = new_cache(tmp_path, host_tokens=1 << 10)
    prefixes = [[1000 * base + i for i in range(20)] for base in range(6)]
    for prefix in prefixes:
        run(cache, store, [*prefix, 5])
        run(cache, store, [*prefix, 6])
    cache.close()
    cache, store = new_cache(tmp_path, n_cells=60, host_tokens=25)
    evaluate(cache, store, cache.acquire([9]), list(range(50)))
    for prefix in prefixes:
        cache.release(cache.acquire([*prefix, 5]))
        cache.check_integrity()
        assert cache.stats().host_bytes <= TOKEN_BYTES * 25

"""Snapshots of whole sequences over a fake store that refuses to cut one."""

from __future__ import annotations

from itertools import count
from typing import NoReturn

import pytest

from treegram.radix_cache import (
    CacheFull,
    FakeKVStore,
    Lease,
    RadixCache,
    SnapshotCache,
    cache_for,
)
from treegram.radix_cache.tree import RadixTree

PROMPT = list(range(100, 110))


def new_cache(
    n_cells: int = 64, n_seqs: int = 8, *, host_bytes: int = 1 << 20, idle_cells: int = 64
) -> tuple[SnapshotCache, FakeKVStore]:
    """A cache whose clock counts calls, and its store (8 bytes a token)."""
    store = FakeKVStore(n_cells, n_seqs, can_cut=False)
    ticks = count()
    cache = SnapshotCache(
        store, host_bytes=host_bytes, idle_cells=idle_cells, clock=lambda: next(ticks)
    )
    return cache, store


def evaluate(cache: SnapshotCache, store: FakeKVStore, lease: Lease, tokens: list[int]) -> None:
    """What an engine does: makes room, decodes `tokens` behind the lease's own, and says so."""
    assert cache.reserve(len(tokens))
    for i, token in enumerate(tokens):
        store.write(lease.seq, lease.length + i, token)
    cache.extend(lease, len(tokens))


def prefill(cache: SnapshotCache, store: FakeKVStore, lease: Lease, tokens: list[int]) -> None:
    """Evaluates the rest of `tokens`, pausing where the cache asks for it."""
    while lease.length < len(tokens):
        stop = cache.next_stop(lease) or len(tokens)
        evaluate(cache, store, lease, tokens[lease.length : stop])
        cache.commit(lease, tokens[:stop])


def run(cache: SnapshotCache, store: FakeKVStore, tokens: list[int]) -> int:
    """A whole request; how many of its tokens were cached."""
    lease = cache.acquire(tokens, len(tokens) - 1)
    assert store.read(lease.seq) == tokens[: lease.length]
    prefill(cache, store, lease, tokens)
    assert store.read(lease.seq) == tokens
    cache.release(lease)
    check(cache, store)
    return lease.cached_tokens


def check(cache: SnapshotCache, store: FakeKVStore) -> None:
    """The books agree with themselves and with the cells that are really held."""
    cache.check_integrity()
    assert cache.free_cells == store.n_cells - store.held_cells


def test_stats_walk_nothing_that_the_engine_changes_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are asked for from other threads than the one that uses the cache."""
    cache, store = new_cache()
    run(cache, store, PROMPT)
    cache.park_idle()
    lease = cache.acquire([*PROMPT, 1])
    evaluate(cache, store, lease, [1])

    class Busy(dict[int, Lease]):
        def values(self) -> NoReturn:
            raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(cache._snapshots, "leases", Busy(cache._snapshots.leases))
    monkeypatch.setattr(RadixTree, "nodes", Busy.values)
    stats = cache.stats()
    assert (stats.private_tokens, stats.live_tokens, stats.parked_tokens) == (1, 10, 0)


# --- what is found -----------------------------------------------------------------------------


def test_the_store_decides_which_cache_it_gets() -> None:
    for can_cut, kind in ((True, RadixCache), (False, SnapshotCache)):
        store = FakeKVStore(64, 8, can_cut=can_cut)
        assert type(cache_for(store, host_bytes=0, idle_cells=0)) is kind


def test_a_text_that_goes_on_finds_the_end_of_the_one_before() -> None:
    cache, store = new_cache()
    assert run(cache, store, PROMPT) == 0
    assert run(cache, store, [*PROMPT, 1, 2]) == len(PROMPT)
    assert run(cache, store, [*PROMPT, 1, 2, 3]) == len(PROMPT) + 2


def test_a_state_is_not_found_inside_what_was_evaluated() -> None:
    cache, store = new_cache()
    run(cache, store, PROMPT)
    assert cache.match(PROMPT[:6]) == 0


def test_the_third_request_finds_where_the_second_left_the_first() -> None:
    """Nobody could know the branch before the second came by, and it stopped there."""
    cache, store = new_cache()
    assert run(cache, store, [*PROMPT, 1, 2]) == 0
    assert run(cache, store, [*PROMPT, 3, 4]) == 0
    assert run(cache, store, [*PROMPT, 5, 6]) == len(PROMPT)


def test_a_prefix_that_somebody_waits_for_is_a_stop() -> None:
    cache, store = new_cache()
    tokens = [*PROMPT, 1, 2]
    lease = cache.acquire(tokens)
    cache.stop_at(lease, len(PROMPT))
    assert cache.next_stop(lease) == len(PROMPT)
    evaluate(cache, store, lease, PROMPT)
    cache.commit(lease, PROMPT)
    other = cache.acquire([*PROMPT, 3])
    assert store.read(other.seq) == PROMPT
    assert store.held_cells == len(PROMPT)  # shared: no cell more
    assert cache.next_stop(lease) == len(tokens)


def test_the_end_of_a_prompt_is_kept_while_the_request_goes_on() -> None:
    cache, store = new_cache()
    lease = cache.acquire(PROMPT)
    prefill(cache, store, lease, PROMPT)
    evaluate(cache, store, lease, [1, 2, 3])
    assert cache.acquire(PROMPT).cached_tokens == len(PROMPT)


def test_namespaces_share_nothing() -> None:
    cache, store = new_cache()
    run(cache, store, PROMPT)
    assert cache.match(PROMPT, "tenant") == 0


# --- under pressure ----------------------------------------------------------------------------


def test_a_parked_snapshot_comes_back_whole() -> None:
    cache, store = new_cache(idle_cells=0)
    run(cache, store, PROMPT)
    cache.trim_idle()
    assert store.held_cells == 0
    assert run(cache, store, [*PROMPT, 1]) == len(PROMPT)
    assert store.loads == 1


def test_without_host_memory_what_is_parked_is_forgotten() -> None:
    cache, store = new_cache(host_bytes=0)
    run(cache, store, PROMPT)
    assert cache.park_idle()
    check(cache, store)
    assert cache.match(PROMPT) == 0
    assert cache.stats().nodes == 0


def test_the_least_recently_used_blob_goes_first() -> None:
    cache, store = new_cache(host_bytes=8 * 25)
    texts = [[start, *PROMPT[1:]] for start in range(3)]
    for text in texts:
        run(cache, store, text)
    cache.match(texts[0])  # asking is no use
    cache.park_idle()
    check(cache, store)
    assert [cache.match(text) for text in texts] == [0, 10, 10]


def test_what_a_waiting_request_will_find_outlives_what_was_used_after_it() -> None:
    cache, store = new_cache(host_bytes=80, idle_cells=0)
    for n in range(3):
        run(cache, store, [n, *PROMPT[:3]])
        cache.trim_idle()
        if n == 1:
            cache.expect([0, *PROMPT])
            cache.expect([9])  # nothing is known of it
    assert [cache.match([n, *PROMPT]) for n in range(3)] == [4, 0, 4]


def test_every_id_on_loan_is_refused_and_nothing_changes() -> None:
    cache, store = new_cache(n_seqs=2)
    leases = [cache.acquire([i]) for i in range(2)]
    with pytest.raises(CacheFull, match="2 sequences are on loan"):
        cache.acquire(PROMPT)
    cache.release(leases[0])
    assert cache.acquire(PROMPT).length == 0
    check(cache, store)


def test_a_stop_without_a_free_id_is_saved_in_host_memory() -> None:
    cache, store = new_cache(n_seqs=2)
    lease, _other = cache.acquire(PROMPT), cache.acquire([1])
    prefill(cache, store, lease, PROMPT)
    assert store.saves == 1
    assert cache.match(PROMPT) == len(PROMPT)
    check(cache, store)


def test_a_store_that_lost_everything_keeps_the_blobs() -> None:
    cache, store = new_cache()
    run(cache, store, PROMPT)
    cache.park_idle()
    run(cache, store, [7, 8, 9])
    lease = cache.acquire(PROMPT)
    for seq in range(store.n_seqs):
        store.remove(seq, 0, -1)
    cache.forget_live()
    assert lease.seq == -1
    assert (cache.match(PROMPT), cache.match([7, 8, 9])) == (len(PROMPT), 0)
    check(cache, store)


def test_what_cannot_be_done_is_said() -> None:
    cache, store = new_cache()
    lease = cache.acquire(PROMPT)
    evaluate(cache, store, lease, PROMPT)
    with pytest.raises(ValueError, match="cannot be cut, so expected 10"):
        cache.truncate(lease, 4)
    with pytest.raises(ValueError, match="commit of 4 tokens; expected all 10"):
        cache.commit(lease, PROMPT[:4])
    cache.release(lease)
    with pytest.raises(ValueError, match="released"):
        cache.extend(lease, 1)

"""The prefix cache over the fake store: what a lease's sequence holds is the truth that matters."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count, product
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from treegram.radix_cache import Blob, CacheFull, FakeKVStore, Lease, RadixCache
from treegram.radix_cache.pins import PinRefused
from treegram.radix_cache.policy import PolicyName

PROMPT = list(range(100, 110))


def new_cache(
    n_cells: int = 64,
    n_seqs: int = 8,
    *,
    host_bytes: int = 1 << 20,
    idle_cells: int = 64,
    policy: PolicyName = "lru",
    store: FakeKVStore | None = None,
) -> tuple[RadixCache, FakeKVStore]:
    """A cache whose clock counts calls, and its store (8 bytes a token)."""
    store = store or FakeKVStore(n_cells, n_seqs)
    ticks = count()
    cache = RadixCache(
        store,
        host_bytes=host_bytes,
        policy=policy,
        idle_cells=idle_cells,
        clock=lambda: next(ticks),
    )
    return cache, store


def evaluate(cache: RadixCache, store: FakeKVStore, lease: Lease, tokens: list[int]) -> None:
    """What an engine does: makes room, decodes `tokens` behind the lease's own, and says so."""
    assert cache.reserve(len(tokens))
    for i, token in enumerate(tokens):
        store.write(lease.seq, lease.length + i, token)
    cache.extend(lease, len(tokens))


def start(cache: RadixCache, store: FakeKVStore, tokens: list[int], namespace: str = "") -> Lease:
    """A lease with all of `tokens` evaluated and committed."""
    lease = cache.acquire(tokens, namespace=namespace)
    evaluate(cache, store, lease, tokens[lease.length :])
    cache.commit(lease, tokens)
    return lease


def run(cache: RadixCache, store: FakeKVStore, tokens: list[int], namespace: str = "") -> None:
    """A whole request."""
    cache.release(start(cache, store, tokens, namespace))


def check(cache: RadixCache, store: FakeKVStore) -> None:
    """The books agree with themselves and with the cells that are really held."""
    cache.check_integrity()
    stats = cache.stats()
    assert store.held_cells == stats.live_tokens + stats.private_tokens
    assert stats.free_cells == store.n_cells - store.held_cells


# --- random operations -----------------------------------------------------------------------

# few sequences with many common prefixes, so that operations meet
SEQUENCES = st.sampled_from(
    [
        list(sequence)
        for length in (1, 3, 5, 6)
        for sequence in product([0, 1], repeat=length)
        if sum(sequence) < 3
    ]
)
CHUNKS = st.sampled_from([[0], [1], [0, 0], [0, 1], [1, 0], [0, 0, 1], [0, 1, 0]])
NAMESPACES = st.sampled_from(["", "", "", "tenant"])


class CacheMachine(RuleBasedStateMachine):
    """Any order of operations, with cells, ids and host memory too few for all of them."""

    @initialize(
        n_cells=st.sampled_from([12, 24, 8]),
        n_seqs=st.sampled_from([5, 9, 3, 2]),
        host_bytes=st.sampled_from([160, 1 << 20, 64, 0]),
        idle_cells=st.sampled_from([6, 0]),
        policy=st.sampled_from(get_args(PolicyName)),
    )
    def begin(
        self, n_cells: int, n_seqs: int, host_bytes: int, idle_cells: int, policy: PolicyName
    ) -> None:
        self.idle_cells = idle_cells
        self.host_bytes = host_bytes
        self.cache, self.store = new_cache(
            n_cells, n_seqs, host_bytes=host_bytes, idle_cells=idle_cells, policy=policy
        )
        self.pinned: dict[str, tuple[list[int], str]] = {}
        self.running: list[tuple[Lease, list[int]]] = []
        self.steps = 0

    def pick(self, data: st.DataObject) -> tuple[Lease, list[int]]:
        return self.running[data.draw(st.integers(0, len(self.running) - 1))]

    @precondition(lambda self: len(self.running) < 4)
    @rule(tokens=SEQUENCES, limit=st.sampled_from([None, None, 4, 2]), namespace=NAMESPACES)
    def acquire(self, tokens: list[int], limit: int | None, namespace: str) -> None:
        matched = self.cache.match(tokens if limit is None else tokens[:limit], namespace)
        before = self.cache.stats()
        try:
            lease = self.cache.acquire(tokens, limit, namespace)
        except CacheFull:
            assert before.sequences_free == 0
            after = self.cache.stats()
            assert (after.live_tokens, after.parked_tokens) == (
                before.live_tokens,
                before.parked_tokens,
            )
            assert len(self.running) == self.store.n_seqs - 1
            return
        assert lease.cached_tokens == lease.committed == lease.length <= matched
        assert self.store.read(lease.seq) == tokens[: lease.length]
        self.running.append((lease, tokens[: lease.length]))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), tokens=CHUNKS)
    def evaluate(self, data: st.DataObject, tokens: list[int]) -> None:
        lease, held = self.pick(data)
        stats = self.cache.stats()
        fits = len(tokens) <= stats.free_cells + stats.live_tokens - stats.locked_tokens
        assert self.cache.reserve(len(tokens)) == fits
        if fits:
            evaluate(self.cache, self.store, lease, tokens)
            held += tokens

    @rule(tokens=SEQUENCES)
    def request(self, tokens: list[int]) -> None:
        """From start to end, where it fits."""
        try:
            lease = self.cache.acquire(tokens)
        except CacheFull:
            return
        assert self.store.read(lease.seq) == tokens[: lease.length]
        if self.cache.reserve(len(tokens) - lease.length):
            evaluate(self.cache, self.store, lease, tokens[lease.length :])
            self.cache.commit(lease, tokens)
        self.cache.release(lease)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        lease, held = self.pick(data)
        stop = lease.length - data.draw(st.sampled_from([0, 0, 1]))
        stop = max(stop, lease.committed)
        self.cache.commit(lease, held[:stop])
        assert lease.committed == stop
        assert self.cache.match(held[:stop], lease.namespace) == stop

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        lease, held = self.pick(data)
        length = data.draw(st.integers(lease.committed, lease.length))
        self.cache.truncate(lease, length)
        del held[length:]

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        lease, held = self.pick(data)
        committed = held[: lease.committed]
        self.running.remove((lease, held))
        self.cache.release(lease)
        assert self.cache.match(committed, lease.namespace) == len(committed)

    @precondition(lambda self: self.running and self.steps % 3 == 2)
    @rule(data=st.data(), name=st.sampled_from(["a", "b"]))
    def pin(self, data: st.DataObject, name: str) -> None:
        lease, held = self.pick(data)
        if not lease.committed:
            return
        with suppress(PinRefused):
            self.cache.pin(name, lease)
            self.pinned[name] = held[: lease.committed], lease.namespace

    @precondition(lambda self: self.pinned and self.steps % 4 == 3)
    @rule(data=st.data())
    def unpin(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.pinned)))
        assert self.cache.unpin(name)
        del self.pinned[name]

    @precondition(lambda self: self.steps % 3 == 1)
    @rule(n_cells=st.integers(0, 25))
    def reserve(self, n_cells: int) -> None:
        before = self.cache.stats()
        if self.cache.reserve(n_cells):
            assert self.cache.free_cells >= n_cells
        else:
            assert self.cache.stats() == before

    @precondition(lambda self: self.steps % 3 == 0)
    @rule()
    def trim_idle(self) -> None:
        self.cache.trim_idle()
        stats = self.cache.stats()
        assert stats.live_tokens - stats.locked_tokens <= self.idle_cells

    @precondition(lambda self: self.steps % 20 == 19)
    @rule(namespace=st.sampled_from([None, "", "tenant"]))
    def clear(self, namespace: str | None) -> None:
        self.cache.clear(namespace)
        if namespace is None and not self.pinned:
            stats = self.cache.stats()
            assert stats.live_tokens == stats.locked_tokens
            assert stats.parked_tokens == 0

    @precondition(lambda self: self.steps % 10 == 9)
    @rule()
    def defragment(self) -> None:
        self.store.failing_loads = 0
        before = self.cache.stats()
        assert self.cache.defragment()
        assert self.cache.stats() == before

    @rule(n=st.integers(1, 2))
    def loads_will_fail(self, n: int) -> None:
        self.store.failing_loads = n

    @invariant()
    def books_agree_with_the_store(self) -> None:
        self.steps += 1
        check(self.cache, self.store)
        assert self.cache.stats().host_bytes <= self.host_bytes

    @invariant()
    def what_is_pinned_is_cached(self) -> None:
        assert {pin.name for pin in self.cache.pins()} == self.pinned.keys()
        for tokens, namespace in self.pinned.values():
            assert self.cache.match(tokens, namespace) == len(tokens)

    @invariant()
    def every_lease_holds_its_tokens(self) -> None:
        for lease, held in self.running:
            assert self.store.read(lease.seq) == held
            assert lease.length == len(held)


TestCache = pytest.mark.slow(CacheMachine.TestCase)
TestCache.settings = settings(
    derandomize=True, deadline=None, max_examples=250, stateful_step_count=40
)


# --- sharing ---------------------------------------------------------------------------------


def test_a_second_request_evaluates_only_what_differs() -> None:
    cache, store = new_cache()
    run(cache, store, [*PROMPT, 1, 2])
    run(cache, store, [*PROMPT, 3, 4])
    assert store.written_tokens == 14
    assert store.held_cells == 14
    stats = cache.stats()
    assert (stats.queried_tokens_total, stats.hit_tokens_total) == (24, 10)
    assert stats.hit_rate == pytest.approx(10 / 24)


def test_limit_leaves_tokens_to_evaluate() -> None:
    cache, store = new_cache()
    run(cache, store, PROMPT)
    lease = cache.acquire(PROMPT, limit=len(PROMPT) - 1)
    assert lease.cached_tokens == 9
    assert store.read(lease.seq) == PROMPT[:-1]


def test_a_committed_part_is_shared_while_its_lease_runs() -> None:
    cache, store = new_cache()
    first = start(cache, store, PROMPT)
    second = cache.acquire([*PROMPT, 1])
    assert second.cached_tokens == 10
    assert second.seq != first.seq
    assert store.held_cells == 10


def test_concurrent_duplicates_are_one_copy_after_commit() -> None:
    cache, store = new_cache()
    first, second = cache.acquire(PROMPT), cache.acquire(PROMPT)
    for lease in (first, second):
        evaluate(cache, store, lease, PROMPT)
    assert store.held_cells == 20
    cache.commit(first, PROMPT)
    cache.commit(second, PROMPT)
    assert store.held_cells == 10
    assert store.read(second.seq) == PROMPT
    check(cache, store)


def test_commit_over_parked_tokens_makes_them_live_without_loading() -> None:
    cache, store = new_cache(n_cells=20)
    late = cache.acquire(PROMPT)
    run(cache, store, PROMPT)
    assert cache.reserve(20)
    assert cache.stats().parked_tokens == 10
    evaluate(cache, store, late, PROMPT)
    cache.commit(late, PROMPT)
    stats = cache.stats()
    assert (stats.live_tokens, stats.parked_tokens, store.loads) == (10, 0, 0)


def test_chunks_of_one_prompt_become_one_node() -> None:
    cache, store = new_cache()
    lease = cache.acquire(PROMPT)
    for stop in range(2, 11, 2):
        evaluate(cache, store, lease, PROMPT[stop - 2 : stop])
        cache.commit(lease, PROMPT[:stop])
    assert cache.stats().nodes == 1
    check(cache, store)


def test_an_idle_copy_gives_its_id_back_when_a_lease_commits_the_same() -> None:
    cache, store = new_cache()
    late = cache.acquire(PROMPT)
    run(cache, store, PROMPT)
    evaluate(cache, store, late, PROMPT)
    assert cache.stats().sequences_used == 2
    cache.commit(late, PROMPT)
    assert cache.stats().sequences_used == 1
    check(cache, store)


def test_committing_the_stem_of_an_idle_branch_leaves_the_branch_alone() -> None:
    cache, store = new_cache()
    late = cache.acquire(PROMPT)
    run(cache, store, [*PROMPT, 1])
    evaluate(cache, store, late, PROMPT)
    cache.commit(late, PROMPT)
    cache.release(late)
    assert store.read(cache.acquire([*PROMPT, 1]).seq) == [*PROMPT, 1]
    check(cache, store)


def test_branches_of_a_prefix_share_its_cells() -> None:
    cache, store = new_cache()
    lease = start(cache, store, PROMPT)
    twin = cache.acquire(PROMPT)
    evaluate(cache, store, twin, [1])
    evaluate(cache, store, lease, [2])
    assert store.read(twin.seq) == [*PROMPT, 1]
    assert store.read(lease.seq) == [*PROMPT, 2]
    assert (store.written_tokens, store.held_cells) == (12, 12)


def test_a_lease_goes_on_with_what_another_has_not_committed() -> None:
    cache, store = new_cache()
    lease = start(cache, store, PROMPT)
    twin = cache.acquire(PROMPT)
    evaluate(cache, store, lease, [1, 2, 3])
    cache.share(lease, twin, len(PROMPT) + 2)
    evaluate(cache, store, twin, [4])
    assert store.read(twin.seq) == [*PROMPT, 1, 2, 4]
    assert (store.held_cells, cache.stats().private_tokens) == (14, 6)
    cache.release(lease)
    cache.check_integrity()
    assert store.read(twin.seq) == [*PROMPT, 1, 2, 4]
    cache.commit(twin, [*PROMPT, 1, 2, 4])
    cache.release(twin)
    check(cache, store)
    with pytest.raises(ValueError, match="released"):
        cache.share(lease, twin, 12)


def test_a_shared_part_that_both_commit_is_one() -> None:
    cache, store = new_cache()
    lease = start(cache, store, PROMPT)
    twin = cache.acquire(PROMPT)
    evaluate(cache, store, lease, [1, 2])
    cache.share(lease, twin, len(PROMPT) + 2)
    for one in (lease, twin):
        cache.commit(one, [*PROMPT, 1, 2])
        cache.release(one)
    check(cache, store)
    assert (store.held_cells, store.written_tokens) == (12, 12)


def test_namespaces_never_share() -> None:
    cache, store = new_cache()
    run(cache, store, PROMPT, "a")
    assert cache.match(PROMPT, "a") == 10
    assert cache.match(PROMPT, "b") == 0
    assert cache.acquire(PROMPT, namespace="b").cached_tokens == 0


def test_release_forgets_private_tokens_and_keeps_committed_ones() -> None:
    cache, store = new_cache()
    lease = start(cache, store, PROMPT)
    evaluate(cache, store, lease, [1, 2, 3])
    cache.release(lease)
    assert (store.held_cells, cache.match([*PROMPT, 1])) == (10, 10)


# --- tiers -----------------------------------------------------------------------------------


def test_parked_tokens_come_back_without_evaluation() -> None:
    cache, store = new_cache(idle_cells=0)
    run(cache, store, [*PROMPT, 1])
    cache.trim_idle()
    assert (store.held_cells, cache.stats().parked_tokens) == (0, 11)
    lease = cache.acquire([*PROMPT, 2])
    assert lease.cached_tokens == 10
    assert store.read(lease.seq) == PROMPT
    assert (store.written_tokens, store.held_cells) == (11, 10)
    assert cache.stats().restored_tokens_total == 10


def test_parking_again_copies_nothing() -> None:
    cache, store = new_cache(idle_cells=0)
    run(cache, store, PROMPT)
    cache.trim_idle()
    for _ in range(3):
        cache.release(cache.acquire(PROMPT))
        cache.trim_idle()
    assert (store.saves, store.loads, store.held_cells) == (1, 3, 0)


def test_the_least_recently_used_leaf_is_parked_first() -> None:
    cache, store = new_cache()
    for last in (1, 2, 3):
        run(cache, store, [*PROMPT, last])
    cache.release(cache.acquire([*PROMPT, 1]))
    assert cache.reserve(64 - 12)
    assert cache.stats().parked_tokens == 1
    assert "parked: 2" in cache.render()


def test_a_prefix_in_use_is_newer_than_one_that_only_began_later() -> None:
    cache, store = new_cache()
    first = start(cache, store, [1, 1])
    run(cache, store, [2, 2])
    cache.release(first)
    assert cache.reserve(62)
    assert cache.acquire([1, 1]).cached_tokens == 2
    assert store.loads == 0


def test_using_a_restored_prefix_makes_its_host_copy_newer() -> None:
    cache, store = new_cache(host_bytes=4 * 8, idle_cells=0)
    for first in (1, 2):
        run(cache, store, [first, first])
        cache.trim_idle()
    cache.release(cache.acquire([1, 1]))
    cache.trim_idle()
    run(cache, store, [3, 3])
    cache.trim_idle()
    assert [cache.match([first, first]) for first in (1, 2, 3)] == [2, 0, 2]


def test_host_memory_gives_up_copies_of_live_tokens_too() -> None:
    cache, store = new_cache(host_bytes=4 * 8, idle_cells=0)
    run(cache, store, [1, 1, 1])
    cache.trim_idle()
    lease = cache.acquire([1, 1, 1])
    run(cache, store, [2, 2, 2])
    cache.trim_idle()
    assert (cache.match([2, 2, 2]), cache.stats().host_bytes) == (3, 24)
    assert store.read(lease.seq) == [1, 1, 1]
    check(cache, store)


def test_the_last_lease_on_a_prefix_takes_it_over_from_the_first() -> None:
    cache, store = new_cache()
    first = start(cache, store, PROMPT)
    second = cache.acquire([*PROMPT, 1])
    evaluate(cache, store, second, [1])
    cache.commit(second, [*PROMPT, 1])
    assert cache.stats().sequences_used == 2
    cache.release(first)
    assert cache.stats().sequences_used == 1
    check(cache, store)


def test_locked_tokens_stay() -> None:
    cache, store = new_cache(n_cells=20)
    lease = start(cache, store, PROMPT)
    assert not cache.reserve(11)
    assert cache.reserve(10)
    assert store.read(lease.seq) == PROMPT


def test_the_host_budget_drops_the_oldest_parked_leaf() -> None:
    cache, store = new_cache(host_bytes=3 * 8, idle_cells=0)
    for first in (1, 2):
        run(cache, store, [first, first])
        cache.trim_idle()
    assert (cache.match([1, 1]), cache.match([2, 2])) == (0, 2)
    stats = cache.stats()
    assert (stats.host_bytes, stats.parked_tokens, stats.evicted_tokens_total) == (16, 2, 2)


def test_without_host_memory_idle_tokens_are_forgotten() -> None:
    cache, store = new_cache(host_bytes=0, idle_cells=0)
    run(cache, store, PROMPT)
    cache.trim_idle()
    assert (cache.match(PROMPT), store.saves, store.held_cells) == (0, 0, 0)


def test_a_node_larger_than_the_host_budget_does_not_flush_it() -> None:
    cache, store = new_cache(host_bytes=4 * 8, idle_cells=0)
    run(cache, store, [1, 1])
    cache.trim_idle()
    run(cache, store, PROMPT)
    cache.trim_idle()
    assert (cache.match([1, 1]), cache.match(PROMPT)) == (2, 0)


def test_a_host_without_memory_forgets_instead() -> None:
    class NoMemory(FakeKVStore):
        def save(self, seq: int, start: int, stop: int) -> Blob:
            raise MemoryError

    cache, store = new_cache(store=NoMemory(64, 8))
    run(cache, store, PROMPT)
    run(cache, store, [*PROMPT, 1])
    assert cache.reserve(64)
    assert (cache.match(PROMPT), store.held_cells) == (0, 0)
    check(cache, store)


def test_idle_tokens_within_the_limit_stay_live() -> None:
    cache, store = new_cache(idle_cells=10)
    run(cache, store, PROMPT)
    cache.trim_idle()
    assert cache.stats().live_tokens == 10
    run(cache, store, [1])
    cache.trim_idle()
    assert cache.stats().live_tokens <= 10


# --- when something does not fit -------------------------------------------------------------


def test_a_failed_load_leaves_the_live_prefix() -> None:
    cache, store = new_cache(idle_cells=4)
    run(cache, store, PROMPT[:4])
    run(cache, store, PROMPT)
    cache.release(cache.acquire(PROMPT[:4]))
    cache.trim_idle()
    store.failing_loads = 1
    lease = cache.acquire(PROMPT)
    assert (lease.cached_tokens, cache.match(PROMPT)) == (4, 10)
    assert store.read(lease.seq) == PROMPT[:4]
    check(cache, store)
    assert cache.acquire(PROMPT).cached_tokens == 10


def test_a_blob_that_does_not_fit_leaves_the_live_prefix() -> None:
    cache, store = new_cache(n_cells=12, idle_cells=0)
    run(cache, store, PROMPT)
    cache.trim_idle()
    other = start(cache, store, [1, 2, 3])
    assert cache.acquire(PROMPT).cached_tokens == 0
    cache.release(other)
    assert cache.acquire(PROMPT).cached_tokens == 10
    check(cache, store)


def test_room_for_a_whole_blob_is_made_for_the_part_that_is_wanted() -> None:
    cache, store = new_cache(n_cells=12)
    run(cache, store, PROMPT)
    assert cache.reserve(12)
    run(cache, store, [1, 2, 3, 4, 5, 6])
    lease = cache.acquire(PROMPT[:4])
    assert store.read(lease.seq) == PROMPT[:4]
    assert store.held_cells == 4
    check(cache, store)


def test_acquire_without_a_free_id_raises_and_changes_nothing() -> None:
    cache, store = new_cache(n_seqs=3)
    leases = [start(cache, store, [first]) for first in (1, 2)]
    before, tree = cache.stats(), cache.render()
    with pytest.raises(CacheFull, match="all 2 sequences are on loan"):
        cache.acquire([1, 2])
    assert (cache.stats(), cache.render()) == (before, tree)
    cache.release(leases[0])
    assert cache.acquire([1, 2]).cached_tokens == 1


def test_one_id_is_enough_for_one_request_at_a_time() -> None:
    cache, store = new_cache(n_seqs=2)
    run(cache, store, [*PROMPT, 1, 2])
    for tokens in ([*PROMPT, 3], PROMPT[:5], [7], [*PROMPT, 1, 2, 3]):
        run(cache, store, tokens)
        check(cache, store)
    assert store.written_tokens == 12 + 1 + 0 + 1 + 1


def test_a_long_conversation_holds_one_id() -> None:
    cache, store = new_cache(n_cells=512, n_seqs=4, idle_cells=512)
    for turns in range(1, 50):
        run(cache, store, list(range(5 * turns)))
    assert cache.stats().sequences_used == 1
    assert store.written_tokens == 5 * 49


# --- the rest --------------------------------------------------------------------------------


def test_clear_keeps_what_leases_use() -> None:
    cache, store = new_cache()
    run(cache, store, [*PROMPT, 1])
    run(cache, store, [1, 2], "other")
    lease = start(cache, store, PROMPT)
    cache.clear()
    assert store.read(lease.seq) == PROMPT
    assert (store.held_cells, cache.match([*PROMPT, 1]), cache.match([1, 2], "other")) == (
        10,
        10,
        0,
    )
    cache.release(lease)
    cache.clear("")
    assert store.held_cells == 0
    check(cache, store)


def misuses() -> list[tuple[Callable[[RadixCache, Lease], object], str]]:
    return [
        (lambda cache, lease: cache.extend(lease, -1), "cannot extend a lease by -1"),
        (lambda cache, lease: cache.commit(lease, PROMPT[:9]), "commit of 9 tokens; expected 10"),
        (lambda cache, lease: cache.commit(lease, [*PROMPT, 1, 2]), r"to 11 \(those in the seq"),
        (lambda cache, lease: cache.commit(lease, [0] * 11), "changes tokens below 10"),
        (lambda cache, lease: cache.truncate(lease, 9), "truncate to 9 tokens; expected 10"),
        (lambda cache, lease: cache.truncate(lease, 12), "truncate to 12 tokens"),
        (lambda cache, lease: cache.share(lease, lease, 12), "share 12 tokens of 11"),
    ]


@pytest.mark.parametrize(("act", "message"), misuses())
def test_misuse_is_refused_and_changes_nothing(
    act: Callable[[RadixCache, Lease], object], message: str
) -> None:
    cache, store = new_cache()
    lease = start(cache, store, PROMPT)
    evaluate(cache, store, lease, [1])
    before = cache.stats()
    with pytest.raises(ValueError, match=message):
        act(cache, lease)
    assert cache.stats() == before
    check(cache, store)


def test_a_lease_ends_once() -> None:
    cache, store = new_cache()
    lease = start(cache, store, PROMPT)
    cache.release(lease)
    with pytest.raises(ValueError, match="released"):
        cache.release(lease)
    with pytest.raises(ValueError, match="released"):
        cache.extend(lease, 1)


def test_a_store_needs_two_sequences() -> None:
    with pytest.raises(ValueError, match="1 sequences; at least 2"):
        new_cache(n_seqs=1)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("live_tokens", "live tokens: 13 in the books, 12 counted"),
        ("idle_tokens", "idle tokens: 3 in the books, 2 counted"),
        ("parked_tokens", "parked tokens: 1 in the books, 0 counted"),
        ("private_tokens", "private tokens: 2 in the books, 1 counted"),
    ],
)
def test_wrong_books_are_found(field: str, message: str) -> None:
    cache, store = new_cache()
    run(cache, store, [1, 2])
    evaluate(cache, store, start(cache, store, PROMPT), [1])
    check(cache, store)
    setattr(cache._tiers, field, getattr(cache._tiers, field) + 1)
    with pytest.raises(AssertionError, match=message):
        cache.check_integrity()

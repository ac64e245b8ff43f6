"""What each policy evicts first, and that a rank never falls while nobody uses the node."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.radix_cache import FakeKVStore, Node, RadixCache
from treegram.radix_cache.policy import (
    CostAware,
    Lfu,
    Lru,
    Policy,
    PolicyName,
    PriorityFirst,
    Slru,
    new_policy,
)

POLICIES: list[type[Lru]] = [Lru, Lfu, Slru, PriorityFirst, CostAware]


def cache_of(policy: PolicyName, host_tokens: int) -> tuple[RadixCache, FakeKVStore]:
    """Room for `host_tokens` parked tokens, and nothing idle stays live."""
    ticks = count(1)
    store = FakeKVStore(64, 8)
    cache = RadixCache(
        store,
        host_bytes=8 * host_tokens,
        policy=policy,
        idle_cells=0,
        clock=lambda: float(next(ticks)),
    )
    return cache, store


def use(cache: RadixCache, store: FakeKVStore, tokens: list[int], priority: int = 0) -> None:
    lease = cache.acquire(tokens, priority=priority)
    assert cache.reserve(len(tokens) - lease.length)
    for position in range(lease.length, len(tokens)):
        store.write(lease.seq, position, tokens[position])
    cache.extend(lease, len(tokens) - lease.length)
    cache.commit(lease, tokens)
    cache.release(lease)
    cache.trim_idle()
    cache.check_integrity()


def test_lru_drops_what_was_used_longest_ago() -> None:
    cache, store = cache_of("lru", 4)
    for first in (1, 1, 2, 3):
        use(cache, store, [first, first])
    assert [cache.match([n, n]) for n in (1, 2, 3)] == [0, 2, 2]


def test_lfu_drops_what_was_used_least_often() -> None:
    cache, store = cache_of("lfu", 4)
    for first in (1, 1, 2, 3):
        use(cache, store, [first, first])
    assert [cache.match([n, n]) for n in (1, 2, 3)] == [2, 0, 2]


def test_priority_drops_what_only_unimportant_requests_used() -> None:
    cache, store = cache_of("priority", 4)
    for first, priority in ((1, 5), (1, 0), (2, 1), (3, 1), (4, 1)):
        use(cache, store, [first, first], priority)
    assert [cache.match([n, n]) for n in (1, 2, 3, 4)] == [2, 0, 0, 2]


@pytest.mark.parametrize("policy", ["slru", "cost_aware"])
def test_a_scan_of_single_uses_passes_over_what_was_used_again_but_not_for_ever(
    policy: PolicyName,
) -> None:
    cache, store = cache_of(policy, 12)
    for first in range(10, 20):  # lets the policy learn how old nodes get
        use(cache, store, [first, first])
    for first in (1, 1):
        use(cache, store, [first, first])
    survived = 0
    for first in range(100, 160):
        use(cache, store, [first, first])
        survived += cache.match([1, 1]) == 2
    in_a_queue = 12 // 2 - 1
    assert in_a_queue < survived < 60


def test_deeper_tokens_cost_more_to_recompute() -> None:
    policy = CostAware(attention_tokens=10)
    parent = Node(np.zeros(20, np.int32), None, 0.0)
    shallow, deep = Node(np.zeros(5, np.int32), None, 0.0), Node(np.zeros(5, np.int32), parent, 0.0)
    policy.evicted(Node(np.zeros(1, np.int32), None, 0.0), 8.0)
    for node in (shallow, deep):
        policy.use(node, 10.0, 0)
    assert policy.rank(shallow) < policy.rank(deep)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.sampled_from(POLICIES),
    st.lists(st.tuples(st.sampled_from(["use", "evict", "wait"]), st.integers(0, 3)), max_size=40),
)
def test_a_rank_grows_with_use_and_never_falls_meanwhile(
    kind: type[Lru], steps: list[tuple[str, int]]
) -> None:
    policy: Policy = kind()
    nodes = [Node(np.zeros(2, np.int32), None, 0.0) for _ in range(4)]
    ranks = [policy.rank(node) for node in nodes]
    for now, (step, at) in enumerate(steps, 1):
        if step == "use":
            policy.use(nodes[at], float(now), at)
            nodes[at].last_used = float(now)
            # an advance is measured by what goes now, which may be less than it was
            assert policy.rank(nodes[at]) > ranks[at] or kind is CostAware
            ranks[at] = policy.rank(nodes[at])
        elif step == "evict":
            policy.evicted(nodes[at], float(now))
        for i, node in enumerate(nodes):
            assert policy.rank(node) >= ranks[i]
            ranks[i] = policy.rank(node)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="no eviction policy 'fifo'; expected one of lru, lfu"):
        new_policy("fifo")  # type: ignore[arg-type]  # the mistake that is tested

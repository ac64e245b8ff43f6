"""The queue gives up nodes by their last use at that moment, however often they were used."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.radix_cache import Node
from treegram.radix_cache.eviction import EvictionQueue
from treegram.radix_cache.policy import Lru


def node(last_used: float = 0) -> Node:
    return Node(np.array([1], dtype=np.int32), None, last_used)


STEPS = st.tuples(st.sampled_from(["add", "discard", "use", "pop"]), st.integers(0, 7))


def test_use_while_waiting_counts() -> None:
    queue, first, second = EvictionQueue(Lru().rank), node(1), node(2)
    queue.add(first)
    queue.add(second)
    first.last_used = 3
    assert [queue.pop(), queue.pop(), queue.pop()] == [second, first, None]


@settings(derandomize=True, deadline=None)
@given(st.lists(STEPS, min_size=20))
def test_agrees_with_sorting(steps: list[tuple[str, int]]) -> None:
    nodes = [node() for _ in range(8)]
    queue, held = EvictionQueue(Lru().rank), set[int]()
    for now, (step, i) in enumerate(steps, start=1):
        if step == "add":
            queue.add(nodes[i])
            held.add(i)
        elif step == "discard":
            queue.discard(nodes[i])
            held.discard(i)
        elif step == "use":
            nodes[i].last_used = now
        else:
            popped = queue.pop()
            if popped is None:
                assert not held
            else:
                oldest = min(nodes[j].last_used for j in held)
                assert popped.last_used == oldest
                held.remove(nodes.index(popped))
        assert len(queue) == len(held)
        assert all((nodes[j] in queue) == (j in held) for j in range(8))


def test_void_entries_do_not_pile_up() -> None:
    queue, kept = EvictionQueue(Lru().rank), node()
    queue.add(kept)
    for _ in range(10_000):
        other = node()
        queue.add(other)
        queue.discard(other)
    assert len(queue._heap) < 200
    assert queue.pop() is kept

"""The order of waiting requests: depth-first over their trie, by priority, and nobody starves."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from outcomes import N_VOCAB, Outcome, run

from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder
from treegram.runtime.request import EngineRequest
from treegram.runtime.waiting import WaitingQueue


def waiting(tokens: list[int], priority: int = 0, namespace: str = "") -> EngineRequest:
    request = EngineRequest(
        list(tokens), 0, lambda *_: None, priority=priority, namespace=namespace
    )
    request.prefill = np.array(tokens, np.int32)
    return request


def drain(queue: WaitingQueue) -> list[list[int]]:
    order: list[list[int]] = []
    while (request := queue.scan().next()) is not None:
        queue.remove(request, admitted=True)
        order.append(request.tokens)
    return order


def test_requests_that_share_a_prefix_come_together() -> None:
    queue = WaitingQueue()
    for tokens in ([2, 1], [1, 1], [2, 2], [1, 2], [300, 1], [2, 1, 5]):
        queue.add(waiting(tokens))
    assert drain(queue) == [[1, 1], [1, 2], [2, 1], [2, 1, 5], [2, 2], [300, 1]]


def test_the_scan_goes_on_from_whom_it_admitted_last() -> None:
    """A follow-up of the request that has just run comes before all others."""
    queue = WaitingQueue()
    for tokens in ([5, 1], [3, 1], [7, 1]):
        queue.add(waiting(tokens))
    first, second = waiting([4]), waiting([4, 9])
    queue.add(first)
    scan = queue.scan()
    assert scan.next() is not None
    assert scan.next() is first
    queue.remove(first, admitted=True)
    queue.add(second)
    assert drain(queue) == [[4, 9], [5, 1], [7, 1], [3, 1]]


def test_higher_priorities_go_first_and_those_that_ran_before_them() -> None:
    queue = WaitingQueue()
    for tokens, priority in (([1], 0), ([2], 5), ([3], -1), ([4], 5)):
        queue.add(waiting(tokens, priority))
    queue.put_back(waiting([9]))
    assert len(queue) == 5
    assert drain(queue) == [[9], [2], [4], [1], [3]]
    assert len(queue) == 0


def test_a_group_that_waits_for_one_prefix_is_passed_over_at_once() -> None:
    queue = WaitingQueue()
    for tokens in ([1, 2, 3], [1, 2, 4], [1, 2, 2**31 - 1], [1, 3], [2]):
        queue.add(waiting(tokens))
    scan = queue.scan()
    found = scan.next()
    assert found is not None
    assert found.tokens == [1, 2, 3]
    following = scan.next(past=2)
    assert following is not None
    assert following.tokens == [1, 3]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(0, 2)),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 4),
)
def test_a_scan_yields_everybody_and_skips_exactly_who_shares(
    added: list[tuple[list[int], int]], past: int
) -> None:
    queue = WaitingQueue()
    for tokens, priority in added:
        queue.add(waiting(tokens, priority))
    expected = sorted(added, key=lambda item: (-item[1], item[0]))
    scan, order = queue.scan(), []
    while (request := scan.next()) is not None:
        order.append((request.tokens, request.priority))
    assert order == expected
    scan, order = queue.scan(), []
    request = scan.next()
    while request is not None:
        order.append((request.tokens, request.priority))
        request = scan.next(past=min(past, len(request.tokens)))
    kept: list[tuple[list[int], int]] = []
    for tokens, priority in expected:
        last = kept[-1] if kept else None
        n = min(past, len(last[0])) if last else 0
        if not (last and n and priority == last[1] and tokens[:n] == last[0][:n]):
            kept.append((tokens, priority))
    assert order == kept


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40), st.randoms(use_true_random=False))
def test_nobody_starves(ahead: int, rng: random.Random) -> None:
    """However many come later and sort first, a request is overtaken a bounded number of times."""
    queue = WaitingQueue()
    for _ in range(ahead):
        queue.add(waiting([rng.randrange(100)]))
    victim = waiting([1000])
    queue.add(victim)
    bound = 2 * ahead + queue.PATIENCE + 1
    for n in range(4 * bound):
        queue.add(waiting([rng.randrange(100)]))
        request = queue.scan().next()
        assert request is not None
        queue.remove(request, admitted=True)
        if request is victim:
            assert n <= bound + ahead
            return
    raise AssertionError("it waits for ever")


def test_a_short_queue_owes_its_turn_soon_whoever_waits_longer() -> None:
    queue = WaitingQueue()
    for i in range(500):
        queue.add(waiting([5, i]))
    queue.add(waiting([1], -1))
    for _ in range(500):
        request = queue.scan().next()
        assert request is not None
        queue.remove(request, admitted=True)
    late = waiting([2], -1)
    queue.add(late)
    for n in range(queue.PATIENCE + 5):
        queue.add(waiting([9, n]))
        request = queue.scan().next()
        assert request is not None
        queue.remove(request, admitted=True)
        if request is late:
            return
    raise AssertionError("it is overdue")


def run_groups(order: list[list[int]]) -> int:
    """Tokens that an engine evaluates for prompts sent in this order, with room for one group."""
    decoder = FakeDecoder(n_cells=64, n_seqs=8, n_batch=64)
    engine = Engine(decoder, max_running=2, idle_cells=64, host_bytes=0, logits_bytes=0)
    outcomes = [Outcome(prompt, 1) for prompt in order]
    run(engine, outcomes)
    assert all(outcome.ended == [None] for outcome in outcomes)
    return decoder.evaluated_tokens


def test_with_room_for_one_request_each_shared_prefix_is_evaluated_once() -> None:
    rng = random.Random(5)
    groups = [[rng.randrange(1, N_VOCAB) for _ in range(24)] for _ in range(8)]
    prompts = [[*group, i, 1] for i in range(1, 7) for group in groups]
    rng.shuffle(prompts)
    trie = {tuple(p[:k]) for p in prompts for k in range(1, len(p) + 1)}
    assert run_groups(prompts) == len(trie)


def test_what_a_waiting_request_will_find_outlives_what_nobody_waits_for() -> None:
    """The last in the queue finds its prompt, though the cache has seen twice its size since."""
    engine = Engine(FakeDecoder(n_cells=64), max_running=1, idle_cells=0, host_bytes=8 * 70)
    prompts = [[31] * 20, *([n] * 20 for n in range(1, 7)), [*[31] * 19, 1]]
    outcomes = [Outcome(prompt, 1) for prompt in prompts]
    engine.submit(outcomes[0].request)
    engine.step()
    run(engine, outcomes[1:])
    assert [outcome.request.cached_tokens for outcome in outcomes] == [0] * 7 + [19]


def test_each_that_waits_has_its_turn() -> None:
    queue = WaitingQueue()
    requests = [waiting([n]) for n in (3, 1, 2)]
    for request in requests:
        queue.add(request)
    assert [queue.in_turn() for _ in range(4)] == [*requests, requests[0]]
    queue.remove(requests[1], admitted=True)
    assert [queue.in_turn() for _ in range(3)] == [requests[2], requests[0], requests[2]]
    queue.clear()
    assert queue.in_turn() is None


def test_nobody_waits_for_a_request_that_known_logits_have_finished() -> None:
    """It holds no lease, and computes nothing that another could share."""
    engine = Engine(FakeDecoder(), idle_cells=0, host_bytes=0)
    for prompts in ([[1, 2, 3, 4]], [[1, 2, 3, 4], [1, 2, 3, 4, 5]]):
        outcomes = [Outcome(prompt, 1) for prompt in prompts]
        run(engine, outcomes)
        assert all(outcome.ended == [None] for outcome in outcomes)

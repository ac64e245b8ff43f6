"""The simulations count what a plain, slow account of the same cache would."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from itertools import compress, product
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from treegram.radix_cache.policy import PolicyName
from treegram.radix_cache.tree import Node, TokenArray

sys.path.insert(0, str(Path(__file__).parent))

import cache_traces
import scheduling_overhead
from cache_simulation import leafwise_belady, simulate, whole_tree
from engine_simulation import serve
from trace_sources import mooncake, zipf_groups


def prompts(*rows: list[int]) -> list[TokenArray]:
    return [np.array(row, np.int32) for row in rows]


def least_evaluated(rows: list[TokenArray], capacity: int) -> int:
    """The best of all ways to keep edges of the final tree; tries every one."""
    tree, _, _ = whole_tree(rows)
    choices = product([False, True], repeat=len(tree))
    subsets = [frozenset(compress(tree.nodes(), choice)) for choice in choices]
    keepable = [
        kept
        for kept in subsets
        if sum(map(len, kept)) <= capacity
        and kept.issuperset(n.parent for n in kept if n.parent and n.parent.parent)
    ]
    costs = {frozenset[Node](): 0}
    for row in rows:
        path = set(tree.match_prefix(row).node.path()[1:])
        following: dict[frozenset[Node], int] = {}
        for before, cost in costs.items():
            paid = cost + sum(len(node) for node in path - before)
            for kept in keepable:
                if kept <= before | path:
                    following[kept] = min(paid, following.get(kept, paid))
        costs = following
    return min(costs.values())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("capacity", [0, 2, 3])
def test_belady_is_the_best_where_edges_are_of_one_token(seed: int, capacity: int) -> None:
    rng = np.random.default_rng(seed)
    leaves = prompts([1], [1, 2], [1, 3], [4], [4, 5])
    rows = [*leaves, *(leaves[i] for i in rng.integers(0, len(leaves), 8))]
    tree, _, _ = whole_tree(rows)
    assert leafwise_belady(rows, tree, capacity) == least_evaluated(rows, capacity)


def test_without_a_limit_each_token_is_evaluated_once() -> None:
    trace = zipf_groups(300, n_groups=10)
    tree, tokens, longest = whole_tree(trace.prompts())
    run = simulate(trace.prompts(), capacity_tokens=None, policy="lru", n_cells=longest)
    assert run.evaluated == tokens == leafwise_belady(trace.prompts(), tree, tokens)
    assert (run.requests, run.nodes) == (300, len(tree))
    assert run.moved > 0


@pytest.mark.parametrize("policy", get_args(PolicyName))
def test_no_policy_beats_belady(policy: PolicyName) -> None:
    trace = zipf_groups(400, n_groups=20)
    tree, tokens, longest = whole_tree(trace.prompts())
    best = leafwise_belady(trace.prompts(), tree, tokens // 10)
    run = simulate(
        trace.prompts(),
        capacity_tokens=tokens // 10,
        policy=policy,
        n_cells=longest,
    )
    assert tokens <= best <= run.evaluated < run.prompt


@pytest.mark.parametrize("gap_s", [0.0, 0.05, 1.0])
def test_however_fast_requests_come_the_engine_evaluates_each_token_once(gap_s: float) -> None:
    """With all at once, some that wait, and one at a time; answers begin one token deep."""
    trace = zipf_groups(200, n_groups=10)
    tree, tokens, longest = whole_tree(trace.prompts())
    run = serve(
        trace, gap_s=gap_s, capacity_tokens=None, policy="lru", n_cells=8 * longest, n_marks=4
    )
    again = 200 - sum(1 for node in tree.nodes() if not node.children)
    assert tokens <= run.evaluated <= tokens + again
    assert run.answered == 600
    assert (run.most_pending == 200) == (gap_s == 0)
    assert [mark.requests for mark in run.marks][-1] == 200
    assert run.marks[-1].cached_tokens <= tokens + 600


def test_a_cache_of_a_tenth_evaluates_more_and_no_more_than_all(tmp_path: Path) -> None:
    trace = zipf_groups(200, n_groups=10)
    _, tokens, longest = whole_tree(trace.prompts())
    run = serve(trace, gap_s=1.0, capacity_tokens=tokens // 10, policy="lru", n_cells=2 * longest)
    assert tokens < run.evaluated < run.prompt
    assert 0 < run.hit_rate < 1


def test_the_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert scheduling_overhead.main(["--leaves", "20", "--waiting", "40"]) == 0
    assert cache_traces.main(["--scale", "--requests", "60"]) == 0
    out = capsys.readouterr().out
    assert "| 32 | 40 |" in out
    assert "a cache of any size" in out


def test_a_generated_trace_is_the_same_every_time() -> None:
    def lists(seed: int) -> Iterator[list[int]]:
        return (row.tolist() for row in zipf_groups(50, seed=seed).prompts())

    assert list(lists(1)) == list(lists(1)) != list(lists(2))


def test_a_published_trace_shares_what_its_blocks_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"timestamp": 0, "input_length": 1000, "output_length": 5, "hash_ids": [0, 1]},
        {"timestamp": 9, "input_length": 1030, "output_length": 5, "hash_ids": [0, 1, 2]},
    ]
    path = tmp_path / "small.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    first, second = mooncake(path, None).prompts()
    assert (len(first), len(second)) == (1000, 1030)
    assert (first == second[:1000]).all()
    assert len(np.unique(second)) == 1030
    asked = ["--data", str(tmp_path), "--policy", "lru", "--load", "1"]
    assert cache_traces.main(asked) == 0
    out = capsys.readouterr().out
    assert "small: a trie of 1,030 tokens in 2 nodes" in out
    assert "| lru, load 1, up to " in out

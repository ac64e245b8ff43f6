"""The prefix cache on traces: eviction policies against Belady, and what a request costs.

    python tests/benchmarks/cache_traces.py --data TRACES       published traces
    python tests/benchmarks/cache_traces.py --requests 1000000  a generated one, and how it scales

The cache is the real one; the KV store under it only counts, so a machine's memory is no limit.
Figures are in tokens evaluated over the tokens of the trie of all prompts (1.00 computes nothing
twice). Only prompts are simulated: the traces say how long the answers were, not what they were.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from cache_simulation import leafwise_belady, simulate, whole_tree
from trace_sources import Trace, mooncake, zipf_groups

from treegram.radix_cache.policy import PolicyName

MARKS = (1_000, 10_000, 100_000, 1_000_000)
"""Sizes of the tree at which the time per request is noted."""


def compare(trace: Trace, share: float, policies: Sequence[PolicyName]) -> list[str]:
    """Lines of a Markdown table: each policy with a cache of `share` of the working set."""
    tree, working_set, longest = whole_tree(trace.prompts())
    capacity = int(share * working_set)
    best = leafwise_belady(trace.prompts(), tree, capacity)
    lines = [
        f"\n{trace.name}: a trie of {working_set:,} tokens in {len(tree):,} nodes; the cache "
        f"holds {capacity:,} ({share:.0%}); Belady evaluates {best / working_set:.3f}x\n",
        "| policy | hit rate | evaluated / minimum | against Belady | us per request |",
        "|---|--:|--:|--:|--:|",
    ]
    del tree
    for policy in policies:
        run = simulate(
            trace.prompts(), capacity_tokens=capacity, policy=policy, n_cells=2 * longest
        )
        lines.append(
            f"| {policy} | {run.hit_rate:.1%} | {run.evaluated / working_set:.3f} "
            f"| {run.evaluated / best - 1:+.1%} | {run.us_per_request:.0f} |"
        )
    return lines


def scale(trace: Trace, capacity: int | None, policy: PolicyName) -> list[str]:
    """Lines on how the cost of a request grows with the tree, and what a token takes."""
    before = _resident_bytes()
    run = simulate(
        trace.prompts(), capacity_tokens=capacity, policy=policy, n_cells=1 << 20, marks=MARKS
    )
    grown = _resident_bytes() - before
    held = run.evaluated if capacity is None else min(capacity, run.evaluated)
    size = "any size" if capacity is None else f"{capacity:,} tokens"
    lines = [
        f"\n{trace.name}, {policy}: {run.requests:,} requests of {run.prompt:,} tokens, cache of "
        f"{size}: {run.nodes:,} nodes, {run.us_per_request:.0f} us per request, hit rate "
        f"{run.hit_rate:.1%}; {grown / held:.1f} bytes of the tree per cached token, "
        f"{grown / run.nodes:.0f} per node\n",
        "| nodes | us per request |",
        "|--:|--:|",
    ]
    return lines + [f"| {nodes:,} | {us:.0f} |" for nodes, us in run.marks.items()]


def _resident_bytes() -> int:
    """The process's largest resident size so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder of Mooncake traces (*.jsonl.gz)")
    parser.add_argument(
        "--requests", type=int, help="requests of each trace (default: all, 20,000 generated)"
    )
    parser.add_argument("--share", type=float, default=0.1, help="cache / working set")
    parser.add_argument("--policy", action="append", choices=get_args(PolicyName))
    parser.add_argument("--scale", action="store_true", help="only the cost per request")
    options = parser.parse_args(arguments)

    policies: list[PolicyName] = options.policy or list(get_args(PolicyName))
    generated = zipf_groups(options.requests or 20_000)
    print(f"load {os.getloadavg()[0]:.1f}")
    if options.scale:
        print("\n".join(scale(generated, None, policies[0])), flush=True)
        return 0
    traces = [generated]
    if options.data is not None:
        paths = sorted(options.data.glob("*.jsonl.gz"))
        if not paths:
            parser.error(f"{options.data} holds no *.jsonl.gz")
        traces = [mooncake(path, options.requests) for path in paths]
    for trace in traces:
        print("\n".join(compare(trace, options.share, policies)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

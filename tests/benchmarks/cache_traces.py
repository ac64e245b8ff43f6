"""The prefix cache on traces: eviction policies against Belady, and what a request costs.

    python tests/benchmarks/cache_traces.py --data TRACES              published traces
    python tests/benchmarks/cache_traces.py                            a generated one
    python tests/benchmarks/cache_traces.py --scale --requests 1000000 how it scales

The cache is the real one; the KV store under it only counts, so a machine's memory is no limit.
Figures are in tokens evaluated over the tokens of the trie of all prompts (1.00 computes nothing
twice). Only prompts are simulated: the traces say how long the answers were, not what they were.

A policy's own line takes the requests one by one, in the order of the trace. With a load, they come
at their own times and the real scheduler serves them (`engine_simulation.py`): at 1.0 they bring as
much work as the machine can do if it computes nothing twice, so that some wait; and the cache keeps
what waiting requests will find. Belady is told the order of the trace, not the scheduler's.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import get_args

from cache_simulation import leafwise_belady, simulate, whole_tree
from engine_simulation import TOKEN_S, serve
from trace_sources import Trace, mooncake, zipf_groups

from treegram.radix_cache.policy import DEFAULT_POLICY, PolicyName

SCALE_LOAD = 0.8
SAMPLE = 10_000


def compare(
    trace: Trace, share: float, policies: Sequence[PolicyName], loads: Sequence[float]
) -> list[str]:
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

    def line(name: str, hit_rate: float, evaluated: int, request_us: float) -> str:
        return (
            f"| {name} | {hit_rate:.1%} | {evaluated / working_set:.3f} "
            f"| {evaluated / best - 1:+.1%} | {request_us:.0f} |"
        )

    for policy in policies:
        run = simulate(
            trace.prompts(), capacity_tokens=capacity, policy=policy, n_cells=2 * longest
        )
        lines.append(line(policy, run.hit_rate, run.evaluated, run.us_per_request))
        for load in loads:
            served = serve(
                trace,
                gap_s=_gap_s(trace, load),
                capacity_tokens=capacity,
                policy=policy,
                n_cells=2 * longest,
                n_batch=2048,
                answer_tokens=1,
            )
            name = f"{policy}, load {load:g}, up to {served.most_pending} at once"
            lines.append(line(name, served.hit_rate, served.evaluated, served.request_us))
    return lines


def scale(trace: Trace, policy: PolicyName) -> list[str]:
    """Lines on how the cost of a request grows with the tree, and what a token takes."""
    run = serve(
        trace,
        gap_s=_gap_s(trace, SCALE_LOAD),
        capacity_tokens=None,
        policy=policy,
        n_cells=1 << 17,
    )
    last = run.marks[-1]
    overhead = (run.evaluated + run.answered) / last.cached_tokens
    lines = [
        f"\n{trace.name}, {policy}, load {SCALE_LOAD:g}: {last.requests:,} requests of "
        f"{run.prompt:,} tokens, a cache of any size: hit rate {run.hit_rate:.1%}, "
        f"{overhead:.4f} tokens evaluated per token of the tree; "
        f"first token after {run.first_token_s[0]:.2f} s (median) and {run.first_token_s[1]:.2f} s "
        f"(99th percentile) of simulated time; {last.memory_bytes / last.cached_tokens:.1f} bytes "
        f"of the process per cached token, {last.memory_bytes / last.nodes:.0f} per node\n",
        "| requests | nodes | cached tokens | us per request | us per step |",
        "|--:|--:|--:|--:|--:|",
    ]
    return lines + [
        f"| {mark.requests:,} | {mark.nodes:,} | {mark.cached_tokens:,} | {mark.request_us:.0f} "
        f"| {mark.step_us:.0f} |"
        for mark in run.marks
    ]


def _gap_s(trace: Trace, load: float) -> float:
    """The time between two requests at which their new tokens take `load` of all time."""
    _, tokens, _ = whole_tree(islice(trace.prompts(), SAMPLE))
    n = sum(1 for _ in islice(trace.prompts(), SAMPLE))
    return tokens / n * TOKEN_S / load


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder of Mooncake traces (*.jsonl.gz)")
    parser.add_argument(
        "--requests", type=int, help="requests of each trace (default: all, 20,000 generated)"
    )
    parser.add_argument("--share", type=float, default=0.1, help="cache / working set")
    parser.add_argument("--policy", action="append", choices=get_args(PolicyName))
    parser.add_argument(
        "--load", type=float, action="append", default=[], help="through the scheduler, too"
    )
    parser.add_argument("--scale", action="store_true", help="only the cost per request")
    options = parser.parse_args(arguments)

    policies: list[PolicyName] = options.policy or list(get_args(PolicyName))
    generated = zipf_groups(options.requests or 20_000)
    print(f"load {os.getloadavg()[0]:.1f}")
    if options.scale:
        policy = policies[0] if options.policy else DEFAULT_POLICY
        print("\n".join(scale(generated, policy)), flush=True)
        return 0
    traces = [generated]
    if options.data is not None:
        paths = sorted(options.data.glob("*.jsonl.gz"))
        if not paths:
            parser.error(f"{options.data} holds no *.jsonl.gz")
        traces = [mooncake(path, options.requests) for path in paths]
    for trace in traces:
        print("\n".join(compare(trace, options.share, policies, options.load)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

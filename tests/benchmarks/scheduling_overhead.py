"""What scheduling and the tree cost beside decoding, with many prefixes cached.

    python tests/benchmarks/scheduling_overhead.py

The real engine over a decoder that only counts: the processor time of a step is all that is not
`llama_decode`, the sampler's part for a vocabulary of two tokens included. It is divided by what a
decode step of that batch takes on the embedded model (two cores, Q8_0), which `rates.py` measures.
Steps of an empty cache, of one with many leaves, and of one that many requests wait for.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

import numpy as np
from engine_simulation import Progress, SimulatedDecoder
from trace_sources import zipf_groups

from treegram.runtime.engine import Engine

DECODE_MS = {1: 6.1, 8: 28.4, 32: 73.0}
"""Requests in a batch -> milliseconds of a decode step."""

N_CELLS = 1 << 17
STEPS = 100


def filled(n_leaves: int) -> tuple[Engine, Progress]:
    """An idle engine whose cache holds about that many leaves (three requests make one)."""
    decoder = SimulatedDecoder(N_CELLS)
    engine = Engine(
        decoder,
        host_bytes=1 << 60,
        logits_bytes=0,
        max_running=max(DECODE_MS),
        clock=lambda: decoder.now_s,
    )
    progress = Progress(decoder)
    for submitted, tokens in enumerate(zipf_groups(3 * n_leaves).prompts(), 1):
        engine.submit(progress.request(tokens, 0.0, 1))
        while submitted - progress.ended >= 64:
            engine.step()
    while progress.ended < 3 * n_leaves:
        engine.step()
    return engine, progress


def step_us(engine: Engine, progress: Progress, running: int, waiting: int) -> float:
    """Microseconds of processor time per decode step of `running` requests while others wait."""
    rng = np.random.default_rng(0)
    goal = progress.ended + running + waiting
    for n, answer_tokens in ((running, STEPS + 50), (waiting, 1)):
        for row in rng.integers(0, 32_000, (n, 100), np.int32):
            engine.submit(progress.request(row, 0.0, answer_tokens))
    for _ in range(20):
        engine.step()
    began = time.thread_time()
    for _ in range(STEPS):
        engine.step()
    spent = time.thread_time() - began
    while progress.ended < goal:
        engine.step()
    return 1e6 * spent / STEPS


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--leaves", type=int, default=10_000, help="cached (default: 10,000)")
    parser.add_argument("--waiting", type=int, default=2_000, help="requests (default: 2,000)")
    options = parser.parse_args(arguments)

    print(f"load {os.getloadavg()[0]:.1f}\n")
    print("| nodes cached | running | waiting | us per step | share of a decode step |")
    print("|--:|--:|--:|--:|--:|")
    for n_leaves in (0, options.leaves):
        engine, progress = filled(n_leaves)
        nodes = engine.stats().cache.nodes
        for running, waiting in (*((n, 0) for n in DECODE_MS), (max(DECODE_MS), options.waiting)):
            us = step_us(engine, progress, running, waiting)
            share = us / 1000 / DECODE_MS[running]
            print(f"| {nodes:,} | {running} | {waiting:,} | {us:.0f} | {share:.2%} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

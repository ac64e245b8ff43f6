"""What scheduling and the tree cost beside decoding, with many prefixes cached.

    python tests/benchmarks/scheduling_overhead.py

The real engine over a decoder that only counts: the processor time of a step is all that is not
`llama_decode`, the sampler's part for a vocabulary of two tokens included. It is divided by what a
step of as many rows takes on the embedded model (two cores, Q8_0), which `rates.py` measures.
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

STEP_MS = {1: 6.1, 8: 28.4, 32: 73.0, 64: 84.0}
"""Rows in a batch -> milliseconds of a step; the last one is prefill."""

RUNNING = (1, 8, 32)

N_CELLS = 1 << 17
STEPS = 100


def filled(n_leaves: int) -> tuple[Engine, Progress]:
    """An idle engine whose cache holds about that many leaves (three requests make one)."""
    decoder = SimulatedDecoder(N_CELLS, attends_in_tiles=True)
    engine = Engine(
        decoder,
        host_bytes=1 << 60,
        logits_bytes=0,
        max_running=max(RUNNING),
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


def step_us(engine: Engine, progress: Progress, running: int, waiting: int) -> tuple[float, float]:
    """Microseconds of processor time per step of `running` requests while others wait, and rows."""
    rng = np.random.default_rng(0)
    goal = progress.ended + running + waiting
    for n, answer_tokens in ((running, STEPS + 50), (waiting, 1)):
        for row in rng.integers(0, 32_000, (n, 100), np.int32):
            engine.submit(progress.request(row, 0.0, answer_tokens))
    for _ in range(20):
        engine.step()
    before = engine.stats().evaluated_tokens
    began = time.thread_time()
    for _ in range(STEPS):
        engine.step()
    spent = time.thread_time() - began
    rows = engine.stats().evaluated_tokens - before
    while progress.ended < goal:
        engine.step()
    return 1e6 * spent / STEPS, rows / STEPS


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--leaves", type=int, default=10_000, help="cached (default: 10,000)")
    parser.add_argument("--waiting", type=int, default=2_000, help="requests (default: 2,000)")
    options = parser.parse_args(arguments)

    print(f"load {os.getloadavg()[0]:.1f}\n")
    print("| nodes cached | running | waiting | rows per step | us per step | share of a step |")
    print("|--:|--:|--:|--:|--:|--:|")
    for n_leaves in (0, options.leaves):
        engine, progress = filled(n_leaves)
        nodes = engine.stats().cache.nodes
        for running, waiting in (*((n, 0) for n in RUNNING), (max(RUNNING), options.waiting)):
            us, rows = step_us(engine, progress, running, waiting)
            share = us / 1000 / float(np.interp(rows, list(STEP_MS), list(STEP_MS.values())))
            print(
                f"| {nodes:,} | {running} | {waiting:,} | {rows:.0f} | {us:.0f} | {share:.2%} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())

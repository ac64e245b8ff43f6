"""What weights prepared for this machine gain, and how far they are from the original.

    python tests/benchmarks/prepared_weights.py --rounds 5

llama.cpp's own rates on both files (`rates.py`), in turns, with the shared prompt of the extraction
workload; then the comparison by which treegram decides. The whole workload on both files, with its
accuracy: `extraction.py --peers treegram treegram-prepared`.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from peer import Setup
from rates import Rates
from workload import extraction

from treegram.runtime.llama import LlamaModel
from treegram.runtime.prepared_weights import prepared_weights
from treegram.runtime.runtime import embedded_model_path
from treegram.runtime.weights_probe import compare

BATCHES = (1, 8, 16, 32)
STEPS = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a Markdown table of medians, then the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="a GGUF file (default: the embedded model)")
    parser.add_argument("--threads", type=int, default=2, help="(default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    source = options.model or embedded_model_path()
    copy = prepared_weights(source, n_threads=options.threads, most_bytes=8 << 30)
    if copy == source:
        print("there is no prepared copy; the line above says why")
        return 1
    load = os.getloadavg()[0]
    files = (source, copy)
    found: dict[Path, list[list[float]]] = {path: [] for path in files}
    for _ in range(options.rounds):
        for path in files:
            found[path].append(_rates(Setup(path, options.threads)))
    print(f"load {load:.1f}, {options.threads} threads; tokens/s")
    print(f"| weights | MB | prompt |{''.join(f' batch {n} |' for n in BATCHES)}")
    print("|---|--:|--:|" + "--:|" * len(BATCHES))
    before, after = ([statistics.median(c) for c in zip(*found[p], strict=True)] for p in files)
    for name, path, rates in (("original", source, before), ("prepared", copy, after)):
        cells = "".join(f" {rate:.0f} |" for rate in rates)
        print(f"| {name} | {path.stat().st_size / 1e6:.0f} |{cells}")
    ratios = "".join(f" {b / a:.2f} |" for a, b in zip(before, after, strict=True))
    print(f"| factor | {copy.stat().st_size / source.stat().st_size:.2f} |{ratios}\n")

    comparison = compare(LlamaModel(source), LlamaModel(copy), options.threads)
    print("| against the original | divergence, nats | another likeliest token |")
    print("|---|--:|--:|")
    for name, difference in (
        ("itself, in batches of another size", comparison.drift),
        ("the prepared copy", comparison.change),
    ):
        print(f"| {name} | {difference.divergence:.4f} | {difference.disagreement:.1%} |")
    return 0


def _rates(setup: Setup) -> list[float]:
    """Of a prompt, then of `BATCHES`."""
    with Rates(setup, max(BATCHES)) as rates:
        prefix = rates.tokenize(extraction(1).shared)
        return [
            rates.prefill_rate(prefix, 3),
            *(rates.decode_rate(prefix, batch, STEPS) for batch in BATCHES),
        ]


if __name__ == "__main__":
    sys.exit(main())

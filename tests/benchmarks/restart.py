"""Time to the first token of a long prompt: cold, and in a second process from the disk.

    python tests/benchmarks/restart.py --repeat 5

Every figure is of a process of its own, with the model loaded and warm. "cold" has an empty folder;
"restart" has the folder that a first process left when it closed its model. The prompt has about
2,000 tokens of worked examples, and the question behind them differs between the two.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from treegram.lang.base import GenRequest, GenResult, Text
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.runtime import embedded_model_path

SHOT = "Statement: {a} plus {b} is {c}.\nAnswer: {word}\n\n"
WAIT_S = 600.0


def prompt(question: int) -> str:
    """About 2,000 tokens, all of them shared but the last line."""
    shots = [
        SHOT.format(a=i, b=i + 3, c=2 * i + 3 + i % 2, word="false" if i % 2 else "true")
        for i in range(88)
    ]
    return "".join(shots) + f"Statement: {question} plus 1 is {question + 1}.\nAnswer:"


def first_token(model: Model, text: str) -> tuple[float, GenResult]:
    began = time.perf_counter()
    result = model.submit(GenRequest((Text(text),), max_tokens=1, heal=False)).result(WAIT_S)
    assert isinstance(result, GenResult)
    return time.perf_counter() - began, result


def run_one(folder: Path, question: int, gguf: Path) -> dict[str, float]:
    """One process: loads, warms up on other text, asks, closes."""
    options = ModelOptions(disk_bytes=1 << 30, disk_folder=folder, prepared_bytes=0)
    model = Model("bench", gguf, options)
    first_token(model, "Warm up: the quick brown fox jumps over the lazy dog, and then")
    seconds, result = first_token(model, prompt(question))
    began = time.perf_counter()
    model.close()
    return {
        "seconds": seconds,
        "prompt_tokens": result.usage.prompt_tokens,
        "cached_tokens": result.usage.cached_tokens,
        "close_seconds": time.perf_counter() - began,
    }


def in_a_process(folder: Path, question: int, gguf: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", str(folder), str(question), "--gguf", str(gguf)]
    found: dict[str, float] = json.loads(subprocess.check_output(command, text=True))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--gguf", type=Path, help="a GGUF file (default: the embedded model)")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    gguf = args.gguf or embedded_model_path()
    if args.one:
        print(json.dumps(run_one(Path(args.one[0]), int(args.one[1]), gguf)))
        return
    cold, warm = [], []
    for i in range(args.repeat):
        with tempfile.TemporaryDirectory() as folder:
            cold.append(in_a_process(Path(folder), 2 * i, gguf))
            warm.append(in_a_process(Path(folder), 2 * i + 1, gguf))
        print(json.dumps({"cold": cold[-1], "restart": warm[-1]}), file=sys.stderr)
    ratios = [w["seconds"] / c["seconds"] for c, w in zip(cold, warm, strict=True)]
    print(f"load average {os.getloadavg()[0]:.1f}, {args.repeat} rounds, medians")
    print("| | time to first token, ms | tokens evaluated | closing the model, ms |")
    print("|---|--:|--:|--:|")
    for name, rows in (("cold", cold), ("restart", warm)):
        seconds = statistics.median(r["seconds"] for r in rows)
        spent = statistics.median(r["prompt_tokens"] - r["cached_tokens"] for r in rows)
        closing = statistics.median(r["close_seconds"] for r in rows)
        print(f"| {name} | {seconds * 1e3:.0f} | {spent:.0f} | {closing * 1e3:.0f} |")
    print(f"restart / cold: {statistics.median(ratios):.3f} (worst {max(ratios):.3f})")


if __name__ == "__main__":
    main()

"""What it costs that the engine has a process of its own, beside the engine in a thread.

    python tests/benchmarks/engine_process.py

Both run the same requests on the same GGUF, in turns within one run, so that a figure is a ratio
of medians: above 1 the process is slower. "busy" has a Python thread computing beside the caller.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from busy import busy_thread

from treegram.lang.base import GenRequest, Text
from treegram.runtime.base import LoadedModel
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.runtime import Runtime

PROMPT = "Once upon a time, in a land far away, there lived"


def stream(model: LoadedModel, n: int, max_tokens: int) -> list[float]:
    """Seconds to the first text and to the end, the mean over `n` requests run together."""
    began = time.perf_counter()
    firsts: list[float] = []

    def on_text() -> Callable[[str], None]:
        seen = False

        def take(text: str) -> None:
            nonlocal seen
            if not seen:
                seen = True
                firsts.append(time.perf_counter() - began)

        return take

    handles = [
        model.submit(
            GenRequest((Text(f"{i}. {PROMPT}"),), max_tokens=max_tokens, ignore_eos=True), on_text()
        )
        for i in range(n)
    ]
    for handle in handles:
        handle.result()
    return [statistics.mean(firsts), time.perf_counter() - began]


def ask(model: LoadedModel, n: int) -> list[float]:
    """Seconds per one-token request whose prompt's logits are kept: nothing is evaluated."""
    request = GenRequest((Text(PROMPT),), max_tokens=1, ignore_eos=True)
    began = time.perf_counter()
    for _ in range(n):
        model.submit(request).result()
    return [(time.perf_counter() - began) / n]


@contextmanager
def loaded(options: ModelOptions, name: str | None) -> Iterator[list[LoadedModel]]:
    """The model in a thread, and in a process."""
    with (
        Runtime(options=options) as thread,
        Runtime(options=options, engine="process") as process,
    ):
        yield [thread.model(name), process.model(name)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a Markdown table, one line per case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="turns of each (default: 10)")
    parser.add_argument("--threads", type=int, default=2, help="(default: 2)")
    parser.add_argument("--model", help="a GGUF file (default: the embedded model)")
    options = parser.parse_args(arguments)

    cases: dict[str, tuple[list[str], Callable[[LoadedModel], list[float]]]] = {
        "1 stream of 64 tokens": (["first text", "end"], lambda m: stream(m, 1, 64)),
        "16 streams of 16 tokens": (["first text", "end"], lambda m: stream(m, 16, 16)),
        "a request that evaluates nothing": (["end"], lambda m: ask(m, 50)),
    }
    print(f"load {os.getloadavg()[0]:.1f}, {options.threads} threads, {options.rounds} rounds")
    print("| case | what | thread, ms | process, ms | ratio |")
    print("|---|---|--:|--:|--:|")
    with loaded(ModelOptions(n_threads=options.threads, prepared_bytes=0), options.model) as models:
        for is_busy in (False, True):
            for name, (labels, work) in cases.items():
                runs: list[list[list[float]]] = [[], []]
                with busy_thread() if is_busy else nullcontext():
                    for i in range(options.rounds + 1):
                        for n in (0, 1) if i % 2 else (1, 0):
                            found = work(models[n])
                            if i:  # the first round fills caches
                                runs[n].append(found)
                for at, label in enumerate(labels):
                    here, there = (1e3 * statistics.median(r[at] for r in run) for run in runs)
                    case = f"{name}, busy" if is_busy else name
                    print(f"| {case} | {label} | {here:.2f} | {there:.2f} | {there / here:.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Tokens per second against llama.cpp's own llama-batched-bench, at batches of 1 to 32.

    python tests/benchmarks/throughput.py --batched-bench PATH --repeat 5

The same GGUF, threads, context, cells per sequence, flash attention and unified KV cache for both.
llama-batched-bench evaluates random tokens and samples nothing; its figure is that of its
generation phase. treegram's is that of a whole `run_batch` of as many programs, from the call to
the last result, in which every row decodes as many tokens: prompts are in the cache and the logits
behind them kept, so that nothing else is evaluated. As llama-batched-bench starts each batch with
an empty cache, so does treegram. Rounds are interleaved; ratios are medians over the rounds.

The binary is built from llama-cpp-python's sdist (`vendor/llama.cpp`, target llama-batched-bench).
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import treegram as tg
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.runtime import Runtime, embedded_model_path

BATCHES = (1, 2, 4, 8, 16, 32)
PROMPT_TOKENS = 16
CELLS = 8192
TEMPERATURES = {"greedy": 0.0, "sampled": 0.8}
ROW = re.compile(r"^\|\s*\d+ \|\s*\d+ \|\s*(\d+) \|.*", re.MULTILINE)
SPEED_COLUMN = 8  # S_TG t/s
WORDS = "river stone cloud amber tiger violet ocean maple copper silver window garden".split()


@tg.function
def _write(s: tg.State, text: str, max_tokens: int, seed: int, temperature: float) -> None:
    s += text
    s += tg.gen(
        "text",
        max_tokens=max_tokens,
        ignore_eos=True,
        heal=False,
        seed=seed,
        temperature=temperature,
        top_k=40 if temperature else None,
        top_p=0.95 if temperature else None,
    )


def batched_bench(binary: Path, gguf: Path, threads: int, tokens: int) -> dict[int, float]:
    """Batch -> tokens per second of one run. Raises RuntimeError if a batch has none."""
    command = [
        *(str(binary), "-m", str(gguf), "-c", str(CELLS), "-b", "512", "-ub", "512"),
        *("-t", str(threads), "-tb", str(threads), "-fa", "on", "-kvu"),
        *("-npp", str(PROMPT_TOKENS), "-ntg", str(tokens)),
        *("-npl", ",".join(map(str, BATCHES))),
    ]
    libraries = {**os.environ, "LD_LIBRARY_PATH": str(binary.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=libraries, check=False)
    found = {
        int(row[1]): float(row[0].split("|")[SPEED_COLUMN]) for row in ROW.finditer(done.stdout)
    }
    if set(found) != set(BATCHES):
        raise RuntimeError(f"{binary} printed no figures for all batches: {done.stderr[-500:]}")
    return found


def treegram(gguf: Path, threads: int, batch: int, tokens: int, temperature: float) -> float:
    """Tokens per second of a batch, the model freshly loaded and warm."""
    options = ModelOptions(n_threads=threads, prepared_bytes=0, n_ctx=CELLS)
    with Runtime(options=options) as runtime:
        model = runtime.model(str(gguf))
        rows = [
            {"text": _prompt(row), "max_tokens": 1, "seed": row, "temperature": temperature}
            for row in range(batch)
        ]
        _write.run_batch(rows, model=model, progress=False)
        for row in rows:
            row["max_tokens"] = tokens + 1  # the first one is drawn from the kept logits
        before = model.stats()
        began = time.perf_counter()
        for state in _write.run_batch(rows, model=model, progress=False):
            state.sync()
        seconds = time.perf_counter() - began
        after = model.stats()
    evaluated = after.evaluated_tokens - before.evaluated_tokens
    evaluated -= after.rejected_tokens - before.rejected_tokens  # guesses; their time counts
    if evaluated != batch * tokens:
        raise RuntimeError(f"{evaluated} tokens were evaluated, {batch * tokens} expected")
    return batch * tokens / seconds


def _prompt(row: int) -> str:
    return f"{row}: " + " ".join(WORDS[row * place % len(WORDS)] for place in range(PROMPT_TOKENS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a Markdown table, one line per batch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batched-bench", type=Path, required=True, help="llama-batched-bench")
    parser.add_argument("--model", type=Path, help="a GGUF file (default: the embedded model)")
    parser.add_argument("--repeat", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--threads", type=int, default=2, help="of both (default: 2)")
    parser.add_argument("--tokens", type=int, default=64, help="decoded per row (default: 64)")
    options = parser.parse_args(arguments)
    gguf = options.model or embedded_model_path()

    load = os.getloadavg()[0]
    bench: dict[int, list[float]] = {batch: [] for batch in BATCHES}
    ours: dict[tuple[int, str], list[float]] = {
        (b, mode): [] for b in BATCHES for mode in TEMPERATURES
    }
    for _ in range(options.repeat):
        theirs = batched_bench(options.batched_bench, gguf, options.threads, options.tokens)
        for (batch, mode), speeds in ours.items():
            speeds.append(
                treegram(gguf, options.threads, batch, options.tokens, TEMPERATURES[mode])
            )
        for batch in BATCHES:
            bench[batch].append(theirs[batch])
    print(
        f"load {load:.1f}, {options.threads} threads, {options.repeat} rounds, medians, tokens/s; "
        "ratios are treegram / llama-batched-bench"
    )
    print("| batch | llama-batched-bench | greedy | ratio | sampled | ratio |")
    print("|--:|--:|--:|--:|--:|--:|")
    for batch in BATCHES:
        line = [f"{batch}", f"{statistics.median(bench[batch]):.0f}"]
        for mode in TEMPERATURES:
            speeds = ours[batch, mode]
            ratios = [mine / own for mine, own in zip(speeds, bench[batch], strict=True)]
            line += [f"{statistics.median(speeds):.0f}", f"{statistics.median(ratios):.2f}"]
        print("| " + " | ".join(line) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a decode step costs beside `llama_decode`: scheduling, sampling, constraints, delivery.

    python tests/benchmarks/step_overhead.py

One request at a time, so that the fixed cost of a step meets the cheapest decode. Everything in a
step that is not `llama_decode` is divided by the time of one plain batch-1 decode step, also where
steps of a case decode more than one token (a prompt, forced text), so that the share is not
flattered by long steps. The figures come from the engine's own counters.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from peer_treegram import extract
from workload import WARM_UP, extraction

import treegram as tg
from treegram.runtime.base import LoadedModel
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Cost:
    """Mean milliseconds per step."""

    steps: int
    decode_ms: float
    other_ms: float


@tg.function
def write(s: tg.State, text: str, max_tokens: int, temperature: float = 0.0) -> None:
    """Free text of exactly `max_tokens` tokens."""
    s += text
    s += tg.gen(
        "text",
        max_tokens=max_tokens,
        ignore_eos=True,
        temperature=temperature,
        top_k=40 if temperature else None,
        top_p=0.95 if temperature else None,
        seed=1 if temperature else None,
    )


def cost(model: LoadedModel, work: Callable[[], object]) -> Cost:
    """Runs `work` and gives the mean cost of the steps it took."""
    before = model.stats()
    work()
    after = model.stats()
    steps = after.steps - before.steps
    decode = after.decode_seconds - before.decode_seconds
    whole = after.step_seconds - before.step_seconds
    return Cost(steps, 1000 * decode / steps, 1000 * (whole - decode) / steps)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a Markdown table, one line per case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokens", type=int, default=256, help="of each free text (default: 256)")
    parser.add_argument("--rows", type=int, default=16, help="of the JSON case (default: 16)")
    parser.add_argument("--threads", type=int, default=2, help="(default: 2)")
    parser.add_argument("--model", help="a GGUF file (default: the embedded model)")
    options = parser.parse_args(arguments)

    texts = [row.text for row in extraction(options.rows).rows]
    load = os.getloadavg()[0]
    with Runtime(options=ModelOptions(n_threads=options.threads, prepared_bytes=0)) as runtime:
        model = runtime.model(options.model)
        write.run(WARM_UP, 8, model=model)
        cases: dict[str, Callable[[], object]] = {
            "free text, greedy": lambda: write.run(WARM_UP, options.tokens, model=model),
            "free text, sampled": lambda: write.run(WARM_UP, options.tokens, 0.8, model=model),
            "JSON, row by row": lambda: [extract.run(text, model=model) for text in texts],
        }
        costs = {name: cost(model, work) for name, work in cases.items()}

    plain = costs["free text, greedy"].decode_ms
    print(f"load {load:.1f}, {options.threads} threads")
    print("| case | steps | llama_decode, ms/step | the rest, ms/step | share of a decode step |")
    print("|---|--:|--:|--:|--:|")
    for name, found in costs.items():
        print(
            f"| {name} | {found.steps} | {found.decode_ms:.2f} | {found.other_ms:.2f} "
            f"| {found.other_ms / plain:.1%} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Speculation on and off: time, steps, and what became of the drafts.

    python tests/benchmarks/speculation.py [--data FOLDER] [--cases NAME ...]
    python tests/benchmarks/speculation.py --draft SMALL.gguf [--model LARGE.gguf] ...

Each case runs on two models that differ in `ModelOptions(speculate=...)` alone, one after another,
in the other order in every second round, with nothing of the case cached. With `--draft` both
speculate, and only the second has the draft model. Time is the process's CPU time, which a busy
machine disturbs less. Texts may differ where quantised weights meet flash attention: there the
order of cells alone moves logits by as much as 1, with drafts or without.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from peer_treegram import extract
from workload import WARM_UP, extraction
from workloads.base import Workload
from workloads.catalog import workload
from workloads.data import Data, load
from workloads.engine_treegram import StateBranch

import treegram as tg
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.runtime import embedded_model_path
from treegram.runtime.stats import EngineStats

TOKENS = 64
STORIES = (
    "The lighthouse keeper wrote in his diary that",
    "Nobody in the village had seen the river so low before, and",
    "When the train from Lisbon arrived two hours late,",
    "The recipe that my grandmother used was simple:",
)


@dataclass(frozen=True, slots=True)
class Run:
    """What a case took on one model."""

    seconds: float
    outputs: list[str]
    tokens: int
    steps: int
    drafted: int
    accepted: int
    overhead: float
    draft_seconds: float


@tg.function
def write(s: tg.State, text: str) -> None:
    s += text
    s += tg.gen("text", max_tokens=TOKENS, ignore_eos=True)


@tg.function
def sample(s: tg.State, text: str, seed: int) -> None:
    s += text
    s += tg.gen("text", max_tokens=TOKENS, ignore_eos=True, temperature=0.8, seed=seed)


@tg.function
def copy(s: tg.State, passage: str) -> None:
    s += f"Text: {passage}\nThe same text once more, word for word: {passage}\nAnd again:"
    s += tg.gen("text", max_tokens=TOKENS, ignore_eos=True)


@tg.function
def quote(s: tg.State, passage: str) -> None:
    s += f"Text: {passage}\nA passage of the text, word for word:"
    s += tg.gen("text", substring_of=f" {passage}", max_tokens=TOKENS)


@tg.function
def run_workload(s: tg.State, given: Workload, row: object) -> str | None:
    return given.program(StateBranch(s), row)


def texts(states: Sequence[tg.State]) -> list[str]:
    return [state.sync().text() for state in states]


def cases(data: Data) -> dict[str, Callable[[Model], list[str]]]:
    """What runs on a model, by name; gives all text."""
    rows = [row.text for row in extraction(16).rows]
    passages = [data.documents[i].words(60) for i in range(4)]

    def alone(program: tg.Program, values: Sequence[str]) -> Callable[[Model], list[str]]:
        return lambda model: texts([program.run(value, model=model) for value in values])

    def of(name: str) -> Callable[[Model], list[str]]:
        given = workload(name, data, quick=True)
        batch = [{"given": given, "row": row} for row in given.rows]
        return lambda model: texts(run_workload.run_batch(batch, model=model, progress=False))

    def twice(model: Model) -> list[str]:
        return alone(write, STORIES)(model) + alone(write, STORIES)(model)

    def sampled(model: Model) -> list[str]:
        return texts([sample.run(STORIES[0], seed, model=model) for seed in range(6)])

    return {
        "free text, alone": alone(write, STORIES),
        "free text, the same twice": twice,
        "free text, one prompt, six seeds": sampled,
        "copying, alone": alone(copy, passages),
        "copying, 4 at once": lambda m: texts(copy.run_batch(passages, model=m, progress=False)),
        "quoting (substring_of), alone": alone(quote, passages),
        "extraction, alone": alone(extract, rows),
        "extraction, 16 at once": lambda m: texts(extract.run_batch(rows, model=m, progress=False)),
        "chat, short answers": of("chat-short"),
        "agent loop": of("agent"),
        "tree of thought": of("tree-of-thought"),
        "RAG": of("rag"),
    }


def measured(model: Model, case: Callable[[Model], list[str]]) -> Run:
    """Runs a case in an empty cache."""
    before, began = model.stats(), time.process_time()
    outputs = case(model)
    seconds, after = time.process_time() - began, model.stats()

    def grown(count: Callable[[EngineStats], int | None]) -> int:
        return (count(after) or 0) - (count(before) or 0)

    return Run(
        seconds,
        outputs,
        grown(lambda s: s.completion_tokens),
        grown(lambda s: s.steps),
        grown(lambda s: s.drafted_tokens),
        grown(lambda s: s.accepted_tokens),
        grown(lambda s: s.evaluated_tokens) / grown(lambda s: s.minimum_tokens),
        after.draft_seconds - before.draft_seconds,
    )


def compare(
    case: Callable[[Model], list[str]], rounds: int, path: Path, options: Sequence[ModelOptions]
) -> list[Run]:
    """The median runs with each of two options."""
    runs: list[list[Run]] = [[], []]
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            model = Model("m", path, options[which])
            write.run(WARM_UP, model=model)
            runs[which].append(measured(model, case))
            model.close()
    return [sorted(some, key=lambda run: run.seconds)[len(some) // 2] for some in runs]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a Markdown table, one line per case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of public test sets (workloads/data.py)")
    parser.add_argument("--cases", nargs="+", help="by a part of the name (default: all)")
    parser.add_argument("--rounds", type=int, default=1, help="(default: 1)")
    parser.add_argument("--threads", type=int, default=2, help="(default: 2)")
    parser.add_argument("--prepared", action="store_true", help="weights prepared for the machine")
    parser.add_argument("--model", type=Path, help="a GGUF (default: the embedded model)")
    parser.add_argument("--draft", type=Path, help="a draft model for it")
    options = parser.parse_args(arguments)

    model_options = ModelOptions(
        n_threads=options.threads,
        prepared_bytes=(4 << 30) if options.prepared else 0,
        measure_minimum=True,
    )
    if options.draft is None:
        both = replace(model_options, speculate=False), model_options
    else:
        both = model_options, replace(model_options, draft=options.draft)
    print(f"load {os.getloadavg()[0]:.1f}, {options.threads} threads")
    print(
        "| case | tokens | steps, plain | steps | drafted | accepted | evaluated / minimum, plain "
        "| evaluated / minimum | same texts | time in the draft model | tokens/s, ratio |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, case in cases(load(options.data)).items():
        if options.cases and not any(part in name for part in options.cases):
            continue
        plain, fast = compare(case, options.rounds, options.model or embedded_model_path(), both)
        same = sum(map(str.__eq__, plain.outputs, fast.outputs))
        print(
            f"| {name} | {fast.tokens} | {plain.steps} | {fast.steps} | {fast.drafted} "
            f"| {fast.accepted} | {plain.overhead:.3f} | {fast.overhead:.3f} "
            f"| {same}/{len(fast.outputs)} | {fast.draft_seconds:.1f} s "
            f"| {plain.seconds / fast.seconds:.2f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

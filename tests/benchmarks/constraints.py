"""JSON Schema constraints on treegram and its peers: coverage, mask times, share of a step.

    python tests/benchmarks/constraints.py --data SCHEMAS.jsonl.gz
    python tests/benchmarks/constraints.py --data SCHEMAS.jsonl.gz --suite FOLDER --vocab *.gguf

Each engine runs in a process of its own, one at a time, every schema cold, and every instance is
tokenised by the vocabulary's own tokeniser and walked through real masks: a valid one must get
through to the end, an invalid one must be stopped. An engine that is not installed is skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from constraint_engine import Lexicon
from constraints_cases import Case, sample, spread, suite
from constraints_report import Run, coverage, reasons, summarise, times
from constraints_step import decode_step_s
from constraints_worker import ENGINES, run_all
from peer import Unavailable

from treegram.runtime.runtime import embedded_model_path

OWN = "treegram"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs everything and prints the tables; the exit status is 1 if treegram was wrong once."""
    options = _options(arguments)
    cases = sample(options.data, options.rows)
    embedded = embedded_model_path()
    steps = [] if options.no_step else [decode_step_s(options.threads)]
    print(f"{len(cases)} schemas, load {os.getloadavg()[0]:.1f}", flush=True)
    runs = _runs(options, cases, [embedded, *options.vocab], embedded)
    suite_runs = []
    if options.suite:
        suite_runs = _runs(options, suite(options.suite), [embedded], embedded)
    if not options.no_step:
        steps.append(decode_step_s(options.threads))
    step_s = min(steps) if steps else None

    print("\n" + "\n".join(coverage(runs)))
    if suite_runs:
        print("\nJSON-Schema-Test-Suite, one row per group of tests\n")
        print("\n".join(coverage(suite_runs)))
    print()
    if step_s is not None:
        print(f"decode step of the embedded model: {step_s * 1e3:.2f} ms; load now ", end="")
        print(f"{os.getloadavg()[0]:.1f}")
    print("\n".join(times(runs, step_s)))
    for run in (*runs, *suite_runs):
        _print_reasons(run)
    if options.json:
        figures = [summarise(run, step_s) for run in (*runs, *suite_runs)]
        report = {"step_s": step_s, "runs": figures}
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    wrong = ("valid rejected", "invalid accepted", "crash", "too slow")
    mine = [o for run in (*runs, *suite_runs) if run.engine == OWN for o in run.outcomes]
    return int(any(outcome.verdict in wrong for outcome in mine))


def _runs(
    options: argparse.Namespace, cases: list[Case], vocabularies: list[Path], embedded: Path
) -> list[Run]:
    runs = []
    for vocabulary in vocabularies:
        n_vocab = len(Lexicon(vocabulary).vocabulary)
        label = f"{vocabulary.stem.removeprefix('ggml-vocab-')}, {n_vocab // 1000}k"
        for engine in options.engines:
            own = cases if engine.startswith(OWN) else spread(cases, options.peer_rows)
            try:
                outcomes = list(run_all(engine, vocabulary, own))
            except Unavailable as error:
                print(f"{engine}: skipped: {error}", flush=True)
                continue
            runs.append(Run(engine, label, n_vocab, vocabulary == embedded, outcomes))
            passed = sum(outcome.verdict == "pass" for outcome in outcomes)
            print(f"{engine:<20} {label:<24} {passed}/{len(outcomes)} pass", flush=True)
    return runs


def _print_reasons(run: Run) -> None:
    if run.engine != OWN:
        return
    for verdict in ("refused", "valid rejected", "invalid accepted", "crash", "too slow"):
        lines = list(reasons(run, verdict))
        if lines:
            print(f"\n{run.engine}, {run.vocabulary}, {verdict}:\n" + "\n".join(lines))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="schemas, .jsonl or .jsonl.gz")
    parser.add_argument("--suite", type=Path, help="a JSON-Schema-Test-Suite folder of one draft")
    parser.add_argument(
        "--vocab", type=Path, nargs="+", default=[], help="GGUFs beside the embedded model's"
    )
    parser.add_argument("--rows", type=int, help="as many schemas, evenly spread (default: all)")
    parser.add_argument(
        "--peer-rows", type=int, help="as many of those for the peers, some of which are slow"
    )
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--threads", type=int, default=2, help="of the decode step (default: 2)")
    parser.add_argument("--no-step", action="store_true", help="do not measure the decode step")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

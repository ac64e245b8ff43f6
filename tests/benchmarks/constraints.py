"""JSON Schema constraints on treegram and its peers: coverage, mask times, memory, share of a step.

    python tests/benchmarks/constraints.py --data SCHEMAS.jsonl.gz --out FOLDER
    python tests/benchmarks/constraints.py --data SCHEMAS.jsonl.gz --out FOLDER --resume
    python tests/benchmarks/constraints.py --out FOLDER --tables

Each engine runs in a process of its own, one at a time, every schema cold, and every instance is
tokenised by the vocabulary's own tokeniser and walked through real masks: a valid one must get
through to the end, an invalid one must be stopped. An engine that is not installed is skipped.
Results go to the folder as they come; `tables.md` there is written anew after each engine.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from constraint_engine import Lexicon
from constraints_cases import Case, sample
from constraints_footprint import set_aside
from constraints_log import Log, Pair
from constraints_machine import machine
from constraints_plot import plot
from constraints_report import reasons, report
from constraints_step import decode_step_s
from constraints_trial import Verdict
from constraints_worker import ENGINES, Worker
from peer import Unavailable
from results_folder import Mismatch

from treegram.runtime.runtime import embedded_model_path

OWN, BESIDE = "treegram", "treegram, as gen"

WRONG: tuple[Verdict, ...] = ("valid rejected", "invalid accepted", "crash", "too slow")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is asked for and prints the tables.

    The exit status is 1 if treegram decided a row wrongly, 2 if the folder is of another run.
    """
    options = _options(arguments)
    log = Log(options.out)
    if not options.tables:
        cases = sample(options.data, options.rows)
        set_aside()
        asked = {"sample": _digest(cases), "rows": len(cases), "row_s": options.row_seconds}
        try:
            log.begin(asked, machine(), resume=options.resume)
        except Mismatch as error:
            print(error, file=sys.stderr)
            return 2
        _run(options, cases, log)
    if not log.machines:
        print(f"no results in {options.out}", file=sys.stderr)
        return 2
    print(report(log, BESIDE))
    if options.plots:
        _print_plots(log, options.out)
    own = [pair for pair in log.pairs if pair.engine == OWN]
    for pair in own:
        _print_reasons(pair)
    return int(any(row.outcome.verdict in WRONG for pair in own for row in pair.rows))


def _run(options: argparse.Namespace, cases: list[Case], log: Log) -> None:
    """Runs every pair that is not finished; the tables are written whatever ends it."""
    try:
        if not options.no_step:
            log.add_step(decode_step_s(options.threads))
        for pair, vocabulary in _pairs(options, log):
            _run_pair(pair, vocabulary, cases, log, options.row_seconds, options.pair_seconds)
            passed = sum(row.outcome.verdict == "pass" for row in pair.rows)
            done = (
                f"{passed} of {len(pair.rows)} pass, {pair.not_run} not run, {pair.seconds:.0f} s"
            )
            print(f"{pair.engine:<20} {pair.vocabulary:<20} {pair.skipped or done}", flush=True)
            log.write_tables(report(log, BESIDE))
        if not options.no_step:
            log.add_step(decode_step_s(options.threads))
    finally:
        log.write_tables(report(log, BESIDE))


def _pairs(options: argparse.Namespace, log: Log) -> Iterator[tuple[Pair, Path]]:
    embedded = embedded_model_path()
    for vocabulary in (embedded, *options.vocab):
        n_vocab = len(Lexicon(vocabulary).vocabulary)
        label = f"{vocabulary.stem.removeprefix('ggml-vocab-')}, {n_vocab // 1000}k"
        for engine in options.engines:
            yield log.pair(engine, label, n_vocab, vocabulary == embedded), vocabulary


def _run_pair(
    pair: Pair, vocabulary: Path, cases: list[Case], log: Log, row_s: float, pair_s: float
) -> None:
    known = {row.outcome.name for row in pair.rows}
    rest = [case for case in cases if case.name not in known]
    if not rest or pair.stopped_s >= pair_s:
        return
    try:
        with Worker(ENGINES[pair.engine], vocabulary, row_s) as worker:
            log.add_loaded(pair, worker.loaded)
            for case in rest:
                row = worker.row(case, pair_s - pair.seconds)
                if row is None:
                    log.add_stopped(pair, pair_s)
                    break
                log.add_row(pair, row)
    except Unavailable as error:
        log.add_skipped(pair, str(error))


def _digest(cases: list[Case]) -> str:
    data = json.dumps([dataclasses.astuple(case) for case in cases])
    return hashlib.sha256(data.encode()).hexdigest()


def _print_plots(log: Log, folder: Path) -> None:
    try:
        for file in plot(log.pairs, folder):
            print(file)
    except Unavailable as error:
        print(f"no plots: {error}")


def _print_reasons(pair: Pair) -> None:
    for verdict in ("refused", *WRONG):
        lines = reasons(pair, verdict)
        if lines:
            print(f"{pair.engine}, {pair.vocabulary}, {verdict}:\n" + "\n".join(lines) + "\n")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="schemas: .jsonl, .jsonl.gz or a folder of JSON-Schema-Test-Suite"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for results and tables")
    parser.add_argument("--resume", action="store_true", help="go on with the folder's results")
    parser.add_argument("--tables", action="store_true", help="run nothing, print the tables")
    parser.add_argument(
        "--plots", action="store_true", help="draw a PNG per vocabulary; needs matplotlib"
    )
    parser.add_argument(
        "--vocab", type=Path, nargs="+", default=[], help="GGUFs beside the embedded model's"
    )
    parser.add_argument("--rows", type=int, help="as many schemas, evenly spread (default: all)")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument(
        "--row-seconds", type=float, default=10.0, help="the most for one row (default: 10)"
    )
    parser.add_argument(
        "--pair-seconds",
        type=float,
        default=30.0,
        help="the most for one engine on one vocabulary; the other rows are not run (default: 30)",
    )
    parser.add_argument("--threads", type=int, default=2, help="of the decode step (default: 2)")
    parser.add_argument("--no-step", action="store_true", help="do not measure the decode step")
    options = parser.parse_args(arguments)
    if options.data is None and not options.tables:
        parser.error("--data is needed, except with --tables")
    return options


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the tables are written
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command with --resume goes on")

"""Ten prompt programs and two synthetic loads on treegram and its peers, beside a ceiling.

    python tests/benchmarks/compare.py --out FOLDER --data FOLDER --llama-server PATH
    python tests/benchmarks/compare.py --out FOLDER ... --resume
    python tests/benchmarks/compare.py --out FOLDER --tables --plots

Each engine runs each workload in a process of its own, one at a time, with the model loaded and
warm and nothing of the workload cached; the ceiling of a workload is measured next to it. A process
that is not done within `--pair-seconds` is ended. Results go to the folder as they come. Without
`--data` the questions are made from the installed packages.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from child import Record, run_child
from constraints_machine import machine
from peer import Unavailable
from results_folder import Mismatch
from run_pair import CEILING
from workloads.catalog import ENGINES, WORKLOADS
from workloads.log import Log, Pair
from workloads.plot import plot
from workloads.report import report

from treegram.runtime.runtime import embedded_model_path

RUN_PAIR = Path(__file__).with_name("run_pair.py")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is asked for and prints the tables.

    The exit status is 1 if an engine failed, 2 if the folder is of another run.
    """
    options = _options(arguments)
    log = Log(options.out)
    if not options.tables:
        asked = {
            "quick": options.quick,
            "threads": options.threads,
            "data": options.data.name if options.data else "installed packages",
        }
        try:
            log.begin(asked, machine(), resume=options.resume)
        except Mismatch as error:
            print(error, file=sys.stderr)
            return 2
        _run(options, log)
    if not log.machines:
        print(f"no results in {options.out}", file=sys.stderr)
        return 2
    print(report(log))
    if options.plots:
        _print_plots(log, options.out)
    return int(any("failed" in log.why_not(pair) for pair in log.records))


def _run(options: argparse.Namespace, log: Log) -> None:
    """Runs every pair that is not done; the tables are written whatever ends it."""
    try:
        for number in range(options.repeat):
            for pair, model in _pairs(options):
                if log.done(pair, options.pair_seconds) > number:
                    continue
                record = run_child(RUN_PAIR, _request(options, pair, model), options.pair_seconds)
                log.add(pair, record)
                print(f"{pair.workload:<18} {pair.engine:<18} {_summary(record)}", flush=True)
    finally:
        log.write_tables(report(log))


def _pairs(options: argparse.Namespace) -> Iterator[tuple[Pair, Path]]:
    for model in options.models:
        for workload in options.workloads:
            for engine in (CEILING, *options.engines):
                yield Pair(model.stem, workload, engine), model


def _request(options: argparse.Namespace, pair: Pair, model: Path) -> dict[str, object]:
    paths = {
        "model": model,
        "data": options.data,
        "llama_server": options.llama_server,
        "example_server": options.example_server,
    }
    return {
        "engine": pair.engine,
        "workload": pair.workload,
        "threads": options.threads,
        "quick": options.quick,
        **{name: str(path) if path else None for name, path in paths.items()},
    }


def _summary(record: Record) -> str:
    if "seconds" not in record:
        return "  ".join(f"{key}: {value}" for key, value in record.items())
    return f"{record['seconds']:6.2f} s   load {record['load']:.1f}"


def _print_plots(log: Log, folder: Path) -> None:
    try:
        for file in plot(log, folder):
            print(file)
    except Unavailable as error:
        print(f"no plots: {error}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for results and tables")
    parser.add_argument("--data", type=Path, help="folder of public test sets (workloads/data.py)")
    parser.add_argument("--resume", action="store_true", help="go on with the folder's results")
    parser.add_argument("--tables", action="store_true", help="run nothing, print the tables")
    parser.add_argument("--plots", action="store_true", help="draw PNGs; needs matplotlib")
    parser.add_argument("--quick", action="store_true", help="few rows of each workload")
    parser.add_argument("--repeat", type=int, default=1, help="rounds (default: 1)")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument(
        "--models", type=Path, nargs="+", help="GGUF files (default: the embedded model)"
    )
    parser.add_argument("--threads", type=int, default=2, help="of every engine (default: 2)")
    parser.add_argument(
        "--pair-seconds",
        type=float,
        default=90.0,
        help="the most for one engine on one workload, loading included (default: 90)",
    )
    parser.add_argument(
        "--llama-server", type=Path, help="its binary (default: LLAMA_SERVER, then the PATH)"
    )
    parser.add_argument(
        "--example-server", type=Path, help="examples/server/server.py of llama-cpp-python's sdist"
    )
    options = parser.parse_args(arguments)
    if not options.tables:
        options.models = options.models or [embedded_model_path()]
    found = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")
    options.llama_server = options.llama_server or (Path(found) if found else None)
    return options


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the tables are written
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command with --resume goes on")

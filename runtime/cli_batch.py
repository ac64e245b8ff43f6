"""`treegram batch`: a program over the rows of a JSON Lines file.

Rows stream: a line is read when a row may start, and written when it ends, so that a file of any
length runs in the memory of the rows in flight, and Ctrl-C loses only those.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ..lang.base import ModelProvider, Usage
from ..lang.errors import TreegramError
from ..lang.state import State
from .cli_model import adapters_of, model_name, models_of, sampling_of
from .failures import UsageError, describe, usage_errors
from .loading import load_program
from .parameters import Parameters
from .variables import json_text, outcome_json


def batch(args: argparse.Namespace, provider: ModelProvider | None) -> int:
    """Runs the command: 0, 1 if a row failed, 130 after Ctrl-C."""
    with usage_errors():
        program = load_program(args.program)
        parameters = Parameters(program)
    sampling = sampling_of(args)
    with ExitStack() as stack:
        source = stack.enter_context(_open_input(args.rows))
        models = stack.enter_context(models_of(args, provider))
        model = models.model(model_name(args))
        # last, so that nothing is overwritten by a command that cannot start
        report = Report(stack.enter_context(_open_output(args.output, args.rows)))
        rows = Rows(source, parameters, report)
        report.started_s = time.perf_counter()
        interrupted = False
        try:
            for index, state in program.iter_batch(
                rows,
                model=model,
                sampling=sampling,
                adapter=next(iter(adapters_of(args)), ""),
                num_threads=args.num_threads,
            ):
                report.row(rows.lines.pop(index), state)
        except KeyboardInterrupt:
            interrupted = True
        report.print(sys.stderr)
        if interrupted:
            kept = f"kept {report.n_good + report.n_failed} finished rows"
            print(f"treegram batch: interrupted; {kept}", file=sys.stderr)
            return 130
    return 1 if report.n_failed else 0


@dataclass
class Report:
    """Writes rows as they end, and counts them. Rows may fail before they run, in the reader."""

    output: TextIO
    started_s: float = 0.0
    n_good: int = 0
    usage: Usage = field(default_factory=Usage)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def n_failed(self) -> int:
        return self.failures.total()

    def row(self, line: int, state: State) -> None:
        """Writes a row that ended: its variables, or what went wrong."""
        self.usage += state.usage
        try:
            if state.error is not None:
                raise state.error
            outcome = outcome_json(state)
        except Exception as exc:
            self.failure(line, exc)
            return
        self.n_good += 1
        self._write({"line": line, **outcome})

    def failure(self, line: int, exc: Exception) -> None:
        """Writes a row that failed."""
        name = type(exc).__name__
        self.failures[name] += 1
        self._write({"line": line, "error": {"type": name, "message": describe(exc)}})

    def print(self, to: TextIO) -> None:
        """Rows, rates, and the failures by type."""
        seconds = max(time.perf_counter() - self.started_s, 1e-9)
        rows = self.n_good + self.n_failed
        used = self.usage
        cached = used.cached_tokens / used.prompt_tokens if used.prompt_tokens else 0.0
        print(
            f"{rows} rows in {seconds:.1f} s: {self.n_good} good, {self.n_failed} failed; "
            f"{rows / seconds:.2f} rows/s, {used.completion_tokens / seconds:.1f} tokens/s, "
            f"{cached:.1%} of {used.prompt_tokens} prompt tokens cached",
            file=to,
        )
        for name, count in self.failures.most_common():
            print(f"  {count} x {name}", file=to)

    def _write(self, line: dict[str, Any]) -> None:
        self.output.write(json_text(line) + "\n")
        self.output.flush()


class Rows:
    """The arguments of each readable row, in order; `lines[i]` is the line that row i came from.

    A line that is no row is reported and left out.
    """

    def __init__(self, source: TextIO, parameters: Parameters, report: Report) -> None:
        self.lines: dict[int, int] = {}
        self._source = source
        self._parameters = parameters
        self._report = report

    def __iter__(self) -> Iterator[dict[str, Any]]:
        index = 0
        for number, line in enumerate(self._source, 1):
            if not line.strip():
                continue
            try:
                arguments = self._parameters.from_row(_parse(line, number))
            except TreegramError as exc:
                self._report.failure(number, exc)
                continue
            self.lines[index] = number
            index += 1
            yield arguments


class RowError(TreegramError, ValueError):
    """A line of the input that is not JSON."""


def _parse(line: str, number: int) -> object:
    try:
        return json.loads(line)
    except json.JSONDecodeError as exc:
        raise RowError(f"line {number} is not JSON: {exc.msg} at column {exc.colno}") from exc
    except RecursionError as exc:
        raise RowError(f"line {number} is nested too deeply to read") from exc


def _open_input(name: str) -> Any:
    if name == "-":
        return nullcontext(sys.stdin)
    try:
        # a byte that is not UTF-8 must spoil its own row only
        return Path(name).open(encoding="utf-8", errors="replace")
    except OSError as exc:
        raise UsageError(f"cannot read rows from {name!r}: {exc.strerror}") from exc


def _open_output(name: str, rows: str) -> Any:
    if name == "-":
        return nullcontext(sys.stdout)
    try:
        if rows != "-" and Path(name).exists() and Path(name).samefile(rows):
            raise UsageError(f"the output {name!r} is the file of rows; choose another")
        return Path(name).open("w", encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write to {name!r}: {exc.strerror}") from exc

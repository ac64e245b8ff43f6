"""Random and damaged inputs for every entry that takes user text, in processes that may die.

    python tests/fuzz/fuzz.py --seconds 600 --report findings.json

Anything but success or a documented refusal within five seconds is a finding: another exception, a
process that dies, a process that does not answer. Findings are shortened and told apart by where
they were raised. The inputs follow from the seed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

from entries import REFUSALS
from mutations import ENTRIES, make

LIMIT_S = 5.0
MEMORY_BYTES = 6 << 30
SHORTEN_TRIES = 60


@dataclass(frozen=True, slots=True)
class Finding:
    """An input that an entry neither took nor refused; `what` is equal for equal causes."""

    entry: str
    what: str
    text: str


class Subject:
    """A child process that tries inputs, started again when it is lost.

    `module` has the entries, as functions of a text.
    """

    def __init__(self, module: str = "entries") -> None:
        self._module = module
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(theirs, self._module))
        self._process.start()
        theirs.close()
        self._connection.recv()

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.kill()
        self._process.join()

    def failure(self, entry: str, text: str) -> str | None:
        """What went wrong with this input, None if nothing did."""
        self._connection.send((entry, text))
        if not self._connection.poll(LIMIT_S):
            self.close()
            self._start()
            return f"no answer in {LIMIT_S:.0f} s"
        try:
            what: str | None = self._connection.recv()
        except EOFError:
            self._process.join()
            what = f"the process ended with status {self._process.exitcode}"
            self._start()
        return what


def _serve(connection: Connection, module: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    entries = importlib.import_module(module)
    connection.send(None)
    while True:
        try:
            entry, text = connection.recv()
        except EOFError:
            return
        try:
            getattr(entries, entry)(text)
        except REFUSALS:
            connection.send(None)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__} in {Path(last.filename).name}:{last.name}"
            connection.send(f"{what}: {error}"[:200] if isinstance(error, AssertionError) else what)
        else:
            connection.send(None)


def inputs(seed: int, entries: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Endless (entry, text) pairs, the entries in turn."""
    for n in count():
        entry = entries[n % len(entries)]
        yield entry, make(entry, random.Random(f"{seed} {n}"))


def shorten(subject: Subject, finding: Finding) -> Finding:
    """The finding with parts of its text left out while it stays the same one."""
    text, tries = finding.text, 0
    size = len(text) // 2
    while size and tries < SHORTEN_TRIES and "no answer" not in finding.what:
        for start in range(0, len(text), size):
            shorter = text[:start] + text[start + size :]
            tries += 1
            if _parses(finding.entry, shorter) and (
                subject.failure(finding.entry, shorter) == finding.what
            ):
                text = shorter
                break
        else:
            size //= 2
    return Finding(finding.entry, finding.what, text)


def _parses(entry: str, text: str) -> bool:
    if entry not in ("schema", "choices"):
        return True
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def run(
    pairs: Iterator[tuple[str, str]], until_s: float = float("inf")
) -> tuple[int, list[Finding]]:
    """How many inputs were tried, and the findings, one for each cause."""
    subject = Subject()
    found: dict[tuple[str, str], Finding] = {}
    tried = 0
    try:
        for entry, text in pairs:
            if time.monotonic() > until_s:
                break
            tried += 1
            what = subject.failure(entry, text)
            if what is not None and (entry, what) not in found:
                found[entry, what] = shorten(subject, Finding(entry, what, text))
    finally:
        subject.close()
    return tried, list(found.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the findings; the exit status is 1 if there are any."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="(default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--entries", nargs="+", choices=ENTRIES, default=list(ENTRIES))
    parser.add_argument("--report", type=Path, help="write the findings here, as JSON")
    options = parser.parse_args(arguments)
    tried, findings = run(inputs(options.seed, options.entries), time.monotonic() + options.seconds)
    for finding in findings:
        print(f"{finding.entry}: {finding.what}\n    {finding.text[:300]!r}")
    print(f"{tried} inputs, {len(findings)} findings")
    if options.report:
        report = [asdict(finding) for finding in findings]
        options.report.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())

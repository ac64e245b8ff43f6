"""Cases run in a process of their own: an engine that crashes or hangs costs a row, not the run."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

from constraint_engine import Engine, Lexicon
from constraints_cases import Case
from constraints_trial import LIMIT_S, Outcome, run
from peer import Unavailable

ENGINES: Mapping[str, tuple[str, str]] = {
    "treegram": ("engine_treegram", "Treegram"),
    "treegram, as gen": ("engine_treegram", "TreegramGen"),
    "llguidance": ("engine_llguidance", "Llguidance"),
    "xgrammar": ("engine_xgrammar", "Xgrammar"),
    "outlines-core": ("engine_outlines_core", "OutlinesCore"),
    "lm-format-enforcer": ("engine_lm_format_enforcer", "LmFormatEnforcer"),
    "llama.cpp": ("engine_llama_cpp", "LlamaCpp"),
}
"""Name -> module, class. A module is imported only in the process that runs it."""

START_S = 120.0
INSTANCE_S = 60.0
"""One instance may take this long; only a hang does."""

MEMORY_BYTES = 12 << 30
"""Address space of a worker: an engine that wants more fails alone."""


def run_all(engine: str, vocabulary: Path, cases: list[Case]) -> Iterator[Outcome]:
    """The outcome of each case, in order. Raises Unavailable."""
    with _Worker(engine, vocabulary) as worker:
        for case in cases:
            yield worker.outcome(case)


class _Worker:
    """A child process, started again after it was lost."""

    def __init__(self, engine: str, vocabulary: Path) -> None:
        self._arguments = (engine, vocabulary)
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def outcome(self, case: Case) -> Outcome:
        """Runs one case to its end, or to the loss of the process."""
        self._connection.send(case)
        last, done, limit_s = Outcome(case.name), False, 2 * LIMIT_S
        while not done:
            if not self._connection.poll(limit_s):
                self._restart()
                return replace(last, verdict="too slow", reason=f"no answer in {limit_s:.0f} s")
            try:
                message: tuple[bool, Outcome] = self._connection.recv()
            except EOFError:
                self._process.join()
                status = self._process.exitcode
                self._restart()
                return replace(last, verdict="crash", reason=f"exit status {status}")
            (done, last), limit_s = message, INSTANCE_S
        return last

    def _start(self) -> None:
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=_work, args=(theirs, *self._arguments), daemon=True
        )
        self._process.start()
        theirs.close()
        if not self._connection.poll(START_S):
            self._stop()
            raise RuntimeError(f"{self._arguments}: not ready after {START_S:.0f} s")
        reason = self._connection.recv()
        if reason is not None:
            self._stop()
            raise Unavailable(reason)

    def _stop(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join()

    def _restart(self) -> None:
        self._stop()
        self._start()


def _work(connection: Connection, name: str, vocabulary: Path) -> None:
    """The child: takes cases until it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    try:
        lexicon = Lexicon(vocabulary)
        engine = _load(name)(lexicon)
    except Unavailable as error:
        connection.send(str(error))
        return
    connection.send(None)
    while True:
        case: Case = connection.recv()
        try:
            outcome = run(
                case,
                engine,
                lexicon.encode,
                lexicon.eos,
                lambda part: connection.send((False, part)),
            )
        except Exception as error:  # whatever an engine raises where it should answer
            outcome = Outcome(case.name, "crash", f"{type(error).__name__}: {error}"[:300])
        connection.send((True, outcome))


def _load(name: str) -> Callable[[Lexicon], Engine]:
    module, class_name = ENGINES[name]
    made: Callable[[Lexicon], Engine] = getattr(importlib.import_module(module), class_name)
    return made

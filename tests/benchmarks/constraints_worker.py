"""Cases run in a process of their own: an engine that crashes or hangs costs a row, not the run."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

from constraint_engine import Engine, Lexicon
from constraints_cases import Case
from constraints_footprint import Collections, Memory, memory, set_aside
from constraints_trial import FIRST_MASK_S, Outcome, run
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

START_S = 60.0
"""An engine may take this long to load a vocabulary."""

GRACE_S = 1.0
"""How much longer a process that is late lives: what ends just after the limit is still timed."""

MEMORY_BYTES = 12 << 30
"""Address space of a worker: an engine that wants more fails alone."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What it took to get an engine ready: seconds, and memory before and after it was loaded."""

    seconds: float
    bare: Memory | None
    ready: Memory | None


@dataclass(frozen=True, slots=True)
class Row:
    """A case that was run to its end or to a limit.

    Attributes:
        seconds: of everything about it, a restart of the process before it included.
        load: of the machine, over the last minute.
        before, after: memory of the process; None if it was lost.
    """

    outcome: Outcome
    seconds: float
    load: float
    before: Memory | None
    after: Memory | None


class Worker:
    """An engine in a child process, which is started again for the next row after it was lost.

    Args:
        engine: module and class.
        row_s: a row that takes longer is "too slow", whatever it was doing.

    Raises Unavailable if the engine is not installed or does not get ready.
    """

    def __init__(self, engine: tuple[str, str], vocabulary: Path, row_s: float) -> None:
        self._arguments = (*engine, vocabulary)
        self._row_s = row_s
        self._context = multiprocessing.get_context("spawn")
        self.loaded = self._start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def row(self, case: Case, left_s: float) -> Row | None:
        """Runs one case; None if it was not decided when `left_s` seconds were over.

        Raises Unavailable if a lost process could not be started again.
        """
        started = time.monotonic()
        if self._connection.closed:
            self._start()
        before = memory(self._pid)
        outcome = self._outcome(case, left_s - (time.monotonic() - started))
        if outcome is None:
            return None
        after = None if self._connection.closed else memory(self._pid)
        return Row(outcome, time.monotonic() - started, os.getloadavg()[0], before, after)

    def _outcome(self, case: Case, left_s: float) -> Outcome | None:
        self._connection.send(case)
        started = time.monotonic()
        last, done = Outcome(case.name), False
        limit_s = min(FIRST_MASK_S + GRACE_S, self._row_s)
        while not done:
            wait_s = min(limit_s, left_s) - (time.monotonic() - started)
            if not self._connection.poll(max(0.0, wait_s)):
                self._stop()
                if left_s < limit_s:
                    return None
                return replace(last, verdict="too slow", reason=f"no answer in {limit_s:.0f} s")
            try:
                message: tuple[bool, Outcome] = self._connection.recv()
            except EOFError:
                self._process.join()
                status = self._process.exitcode
                self._stop()
                return replace(last, verdict="crash", reason=f"exit status {status}")
            done, last = message
            if last.first_mask_s is not None:
                limit_s = self._row_s
        return last

    @property
    def _pid(self) -> int:
        pid = self._process.pid
        assert pid is not None  # it was started
        return pid

    def _start(self) -> Loaded:
        started = time.monotonic()
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=_work, args=(theirs, *self._arguments), daemon=True
        )
        self._process.start()
        theirs.close()
        found: list[Memory | None] = []
        for _ in range(2):  # the vocabulary is loaded, then the engine
            try:
                ready = self._connection.poll(START_S)
                reason = self._connection.recv() if ready else f"not ready after {START_S:.0f} s"
            except EOFError:
                reason = "its process died while it was loaded"
            if reason is not None:
                self._stop()
                raise Unavailable(reason)
            found.append(memory(self._pid))
        return Loaded(time.monotonic() - started, *found)

    def _stop(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join()


def _work(connection: Connection, module: str, class_name: str, vocabulary: Path) -> None:
    """The child: takes cases until it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    os.environ["TREEGRAM_GRAMMAR_CACHE"] = "off"  # every schema is cold
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    lexicon = Lexicon(vocabulary)
    connection.send(None)
    try:
        make: Callable[[Lexicon], Engine] = getattr(importlib.import_module(module), class_name)
        engine = make(lexicon)
    except Unavailable as error:
        connection.send(str(error))
        return
    set_aside()
    connection.send(None)
    while True:
        case: Case = connection.recv()
        with Collections() as collections:
            outcome = _run(case, engine, lexicon, connection)
        outcome.longest_collection_s = collections.longest_s
        gc.collect()  # what this case leaves behind is not to be found during the next one
        connection.send((True, outcome))


def _run(case: Case, engine: Engine, lexicon: Lexicon, connection: Connection) -> Outcome:
    try:
        return run(
            case, engine, lexicon.encode, lexicon.eos, lambda part: connection.send((False, part))
        )
    except Exception as error:  # whatever an engine raises where it should answer
        return Outcome(case.name, "crash", f"{type(error).__name__}: {error}"[:300])

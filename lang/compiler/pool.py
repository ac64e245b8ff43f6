"""Worker processes that compile what would hold this process's interpreter lock for too long.

A thread could not help: it would compete with the engine's thread for the lock at every step. A
worker is a fresh interpreter that runs nothing but `worker.py`. It answers within a time or is
killed, and holds no more than a limit of memory, so that no constraint can hang or crash the
process that asked.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import astuple
from functools import cache

from ...child_interpreter import NoInterpreter, child_command, start_child
from ..errors import ConstraintError
from .front_ends import Source
from .reply import rules_of
from .worker import OUT_OF_MEMORY, READY, read_message, write_message

TIMEOUT_S = 4.0
"""How long one constraint may compile: with everything around it, 5 s for the user."""

START_TIMEOUT_S = 30.0
"""How long a fresh interpreter may take to start on a busy machine."""

MEMORY_BYTES = 1 << 30
"""Address space of one worker."""

ORPHAN_S = 5.0
"""How much longer a worker goes on if its parent is killed and cannot end it."""

MAX_WORKERS = 2
"""More sources than this wait for each other."""


class NoWorker(Exception):
    """No worker process can be started here."""


class CompilePool:
    """Up to `max_workers` workers, started when needed and kept. Thread-safe."""

    def __init__(
        self,
        timeout_s: float = TIMEOUT_S,
        memory_bytes: int = MEMORY_BYTES,
        max_workers: int = MAX_WORKERS,
    ) -> None:
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._max_workers = max_workers
        self._is_exiting = False
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(self._max_workers)
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    def compile(self, source: Source) -> bytes:
        """The encoded rules of a source; waits while all workers are busy.

        Raises ConstraintError if it takes too long or needs too much memory, whatever the compiler
        raises, and NoWorker.
        """
        with self._free:
            worker = self._take()
            reply = None
            try:
                reply = worker.ask(json.dumps(astuple(source)).encode(), self._timeout_s)
            finally:
                if reply is None:  # also if this thread was interrupted: an answer may still come
                    self._discard(worker)
            if reply is None:
                if self._is_exiting and threading.current_thread() is not threading.main_thread():
                    threading.Event().wait()  # its error would be printed as Python ends
                raise ConstraintError(self._failed(source, worker))
            with self._lock:
                self._idle.append(worker)
        return rules_of(reply)

    def close(self) -> None:
        """Ends all workers; a thread that waits for one gets an error."""
        with self._lock:
            workers = list(self._all)
        for worker in workers:
            self._discard(worker)

    def close_at_exit(self) -> None:
        """Ends all workers. Only daemon threads still wait then, and they hear no more of it."""
        self._is_exiting = True
        self.close()

    def forget(self) -> None:
        """After a fork, in the child: the workers are the parent's."""
        for worker in self._all:
            worker.disown()
        self._begin()

    def _take(self) -> _Worker:
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                break
            if worker.is_alive:
                return worker
            self._discard(worker)
        worker = _Worker(self._memory_bytes, self._timeout_s)
        with self._lock:
            self._all.add(worker)
        return worker

    def _discard(self, worker: _Worker) -> None:
        worker.end()
        with self._lock:
            self._all.discard(worker)

    def _failed(self, source: Source, worker: _Worker) -> str:
        if worker.was_late:
            what = f"takes longer than {self._timeout_s:g} s to compile"
        elif worker.exit_code == OUT_OF_MEMORY:
            what = f"takes more than {self._memory_bytes >> 20} MiB to compile"
        else:
            what = f"cannot be compiled: the compiler's process ended with code {worker.exit_code}"
        return f"{source.kind}: {what}; make the constraint smaller or simpler"


class _Worker:
    """One process; used by one thread at a time."""

    def __init__(self, memory_bytes: int, timeout_s: float) -> None:
        """Raises NoWorker."""
        try:
            self._process = start_child(
                child_command(f"{__package__}.worker", "serve", memory_bytes, timeout_s + ORPHAN_S),
                stderr=subprocess.DEVNULL,
            )
        except NoInterpreter as error:
            raise NoWorker(str(error)) from error
        except OSError as error:
            raise NoWorker(f"{sys.executable} cannot be started: {error}") from error
        self.was_late = False
        greeting = None
        try:
            greeting = self._within(START_TIMEOUT_S, None)
        finally:
            if greeting != READY:  # also if this thread was interrupted
                self.end()
        if greeting != READY:
            raise NoWorker(f"{sys.executable} cannot import {__package__}")

    def ask(self, message: bytes, timeout_s: float) -> bytes | None:
        """The answer to a message; None if there will be none."""
        return self._within(timeout_s, message)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of an ended process; negative for the signal that ended it."""
        return self._process.returncode

    def end(self) -> None:
        """Kills the process and frees what it holds. Idempotent."""
        self._process.kill()
        self._process.wait()
        self.disown()

    def disown(self) -> None:
        """Closes this side of the pipes, and leaves the process to whoever started it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # a message that was not delivered
                pipe.close()
        if self._process.returncode is None:
            self._process.returncode = 0  # a fork's copy must not wait for it, nor warn

    def _within(self, timeout_s: float, message: bytes | None) -> bytes | None:
        """Sends a message and reads one; the process is killed when the time is over."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(timeout_s, self._expire)
        timer.daemon = True
        timer.start()
        try:
            if message is not None:
                write_message(self._process.stdin, message)
            reply = read_message(self._process.stdout)
        except (OSError, ValueError):  # the process has ended, or `close` closed the pipes
            reply = None
        finally:
            timer.cancel()
        timer.join()
        if self.was_late:
            return None
        if reply is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)  # it may still be on its way out, and its code says why
        return reply

    def _expire(self) -> None:
        self.was_late = True
        self._process.kill()


@cache
def shared_pool() -> CompilePool:
    """The process's own workers; they end with it."""
    pool = CompilePool()
    atexit.register(pool.close_at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=pool.forget)
    return pool

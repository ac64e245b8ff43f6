"""Ends a computation of this thread that takes too long, wherever in Python code it is.

No estimate predicts what a constraint costs to compile. So it is tried for a moment in the
caller's thread, where most are done in a millisecond, and repeated in a worker process if that was
not enough. Asking the clock in all loops of the compilers would be the alternative, and the one
loop forgotten would be the one that hangs. Instead another thread raises an exception inside this
one (`PyThreadState_SetAsyncExc`), which is sound only for code without side effects, as compilers
are, and only while that code runs: the garbage collector may be running someone's finalizer.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

_T = TypeVar("_T")

POLL_S = 0.02
"""How late a computation may end. A thread of its own for each would take longer than most."""

RETRY_S = 0.001
"""How soon to try again: other code was running, or somebody has swallowed the exception."""

LINGER_S = 1.0
"""How long the watching thread stays when there is nothing to watch."""


class OutOfTime(BaseException):
    """The time was not enough. Not an Exception, so that no handler on the way takes it."""


def run_within(
    seconds: float,
    work: Callable[[], _T],
    packages: tuple[str, ...],
    shielded: tuple[str, ...] = (),
) -> _T:
    """`work()`, in this thread. Raises OutOfTime, from inside it, soon after `seconds` are over.

    A single call into C is not interrupted, and delays the end by as long as it takes.

    Args:
        packages: only code of these packages is ended; other code has its time to return to it.
        shielded: modules, by how their names begin, that change what outlives the computation:
            neither they nor what they call is ended.
    """
    watched = _Watched(time.monotonic() + seconds, packages, shielded)
    try:
        _WATCHER.add(watched)
        return work()
    finally:
        watched.end()
        _WATCHER.discard(watched)


class _Watched:
    """One computation. It is ended until it has ended, and never after."""

    def __init__(
        self, deadline: float, packages: tuple[str, ...], shielded: tuple[str, ...]
    ) -> None:
        self.deadline = deadline
        self._packages = packages
        self._shielded = shielded
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._was_interrupted = False
        self.has_ended = False

    def interrupt(self) -> None:
        with self._lock:
            if self.has_ended:
                return
            # the thread has let go of the interpreter lock at its innermost frame, where it will go
            # on, and where the exception is raised
            place = self._place()
            if place is None:  # a thread of the process that this one was forked from
                self.has_ended = True
            # looking around takes long enough for the lock to change hands once more
            elif self._may_end(place[0]) and self._place() == place:
                self._was_interrupted = True
                _raise_in(ctypes.c_ulong(self._thread), ctypes.py_object(OutOfTime))

    def _place(self) -> tuple[FrameType, int] | None:
        """The thread's innermost frame and the instruction it is at."""
        frame = sys._current_frames().get(self._thread)
        return None if frame is None else (frame, frame.f_lasti)

    def end(self) -> None:
        with self._lock:
            self.has_ended = True
            # only then: CPython 3.11, told to raise nothing, looks for it before every call from
            # then on, and under a profiler for ever
            if self._was_interrupted:
                _raise_in(ctypes.c_ulong(self._thread), None)  # what has not arrived yet

    def _may_end(self, frame: FrameType) -> bool:
        module = _module(frame)
        if module == __name__ or module.partition(".")[0] not in self._packages:
            return False
        caller: FrameType | None = frame
        while caller is not None:
            if _module(caller).startswith(self._shielded):
                return False
            caller = caller.f_back
        return True


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


class _Watcher:
    """The thread that watches, while there is something to watch."""

    def __init__(self) -> None:
        self._watched: set[_Watched] = set()  # each access is one step under the interpreter lock
        self._thread: threading.Thread | None = None

    def add(self, watched: _Watched) -> None:
        self._watched.add(watched)
        thread = self._thread
        if thread is None or not thread.is_alive():  # as after a fork
            self._thread = threading.Thread(target=self._run, name="time-budget", daemon=True)
            self._thread.start()

    def discard(self, watched: _Watched) -> None:
        self._watched.discard(watched)

    def _run(self) -> None:
        until = time.monotonic() + LINGER_S
        pause = POLL_S
        while True:
            time.sleep(pause)
            now, pause = time.monotonic(), POLL_S
            for watched in list(self._watched):
                until = now + LINGER_S
                if watched.has_ended:
                    self._watched.discard(watched)
                elif watched.deadline <= now:
                    watched.interrupt()
                    pause = RETRY_S
            if until < now:
                self._thread = None
                if not self._watched:  # else something came before it could see that
                    return
                self._thread = threading.current_thread()


_WATCHER = _Watcher()
_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc

"""What all branches of one run share: the backend, the lock, the requests in flight.

One lock serves a whole run, so that branches, joins and cancellation need no lock order. It is
never held while a backend, a template or user code runs.
"""

from __future__ import annotations

import linecache
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .base import Backend, Handle, Request, Result
from .errors import CancelledError
from .ordering import OrderPlanner
from .run_options import RunOptions

if TYPE_CHECKING:
    from .interpreter import Branch


@dataclass(frozen=True, slots=True)
class Where:
    """A line of the user's program."""

    filename: str
    lineno: int

    @classmethod
    def of_caller(cls) -> Where:
        """The innermost line on the stack that is not this package's own."""
        frame = sys._getframe(1)
        while frame.f_back is not None and _is_own(frame.f_globals.get("__name__", "")):
            frame = frame.f_back
        return cls(frame.f_code.co_filename, frame.f_lineno)

    def __str__(self) -> str:
        source = linecache.getline(self.filename, self.lineno).strip()
        return f"{self.filename}:{self.lineno}" + (f": {source}" if source else "")


def _is_own(module: str) -> bool:
    return module.startswith(f"{__package__}.")


class Execution:
    """One run of a program.

    Attributes:
        options: what holds for every generation that says nothing else.
        orders: who orders interchangeable blocks.
        lock: guards every mutable field of the run and of its branches.
        changed: an operation ended, or the run was cancelled.
        text_changed: text was added; apart from `changed`, so that a thread that waits for a
            result is not woken for every token.
        pending: operations that are enqueued and not yet ended, over all branches.
        failed: branches with an error, in the order of the errors.
        cancelled: the error that every further operation gets, once the run is cancelled.
        is_finished: the body has returned; what is appended later is the caller's.
    """

    def __init__(
        self,
        backend: Backend,
        program: str,
        options: RunOptions | None = None,
        orders: OrderPlanner | None = None,
    ) -> None:
        self.backend = backend
        self.orders = orders if orders is not None else OrderPlanner()
        self.options = options if options is not None else RunOptions()
        self.program = program
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.text_changed = threading.Condition(self.lock)
        self.pending = 0
        self.failed: list[Branch] = []
        self.cancelled: CancelledError | None = None
        self.is_finished = False
        self._handles: dict[int, Handle] = {}
        self._ready: deque[Branch] = deque()
        self._draining = threading.local()

    def submit(
        self,
        request: Request,
        on_text: Callable[[str], None] | None,
        on_done: Callable[[Result | None, BaseException | None], None],
    ) -> Handle:
        """Starts a request; `on_done` gets its result or its error, from the engine's thread."""
        handle = self.backend.submit(request, on_text)
        with self.lock:
            self._handles[id(handle)] = handle
            cancelled = self.cancelled is not None

        def done(finished: Handle) -> None:
            with self.lock:
                self._handles.pop(id(handle), None)
            try:
                result = finished.result(timeout=0)
            except BaseException as exc:
                on_done(None, exc)
            else:
                on_done(result, None)

        handle.add_done_callback(done)
        if cancelled:
            handle.cancel()
        return handle

    def finish(self) -> None:
        """Says that the body has returned and nothing is left to wait for."""
        with self.lock:
            self.is_finished = True

    def cancel(self, reason: str = "the program was cancelled") -> None:
        """Ends every request in flight and drops what is queued; nothing on a finished run."""
        with self.lock:
            if self.is_finished and not self.pending:
                return
            if self.cancelled is None:
                self.cancelled = CancelledError(reason)
            handles = list(self._handles.values())
            self.changed.notify_all()
            self.text_changed.notify_all()
        for handle in handles:
            handle.cancel()

    def schedule(self, branch: Branch) -> None:
        """Notes that `branch` may go on; `drain` lets it."""
        with self.lock:
            self._ready.append(branch)

    def drain(self) -> None:
        """Advances every branch that may go on.

        A loop and not recursion: called from within itself (a request that is done at once, a
        branch whose end lets its parent go on) it leaves the work to the outer call.
        """
        if getattr(self._draining, "active", False):
            return
        self._draining.active = True
        try:
            while True:
                with self.lock:
                    if not self._ready:
                        return
                    branch = self._ready.popleft()
                branch.step()
        finally:
            self._draining.active = False

    def wait(self, is_over: Callable[[], bool]) -> None:
        """Waits until `is_over()`, which is called under the lock, after every change."""
        with self.lock:
            while not is_over():
                self.changed.wait()

    def unseen_failure(self) -> Branch | None:
        """The first failed branch whose error no reader has got yet."""
        with self.lock:
            return next((branch for branch in self.failed if not branch.was_seen), None)

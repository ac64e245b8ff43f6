"""Keeps one engine process running: starts the next when one has ended, and not too often."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from ...lang.errors import EngineError
from .process import EngineProcess

LOG = logging.getLogger(__name__)
MAX_WAIT_S = 30.0


def wait_s(crashes: int) -> float:
    """How long the next start waits after so many crashes in a row: 0, 1, 2, 4 ... 30 seconds."""
    return 0.0 if crashes < 2 else min(2.0 ** (crashes - 2), MAX_WAIT_S)


class Supervisor:
    """The process there is now. Thread-safe.

    Crashes are in a row if no request ended well between them.

    Args:
        start: starts a process; the first one at once.
        restore: brings what a process that has ended had in memory to the next one.

    Raises:
        TreegramError: what `start` and loading the model raise.
    """

    def __init__(
        self, start: Callable[[], EngineProcess], restore: Callable[[EngineProcess], None]
    ) -> None:
        self._start = start
        self._restore = restore
        self._pid = os.getpid()
        self._starting = threading.Lock()
        self._closing = threading.Event()
        self._crashes = 0
        self._current = start()
        try:
            self.facts: Any = self._current.wait_ready()
        except BaseException:
            self._current.end()
            raise

    def process(self) -> EngineProcess:
        """The process, once its model is loaded; waits while another is started.

        Raises:
            EngineError: closed, or this is a fork of the process that loaded the model.
            TreegramError: what loading raises.
        """
        if os.getpid() != self._pid:
            raise EngineError(
                "this process was forked after the model was loaded, and the engine belongs to its "
                "parent; load the model in the child, or start it with 'spawn'"
            )
        current = self._current
        if not current.is_alive or self._closing.is_set():
            with self._starting:
                current = self._restarted()
        return current

    def running(self) -> EngineProcess | None:
        """The process if there is one now."""
        current = self._current
        return current if current.is_alive and os.getpid() == self._pid else None

    def close(self) -> None:
        """Ends the process; nothing starts another. Idempotent."""
        if os.getpid() != self._pid:
            return
        self._closing.set()
        self._current.end()

    def _restarted(self) -> EngineProcess:
        current = self._current
        if not self._closing.is_set() and not current.is_alive:
            self._crashes = 1 if current.has_finished_any else self._crashes + 1
            delay_s = wait_s(self._crashes)
            LOG.warning("the engine's process starts again in %g s", delay_s)
            self._closing.wait(delay_s)
        if self._closing.is_set():
            raise EngineError("the model is closed; load it again")
        if not current.is_alive:
            self._current = current = self._start()
            if self._closing.is_set():  # it was closed before it could be seen
                current.end()
            current.wait_ready()
            self._restore(current)
        return current

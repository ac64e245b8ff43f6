"""Admission: how many requests are being served, and whether more may come in.

The gate is `loading` until the model is up, then `ready`, then `draining`: what is inside may
finish, everything new gets 503. It is called from the event loop and from the thread that handles
signals, so it locks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from .errors import unavailable

GateState = Literal["loading", "ready", "draining"]


class Ticket:
    """One admitted request. Work that can be cancelled from outside is registered with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancels: list[Callable[[], None]] = []
        self._cancelled = False

    def on_cancel(self, cancel: Callable[[], None]) -> None:
        """Registers `cancel`, a thread-safe function; calls it at once if cancelled already."""
        with self._lock:
            if not self._cancelled:
                self._cancels.append(cancel)
                return
        cancel()

    def cancel(self) -> None:
        """Cancels everything that was registered. Idempotent."""
        with self._lock:
            self._cancelled = True
            cancels, self._cancels = self._cancels, []
        for cancel in cancels:
            cancel()


class Gate:
    """Admits at most `max_requests` at once.

    Args:
        max_requests: running and queued requests together; more get 503 with Retry-After.
        ready: False starts in `loading`.
    """

    def __init__(self, max_requests: int = 256, *, ready: bool = True) -> None:
        self.max_requests = max_requests
        self._state: GateState = "ready" if ready else "loading"
        self._tickets: set[Ticket] = set()
        self._changed = threading.Condition()

    @property
    def state(self) -> GateState:
        return self._state

    @property
    def n_inside(self) -> int:
        """Requests admitted and not finished."""
        return len(self._tickets)

    @contextmanager
    def admit(self) -> Iterator[Ticket]:
        """Holds one place. Raises ApiError 503 while loading, draining or full."""
        ticket = Ticket()
        with self._changed:
            self.check()
            if len(self._tickets) >= self.max_requests:
                raise unavailable(f"{self.max_requests} requests are already running or queued", 1)
            self._tickets.add(ticket)
        try:
            yield ticket
        finally:
            with self._changed:
                self._tickets.discard(ticket)
                self._changed.notify_all()

    def check(self) -> None:
        """Raises ApiError 503 unless the gate is ready."""
        if self._state == "loading":
            raise unavailable("the model is loading", 2)
        if self._state == "draining":
            raise unavailable("the server is shutting down", 5)

    def open(self) -> None:
        """From `loading` to `ready`; a gate that is draining stays so."""
        with self._changed:
            if self._state == "loading":
                self._state = "ready"

    def drain(self) -> None:
        """Refuses everything new from now on."""
        with self._changed:
            self._state = "draining"
            self._changed.notify_all()

    def wait_empty(self, timeout_s: float) -> bool:
        """Waits until nobody is inside; False if `timeout_s` passed first."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._tickets, timeout_s)

    def cancel_all(self) -> None:
        """Cancels the work of everybody inside; they end with an error of their own."""
        with self._changed:
            tickets = list(self._tickets)
        for ticket in tickets:
            ticket.cancel()

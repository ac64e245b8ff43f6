"""Runs the application under uvicorn, from the first connection to the last.

uvicorn has a thread of its own and the main thread keeps the signals: so `/health` answers while
the model loads, new requests get a 503 that says why while old ones finish, and the process exits
with status 0 (uvicorn's own handler would die of the signal it caught).
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from ..failures import UsageError
from .gate import Gate

CLOSE_SECONDS = 2
"""How long cancelled requests may take to send their last words."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UsageError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as exc:
        raise UsageError(
            f"cannot listen on {host} port {port}: {exc}; choose another with --port"
        ) from exc


def serve_until_signal(
    app: ASGIApp,
    gate: Gate,
    sock: socket.socket,
    *,
    load: Callable[[], object],
    drain_s: float,
    about: str,
) -> int:
    """Serves on `sock` until SIGTERM or SIGINT; call it from the main thread.

    `load` runs with the server already up; the gate opens after it. A signal drains: what runs may
    take `drain_s` more seconds, then it is cancelled; a second signal cancels at once. Returns 0,
    or 1 if uvicorn stopped by itself. Raises what `load` raises.
    """
    config = uvicorn.Config(
        app, lifespan="off", log_level="warning", timeout_graceful_shutdown=CLOSE_SECONDS
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([sock],), name="treegram-http")
    with _signals() as signals:
        thread.start()
        try:
            load()
            gate.open()
            host, port = sock.getsockname()[:2]
            print(f"treegram: serving on http://{_url_host(host)}:{port} ({about})", flush=True)
            while not signals.first.wait(1.0):
                if not thread.is_alive():
                    return 1
            _drain(gate, signals, drain_s)
        finally:
            gate.drain()
            gate.cancel_all()
            server.should_exit = True
            thread.join()
    return 0


class _Signals:
    """The first and the second signal, as events."""

    def __init__(self) -> None:
        self.first = threading.Event()
        self.second = threading.Event()

    def handle(self, number: int, frame: FrameType | None) -> None:
        (self.second if self.first.is_set() else self.first).set()


@contextmanager
def _signals() -> Iterator[_Signals]:
    signals = _Signals()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, signals.handle) for number in numbers]
    try:
        yield signals
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _drain(gate: Gate, signals: _Signals, drain_s: float) -> None:
    gate.drain()
    if gate.n_inside:
        print(
            f"treegram: finishing {gate.n_inside} requests, {drain_s:g} s at most", file=sys.stderr
        )
    deadline_s = time.monotonic() + drain_s
    while not signals.second.is_set():
        if gate.wait_empty(min(0.2, max(deadline_s - time.monotonic(), 0))):
            return
        if time.monotonic() >= deadline_s:
            return


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host

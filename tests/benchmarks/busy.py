"""A pure-Python thread that never rests, as a user's own code may beside an in-process engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def busy_thread() -> Iterator[None]:
    """Keeps one thread computing, and asking for the GIL, until the block ends."""
    over = threading.Event()

    def work() -> None:
        n = 0
        while not over.is_set():
            for _ in range(1000):
                n = (n * 31 + 7) % 1_000_003

    thread = threading.Thread(target=work, name="busy", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

"""Who is inside something that can be closed: it closes when the last has left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..lang.errors import EngineError


class Users:
    """Threads that are inside a model now; it closes when the last has left."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Raises EngineError once the model is closed."""
        with self._changed:
            if self._closed:
                raise EngineError("the model is closed; load it again")
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Lets nobody in any more and waits until everybody is out."""
        with self._changed:
            self._closed = True
            while self._inside:
                self._changed.wait()

"""Files that are read before anybody needs them, by a thread of its own.

A request that waits says what it will find; what is on disk then comes back while others run. What
could not be read is left for whoever needs it, who reads it again and says what is wrong.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from .base import Blob

if TYPE_CHECKING:
    from .disk import DiskFile

LOG = logging.getLogger(__name__)


class ReadAhead:
    """Reads one file at a time. The methods are for one thread.

    Args:
        read: what a file holds, or None; called by the thread that reads.

    READS: the most files that are to be read, or were and are not taken: their memory is in no
    budget yet.
    """

    READS = 4

    def __init__(self, read: Callable[[DiskFile], Blob | None]) -> None:
        self._read = read
        self._changed = threading.Condition()
        self._queue: list[DiskFile] = []
        self._reading: DiskFile | None = None
        self._found: dict[DiskFile, Blob | None] = {}
        self._is_closed = False
        self._reader: threading.Thread | None = None

    def start(self, file: DiskFile) -> bool:
        """Has `file` read, unless it is already, or too many are."""
        with self._changed:
            known = {*self._queue, *self._found, self._reading} - {None}
            if file in known or len(known) >= self.READS or self._is_closed:
                return False
            self._queue.append(file)
            self._changed.notify_all()
        if self._reader is None:
            self._reader = threading.Thread(
                target=self._read_all, name="treegram-read-ahead", daemon=True
            )
            self._reader.start()
        return True

    def take(self) -> tuple[DiskFile, Blob | None] | None:
        """A file that has been read, and what it holds; None if there is none for now."""
        with self._changed:
            return self._found.popitem() if self._found else None

    def claim(self, file: DiskFile) -> Blob | None:
        """What `file` holds, if it has been read; waits for it if its turn has come.

        None, and it is not read any more, if the caller is to read it.
        """
        with self._changed:
            if file in self._queue:
                self._queue.remove(file)
            self._changed.wait_for(lambda: self._reading is not file)
            return self._found.pop(file, None)

    def close(self) -> None:
        """Ends the thread, after the file that it is reading. Idempotent."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._reader is not None:
            self._reader.join()

    def _read_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._is_closed)
                if self._is_closed:
                    return
                self._reading = self._queue.pop(0)
            blob = None
            try:
                blob = self._read(self._reading)
            except Exception:  # whoever needs it reads it; if this thread ended, they would wait
                LOG.exception("a saved prefix cannot be read ahead")
            with self._changed:
                self._found[self._reading] = blob
                self._reading = None
                self._changed.notify_all()

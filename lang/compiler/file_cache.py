"""Files that can be made again, in a folder that any number of processes share.

A file is a header, a checksum over its key and its content, and the content. It is written under
another name and then renamed, so that whoever reads it reads all of it. Whatever is wrong with a
file, the folder or the disk costs only the work to make the content again.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path

from ...atomic_file import new_file

LOG = logging.getLogger(__name__)

_CHECKSUM_BYTES = hashlib.sha256().digest_size


class FileCache:
    """Contents by key, within a number of bytes. Thread-safe, and safe between processes.

    Args:
        folder: made when something is first kept; None keeps nothing.
        kind: the ending of the files' names; files of other kinds are left alone.
        limit_bytes: what the files of this kind may take together.
    """

    def __init__(self, folder: Path | None, kind: str, limit_bytes: int) -> None:
        self._folder = folder
        self._suffix = f".{kind}"
        self._header = f"treegram {kind}\n".encode()
        self._limit_bytes = limit_bytes

    def load(self, key: str) -> bytes | None:
        """What was kept under `key`, or None: nothing was, or the file is damaged.

        A damaged file is removed, and the log says so.
        """
        if self._folder is None:
            return None
        path = self._folder / (key + self._suffix)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        start = len(self._header) + _CHECKSUM_BYTES
        content = data[start:]
        if data[:start] != self._header + _checksum(key, content):
            self.reject(key, "its checksum is wrong")
            return None
        with suppress(OSError):
            os.utime(path)  # it was used
        return content

    def keep(self, key: str, content: bytes) -> None:
        """Writes `content` under `key`, all of it or nothing; makes room for it."""
        if self._folder is None or len(content) > self._limit_bytes:
            return
        with suppress(OSError):  # a full or unwritable disk only means that nothing is kept
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with new_file(self._folder / (key + self._suffix), self._suffix) as part:
                part.write_bytes(self._header + _checksum(key, content) + content)
            self._make_room(self._folder)

    def reject(self, key: str, reason: str) -> None:
        """Removes the file of `key`, which cannot be used, and logs why."""
        assert self._folder is not None, "there was a file"
        path = self._folder / (key + self._suffix)
        LOG.warning("%s is not used and is made again: %s", path, reason)
        with suppress(OSError):
            path.unlink()

    def _make_room(self, folder: Path) -> None:
        """Removes the least recently used files beyond the limit, other processes' leavings too."""
        files: list[tuple[float, int, str]] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.endswith(self._suffix):
                    continue  # the user may have named a folder with other things in it
                with suppress(FileNotFoundError):
                    status = entry.stat()
                    files.append((status.st_mtime, status.st_size, entry.path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._limit_bytes:
                break
            total -= size
            with suppress(FileNotFoundError):
                os.unlink(path)


def _checksum(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\n" + content).digest()

"""The folder of prepared weights: many processes, a budget, and nothing half-written."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..atomic_file import PART_SUFFIX

IN_USE_S = 3600.0
SPARE_BYTES = 512 << 20


class NoRoom(Exception):
    """The budget, the disk or the memory does not allow it now; the message has the numbers."""


class WeightsFolder:
    """Files NAME.gguf with a NAME.json beside each, shared by all processes of one user.

    Args:
        path: made if need be, for this user only.

    Raises:
        OSError: the folder cannot be made, or is another user's.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
            raise PermissionError(f"{path} belongs to another user")
        self.path = path

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Holds `name` against other processes.

        Without POSIX locks two of them may do the same work, and the last one wins.
        """
        with (self.path / f"{name}.lock").open("wb") as file:
            if sys.platform != "win32":
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def make_room(self, n_bytes: int, most_bytes: int) -> None:
        """Removes the weights that were not used for longest until `n_bytes` more fit `most_bytes`.

        Also removes what killed processes left. Raises NoRoom, and then has removed no weights;
        those that were used within the hour stay: a process may be loading them.
        """
        now = time.time()
        for part in self.path.glob(f"*{PART_SUFFIX}"):
            if now - part.stat().st_mtime > IN_USE_S:
                part.unlink(missing_ok=True)
        files = sorted((p.stat().st_mtime, p.stat().st_size, p) for p in self.path.glob("*.gguf"))
        held = sum(size for _, size, _ in files)
        idle = [file for file in files if now - file[0] > IN_USE_S]
        if held - sum(size for _, size, _ in idle) + n_bytes > most_bytes:
            raise NoRoom(
                f"{megabytes(n_bytes)} beside {megabytes(held)} of other models, where "
                f"{megabytes(most_bytes)} are allowed (prepared_bytes)"
            )
        free = shutil.disk_usage(self.path).free
        if free < n_bytes + SPARE_BYTES:
            raise NoRoom(f"{megabytes(n_bytes)} of disk, where {megabytes(free)} are free")
        for _, size, path in idle:
            if held + n_bytes <= most_bytes:
                return
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink()
            held -= size


def megabytes(n_bytes: int) -> str:
    """For messages."""
    return f"{n_bytes / 1e6:,.0f} MB"

"""Which code made a file of a cache: no other code may read it.

By content, not by time stamps: installers write those, and may write the same ones for every
release.
"""

from __future__ import annotations

import hashlib
import time
from functools import cache
from pathlib import Path

_STARTED = time.time()


@cache
def code_identity(*folders: Path) -> bytes | None:
    """A hash of the modules in `folders`, equal in every process that runs them.

    None where it cannot be told which code runs: it was imported from an archive, or the files have
    been edited since.
    """
    sha = hashlib.sha256()
    files = [(file, folder) for folder in folders for file in sorted(folder.rglob("*.py"))]
    for file, folder in files:
        try:
            data = file.read_bytes()
            if file.stat().st_mtime > _STARTED:
                return None
        except OSError:
            return None
        sha.update(f"\n{file.relative_to(folder).as_posix()} {len(data)}\n".encode())
        sha.update(data)
    return sha.digest() if files else None

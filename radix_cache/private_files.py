"""Files that are this user's alone: nobody else has written them, or put others in their place."""

from __future__ import annotations

import os
import secrets
import stat
import time
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

KEY_BYTES = 32


class BadFile(Exception):
    """A file that is damaged, foreign, or cannot be read."""


def check_private(folder: Path) -> None:
    """Raises PermissionError where others than this user may write, as far as the system says."""
    if not hasattr(os, "getuid"):
        return
    status = folder.stat()
    if status.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user; give a folder of your own")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(
            f"{folder} can be written to by others (mode {stat.S_IMODE(status.st_mode):o}), "
            "who could remove or replace what is saved there; chmod go-w, or give another folder"
        )


def opened(path: Path) -> BufferedReader:
    """A regular file of this user's, not through a link; a pipe does not hold it up."""
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    handle = os.open(path, flags)
    status = os.fstat(handle)
    is_own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    if not stat.S_ISREG(status.st_mode) or not is_own:
        os.close(handle)
        raise BadFile("it is no plain file of this user")
    return os.fdopen(handle, "rb")


def own_key(path: Path) -> bytes:
    """The key that this user's files are authenticated with; made once."""
    with suppress(FileExistsError):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags, 0o600), "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES))
    for _ in range(50):
        try:
            with opened(path) as stream:
                key = stream.read(KEY_BYTES + 1)
        except BadFile as error:
            raise PermissionError(f"{path}: {error}; remove it") from error
        if len(key) == KEY_BYTES:
            return key
        time.sleep(0.01)  # another process has just made the file
    raise PermissionError(f"{path} holds no key of {KEY_BYTES} bytes; remove it")

"""Compiled grammars on disk, so that a slow compilation is paid once per machine.

A file holds a header, a checksum over its key and its content, and the content, none of it
executable (`ir/rules_format.py`). Whatever is wrong with a file, or with the disk, costs only a
compilation. Keys bind the content to this very compiler, so that no version ever reads another
one's rules.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import unicodedata
from contextlib import suppress
from functools import cache
from pathlib import Path

from ..ir.rules_format import FORMAT_VERSION, Compiled, decode
from .cache_folder import cache_folder

LOCATION_VARIABLE = "TREEGRAM_GRAMMAR_CACHE"
"""Environment variable: another folder for the cache, or `off` for none."""

CACHE_BYTES = 64 << 20
"""Files kept in the folder, least recently used out first."""

_HEADER = b"treegram grammar\n"
_SUFFIX = ".grammar"
_CHECKSUM_BYTES = hashlib.sha256().digest_size


class GrammarCache:
    """A folder of compiled grammars, shared by any number of processes.

    Args:
        folder: made when something is first kept; None keeps nothing.
        limit_bytes: what the files may take together.
    """

    def __init__(self, folder: Path | None, limit_bytes: int = CACHE_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes

    def load(self, key: str) -> Compiled | None:
        """What was kept under `key`, or None: nothing was, or the file is damaged."""
        if self._folder is None:
            return None
        path = self._folder / (key + _SUFFIX)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        start = len(_HEADER) + _CHECKSUM_BYTES
        if data[:start] == _HEADER + _checksum(key, data[start:]):
            with suppress(ValueError):  # whoever wrote it can compute a checksum, and no more
                found = decode(data[start:])
                with suppress(OSError):
                    os.utime(path)
                return found
        with suppress(OSError):
            path.unlink()
        return None

    def keep(self, key: str, encoded: bytes) -> None:
        """Writes an encoded grammar under `key`, at once or not at all; makes room for it."""
        if self._folder is None or len(encoded) > self._limit_bytes:
            return
        with suppress(OSError):  # a full or unwritable disk only means that nothing is kept
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(_SUFFIX, ".", self._folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_HEADER + _checksum(key, encoded) + encoded)
                os.replace(name, self._folder / (key + _SUFFIX))
            except BaseException:
                os.unlink(name)
                raise
            self._make_room(self._folder)

    def _make_room(self, folder: Path) -> None:
        """Removes the least recently used files beyond the limit, other processes' leavings too."""
        files: list[tuple[float, int, str]] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.endswith(_SUFFIX):
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


def user_cache() -> GrammarCache:
    """The cache in the user's folder, or where the environment says."""
    wanted = os.environ.get(LOCATION_VARIABLE)
    if wanted == "off" or not _compiler_files():
        return GrammarCache(None)
    return GrammarCache(Path(wanted) if wanted else cache_folder() / "grammars")


def cache_key(*parts: str) -> str:
    """A name for what this compiler makes of these texts; equal in every process."""
    sha = hashlib.sha256(_compiler())
    for part in parts:
        data = part.encode(errors="surrogatepass")
        sha.update(len(data).to_bytes(8, "big") + data)
    return sha.hexdigest()


@cache
def _compiler() -> bytes:
    """What decides the rules of a source besides the source: the code, Unicode, the format."""
    sha = hashlib.sha256(f"{FORMAT_VERSION} {unicodedata.unidata_version}".encode())
    for file in _compiler_files():
        status = file.stat()
        sha.update(f"\n{file.name} {status.st_size} {status.st_mtime_ns}".encode())
    return sha.digest()


@cache
def _compiler_files() -> tuple[Path, ...]:
    """The modules of the language; none where it is imported from an archive."""
    return tuple(sorted(Path(__file__).parent.parent.rglob("*.py")))


def _checksum(key: str, encoded: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\n" + encoded).digest()

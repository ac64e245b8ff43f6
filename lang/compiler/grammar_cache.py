"""Compiled grammars on disk, so that a slow compilation is paid once per machine.

What a file holds is not executable (`ir/rules_format.py`). Keys bind it to this very compiler, so
that no version ever reads another one's rules.
"""

from __future__ import annotations

import hashlib
import unicodedata
from functools import cache
from pathlib import Path

from ..ir.rules_format import FORMAT_VERSION, Compiled, decode
from .cache_folder import grammar_folder
from .code_identity import code_identity
from .file_cache import FileCache

CACHE_BYTES = 64 << 20
"""Files kept in the folder, least recently used out first."""


class GrammarCache:
    """A folder of compiled grammars, shared by any number of processes.

    Args:
        folder: made when something is first kept; None keeps nothing.
        limit_bytes: what the files may take together.
    """

    def __init__(self, folder: Path | None, limit_bytes: int = CACHE_BYTES) -> None:
        self._files = FileCache(folder, "grammar", limit_bytes)

    def load(self, key: str) -> Compiled | None:
        """What was kept under `key`, or None: nothing was, or the file is damaged."""
        content = self._files.load(key)
        if content is None:
            return None
        try:
            return decode(content)
        except ValueError as error:  # whoever wrote it can compute a checksum, and no more
            self._files.reject(key, str(error))
            return None

    def keep(self, key: str, encoded: bytes) -> None:
        """Writes an encoded grammar under `key`, at once or not at all; makes room for it."""
        self._files.keep(key, encoded)


def user_cache() -> GrammarCache:
    """The cache in the user's folder, or where the environment says."""
    return GrammarCache(None if language_identity() is None else grammar_folder())


def cache_key(*parts: str) -> str:
    """A name for what this compiler makes of these texts; equal in every process."""
    sha = hashlib.sha256(language_identity() or b"")
    for part in parts:
        data = part.encode(errors="surrogatepass")
        sha.update(len(data).to_bytes(8, "big") + data)
    return sha.hexdigest()


@cache
def language_identity() -> bytes | None:
    """What decides the rules of a source besides the source: the code, Unicode, the format.

    None where it cannot be told which code runs; nothing is kept then.
    """
    code = code_identity(Path(__file__).parent.parent)
    if code is None:
        return None
    return hashlib.sha256(
        code + f"{FORMAT_VERSION} {unicodedata.unidata_version}".encode()
    ).digest()

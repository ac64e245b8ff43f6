"""Walks of terminals on disk: what one process learns about a vocabulary, the next one reads.

A file holds the walks of one terminal. Its key binds it to the terminal's content, to the trie and
to the code, so a file that is found was made by this very code from equal things. A walk's name in
it is a text that leads to the state, because states are numbered as they happen to be met:

    {"walks": [[0, "22", false, "none", 19331], ...]}\\n   a `WalkName`, and a size in bytes
    <walk><walk>...                                       arrays of numbers, nothing executable
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from ...lang.automaton.regular_terminal import RegularMachine
from ...lang.compiler.cache_folder import grammar_folder
from ...lang.compiler.code_identity import code_identity
from ...lang.compiler.file_cache import FileCache
from ...lang.compiler.grammar_cache import language_identity
from ...lang.ir.nodes import Rules
from ...lang.ir.rules_format import Compiled, encode
from .byte_trie import ByteTrie
from .terminal_walk import WalkTable
from .walk_packing import Bounds, Reader, unpacked

CACHE_BYTES = 128 << 20
"""All files of walks together, least recently used out first."""

FILE_BYTES = 4 << 20
"""The walks of one terminal; what comes first is kept."""


class WalkName(NamedTuple):
    """A walk among those of its terminal.

    Attributes:
        node: the node of the trie where it begins.
        text: leads from the terminal's start to the state.
        accepting: whether the terminal may end at the state.
    """

    node: int
    text: bytes
    accepting: bool
    bounds: Bounds


class WalkFiles:
    """The walks over one trie that are kept in files."""

    def __init__(self, files: FileCache, trie: ByteTrie) -> None:
        self._files = files
        self._trie = trie

    def load(self, machine: RegularMachine) -> dict[WalkName, bytes]:
        """The walks of a terminal that its file has, each for `unpacked`."""
        key = self._key(machine)
        content = None if key is None else self._files.load(key)
        if key is None or content is None:
            return {}
        try:
            return _split(content)
        except (ValueError, RecursionError) as error:
            self._files.reject(key, str(error))
            return {}

    def keep(self, machine: RegularMachine, walks: dict[WalkName, bytes]) -> None:
        """Writes walks of a terminal, beside those that are kept already."""
        key = self._key(machine)
        if key is None:
            return
        # what another process wrote at the same time is lost at most, and made again
        kept: dict[WalkName, bytes] = {}
        room = FILE_BYTES
        for name, packed in chain(walks.items(), self.load(machine).items()):
            if name not in kept and len(packed) <= room:
                kept[name] = packed
                room -= len(packed)
        self._files.keep(key, _joined(kept))

    def unpacked(self, machine: RegularMachine, bounds: Bounds, data: bytes) -> WalkTable | None:
        """A walk of a terminal that its file had; None, and the file goes, if it is none."""
        try:
            return unpacked(data, self._trie, machine, bounds)
        except ValueError as error:
            key = self._key(machine)
            assert key is not None, "the file had a key"
            self._files.reject(key, str(error))
            return None

    def _key(self, machine: RegularMachine) -> str | None:
        if self._made_by is None:
            return None
        content = encode(Compiled(Rules("root", {"root": machine.node})))
        sha = hashlib.sha256(self._made_by + bytes(sorted(machine.alphabet)) + b"\n" + content)
        return sha.hexdigest()

    @cached_property
    def _made_by(self) -> bytes | None:
        """The code and the trie; None where it cannot be told which code runs."""
        language, masks = language_identity(), code_identity(Path(__file__).parent)
        if language is None or masks is None:
            return None
        return language + masks + self._trie.digest()


def user_files() -> FileCache | None:
    """The files in the user's folder, or where the environment says; None if it says none."""
    folder = grammar_folder()
    return None if folder is None else FileCache(folder, "masks", CACHE_BYTES)


def _joined(walks: dict[WalkName, bytes]) -> bytes:
    rows = [
        (name.node, name.text.hex(), name.accepting, name.bounds, len(packed))
        for name, packed in walks.items()
    ]
    index = json.dumps({"walks": rows}, separators=(",", ":"))
    return index.encode() + b"\n" + b"".join(walks.values())


def _split(content: bytes) -> dict[WalkName, bytes]:
    """Raises ValueError for bytes that `_joined` has not made."""
    index, _, rest = content.partition(b"\n")
    reader = Reader(rest)
    walks: dict[WalkName, bytes] = {}
    match json.loads(index):
        case {"walks": [*rows]}:
            pass
        case _:
            raise ValueError("no index of walks")
    for row in rows:
        match row:
            case [
                int(node),
                str(text),
                bool(accepting),
                "none" | "counted" | "measured" as bounds,
                int(size),
            ] if size >= 0:
                name = WalkName(node, bytes.fromhex(text), accepting, bounds)
                walks[name] = reader.take(size)
            case _:
                raise ValueError(f"not the row of a walk: {row!r:.80}")
    if reader.rest:
        raise ValueError("bytes after the last walk")
    return walks

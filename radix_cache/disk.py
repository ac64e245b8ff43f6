"""Saved KV on disk: files that outlive the process, and that nobody has to trust.

    head   MAGIC, its size, JSON (binding, namespace, range), the prefix's token ids
    MAC    over the head
    data   as the store saved it
    MAC    over the head's MAC and the data

A file is used only if its MAC (keyed BLAKE2b, the key readable by the user alone) is right, its
name is the keyed hash of its head, so that no file stands for another, and its binding (model,
context parameters, versions) is this process's own. llama.cpp parses saved states
without suspicion (CVE-2026-43629), so nothing else may ever reach it. Files are written by a thread
of their own, under another name first; none of them holds anything executable.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import queue
import struct
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TypedDict, cast, get_type_hints

import numpy as np

from ..atomic_file import PART_SUFFIX, new_file
from .base import Blob
from .private_files import BadFile, check_private, opened, own_key
from .read_ahead import ReadAhead
from .tree import TokenArray

LOG = logging.getLogger(__name__)
MAGIC = b"TGKV\x00\x01\r\n"
SUFFIX = ".kv"
MAC_BYTES = 32
HEAD_LIMIT = 64 << 20
PENDING_WRITES = 8
RETRY_SECONDS = 30.0
PART_SECONDS = 3600.0


@dataclass(eq=False, slots=True, weakref_slot=True)
class DiskFile:
    """KV of positions [start, stop) of one prefix, in a file.

    Attributes:
        n_bytes: of the whole file.
        blob_bytes: what it costs in host memory.
        pending: what it will hold, until it is written.
        is_lost: it could not be written, or is no longer what it was.
    """

    path: Path
    start: int
    stop: int
    n_bytes: int
    blob_bytes: int
    pending: Blob | None = None
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A file found at the start: the prefix it is the end of, and when it was last used."""

    file: DiskFile
    namespace: str
    tokens: TokenArray
    used: float


class DiskFolder:
    """A folder of saved KV. Shared by any number of processes; the methods are for one thread.

    Args:
        folder: made if need be, for this user only.
        binding: what must be equal for saved KV to fit: model, context parameters, versions.
        writes_through: whether the cache writes a prefix when its request ends, so that all that
            the disk keeps up with outlives the process, and not only when its memory is needed.

    Attributes:
        ahead: reads files before they are needed.

    Raises:
        OSError: the folder cannot be made, or others may write to it.
    """

    def __init__(self, folder: Path, binding: str, *, writes_through: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        check_private(folder)
        self._folder = folder
        self._binding = binding
        self.writes_through = writes_through
        self.ahead = ReadAhead(self.peek)
        self._key = own_key(folder / "key")
        self._others: dict[Path, tuple[float, int]] = {}  # last used last: (when, bytes)
        self.other_bytes = 0
        self._retry_at = 0.0
        self._writes: queue.Queue[tuple[DiskFile, bytes] | None] = queue.Queue(PENDING_WRITES)
        self._writer = threading.Thread(
            target=self._write_all, name="treegram-disk-cache", daemon=True
        )
        self._writer.start()

    @property
    def takes_writes(self) -> bool:
        """False for a while after a write failed."""
        return time.monotonic() >= self._retry_at

    @property
    def would_wait(self) -> bool:
        """Whether `write` would wait now, as too many writes are queued."""
        return self._writes.full()

    def scan(self) -> list[Stored]:
        """The files that fit this process, shortest prefixes first; damaged ones are removed.

        Files of other bindings are left to others and counted in `other_bytes`. What killed
        processes left half-written is removed.
        """
        self._remove_parts()
        found: list[Stored] = []
        others: dict[Path, tuple[float, int]] = {}
        for path in self._folder.glob(f"*{SUFFIX}"):
            try:
                stored = self._head(path)
            except (BadFile, OSError) as error:
                LOG.warning("the saved prefix %s is left out: %s", path, error)
                with suppress(OSError):
                    path.unlink()
                continue
            if isinstance(stored, Stored):
                found.append(stored)
            else:
                others[path] = stored
        self._leave(others)
        found.sort(key=lambda s: (s.file.start, s.used))
        return found

    def leave(self, found: Iterable[Stored]) -> None:
        """Leaves files to others: what they go on from may be in another process's memory yet."""
        self._leave({s.file.path: (s.used, s.file.n_bytes) for s in found})

    def remove_oldest_other(self) -> None:
        """Removes the least recently used file that is left to others."""
        path = next(iter(self._others))
        self._no_longer_left(path)
        with suppress(OSError):
            path.unlink()

    def _leave(self, others: dict[Path, tuple[float, int]]) -> None:
        whole = {**self._others, **others}
        self._others = dict(sorted(whole.items(), key=lambda item: item[1]))
        self.other_bytes = sum(size for _, size in whole.values())

    def _no_longer_left(self, path: Path) -> None:
        _, size = self._others.pop(path, (0.0, 0))
        self.other_bytes -= size

    def write(self, namespace: str, tokens: TokenArray, blob: Blob) -> DiskFile:
        """Queues a file for `blob`, which is KV at the end of the prefix `tokens`, int32[n].

        The file can be read at once. Waits while too many writes are queued; see `would_wait`.
        """
        head = self._packed_head(namespace, tokens, blob)
        size = len(head) + 2 * MAC_BYTES + memoryview(blob.data).nbytes
        path = self._folder / self._name(head)
        file = DiskFile(path, blob.start, len(tokens), size, blob.n_bytes, pending=blob)
        self._no_longer_left(path)
        self._writes.put((file, head))
        return file

    def read(self, file: DiskFile) -> Blob | None:
        """What the file holds; None if that is not what was written. Its time of use is now."""
        pending = file.pending  # the writer may be done with it at any moment
        if pending is not None:
            return pending
        if file.is_lost:
            return None
        try:
            return self._verified(file)
        except (BadFile, OSError, MemoryError) as error:
            LOG.warning("the saved prefix %s is left out: %s", file.path, error)
            self.remove(file)
            return None

    def peek(self, file: DiskFile) -> Blob | None:
        """As `read`, but from any thread, and what cannot be read is left for `read` to judge."""
        with suppress(BadFile, OSError, MemoryError):
            return self._verified(file)
        return None

    def remove(self, file: DiskFile) -> None:
        """Removes the file, or what is to become of it."""
        if file.is_lost:
            return  # what lies there since is another's
        file.is_lost = True  # first: the writer looks once its file is in place
        with suppress(OSError):
            file.path.unlink()

    def close(self) -> None:
        """Waits until everything is written. Idempotent."""
        self.ahead.close()
        if self._writer.is_alive():
            self._writes.put(None)
            self._writer.join()

    def _remove_parts(self) -> None:
        oldest = time.time() - PART_SECONDS
        for part in self._folder.glob(f"*{PART_SUFFIX}"):
            with suppress(OSError):
                if part.lstat().st_mtime < oldest:
                    part.unlink()

    # --- format ----------------------------------------------------------------------------

    def _packed_head(self, namespace: str, tokens: TokenArray, blob: Blob) -> bytes:
        fields = {
            "binding": self._binding,
            "namespace": namespace,
            "start": blob.start,
            "stop": blob.stop,
            "n_tokens": len(tokens),
            "n_bytes": blob.n_bytes,
            "data_bytes": memoryview(blob.data).nbytes,
        }
        text = json.dumps(fields).encode()
        packed = np.ascontiguousarray(tokens, dtype="<i4").tobytes()
        return MAGIC + struct.pack("<I", len(text)) + text + packed

    def _head(self, path: Path) -> Stored | tuple[float, int]:
        """What a file says of itself; (time of use, bytes) if it is of another binding."""
        with opened(path) as stream:
            status = os.fstat(stream.fileno())
            head, fields = self._read_head(stream, path.name)
        if fields["binding"] != self._binding:
            return status.st_mtime, status.st_size
        expected = len(head) + 2 * MAC_BYTES + fields["data_bytes"]
        size = status.st_size
        if size != expected:
            raise BadFile(f"{size} bytes, expected {expected}; it is cut short or grown")
        tokens = np.frombuffer(head[-4 * fields["n_tokens"] :], "<i4").astype(np.int32)
        file = DiskFile(path, fields["start"], len(tokens), size, fields["n_bytes"])
        return Stored(file, fields["namespace"], tokens, status.st_mtime)

    def _read_head(self, stream: BufferedReader, name: str) -> tuple[bytes, _Fields]:
        """The head and its fields, authenticated if they are of this binding."""
        start = stream.read(len(MAGIC) + 4)
        if start[: len(MAGIC)] != MAGIC or len(start) != len(MAGIC) + 4:
            raise BadFile("it does not begin as a saved prefix does")
        size = int.from_bytes(start[len(MAGIC) :], "little")
        if size > HEAD_LIMIT:
            raise BadFile(f"a head of {size} bytes")
        text = stream.read(size)
        try:
            fields = _checked_fields(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise BadFile(f"its head cannot be read: {error}") from error
        head = start + text + stream.read(4 * fields["n_tokens"])
        mac = stream.read(MAC_BYTES)
        if fields["binding"] == self._binding:
            if not hmac.compare_digest(mac, self._mac(head)):
                raise BadFile("its head was not written by this user's treegram, or is damaged")
            if name != self._name(head):
                raise BadFile("it is another prefix's file under this name")
        return head, fields

    def _verified(self, file: DiskFile) -> Blob:
        with suppress(OSError):  # the folder may be one that can only be read
            os.utime(file.path)
        with opened(file.path) as stream:
            head, fields = self._read_head(stream, file.path.name)
            if fields["binding"] != self._binding:
                raise BadFile("it is of another model, or of other parameters or versions")
            data = np.empty(fields["data_bytes"], np.uint8)
            if stream.readinto(data.data) != data.nbytes:
                raise BadFile("it is cut short")
            mac = stream.read(MAC_BYTES + 1)
        if not hmac.compare_digest(mac, self._mac(self._mac(head), data.data)):
            raise BadFile("its data was not written by this user's treegram, or is damaged")
        return Blob(fields["start"], fields["stop"], data.data, fields["n_bytes"])

    def _name(self, head: bytes) -> str:
        return hashlib.blake2b(head, key=self._key, digest_size=16).hexdigest() + SUFFIX

    def _mac(self, *parts: bytes | memoryview) -> bytes:
        sha = hashlib.blake2b(key=self._key, digest_size=MAC_BYTES)
        for part in parts:
            sha.update(part)
        return sha.digest()

    # --- the writer's thread ---------------------------------------------------------------

    def _write_all(self) -> None:
        while (job := self._writes.get()) is not None:
            file, head = job
            try:
                if not file.is_lost and self.takes_writes:
                    self._write(file, head)
                elif not file.path.exists():
                    file.is_lost = True
            except Exception as error:  # whatever it is: if this thread ended, the cache would wait
                LOG.warning("a prefix cannot be saved to %s: %s", self._folder, error)
                self._retry_at = time.monotonic() + RETRY_SECONDS
                file.is_lost = True
            finally:
                file.pending = None

    def _write(self, file: DiskFile, head: bytes) -> None:
        assert file.pending is not None
        if file.path.exists():  # another process has saved the same prefix
            os.utime(file.path)
            return
        data = memoryview(file.pending.data)
        with new_file(file.path) as part, part.open("wb") as stream:
            stream.write(head)
            stream.write(head_mac := self._mac(head))
            stream.write(data)
            stream.write(self._mac(head_mac, data))
        if file.is_lost:  # removed meanwhile, when there was nothing to remove yet
            file.path.unlink(missing_ok=True)


class _Fields(TypedDict):
    binding: str
    namespace: str
    start: int
    stop: int
    n_tokens: int
    n_bytes: int
    data_bytes: int


def _checked_fields(value: object) -> _Fields:
    """The fields of a head. Raises ValueError unless they are whole and agree with each other."""
    if not isinstance(value, dict) or value.keys() != _Fields.__annotations__.keys():
        raise ValueError("expected the fields of a saved prefix")
    for name, wanted in get_type_hints(_Fields).items():
        if type(value[name]) is not wanted:
            raise ValueError(f"{name} is {value[name]!r}")
    fields = cast(_Fields, value)
    if not 0 <= fields["start"] < fields["n_tokens"] <= fields["stop"] <= HEAD_LIMIT // 4:
        raise ValueError("its range is none")
    if fields["data_bytes"] < 0 or fields["n_bytes"] < 0:
        raise ValueError("its size is negative")
    return fields

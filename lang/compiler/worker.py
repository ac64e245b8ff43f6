"""The worker process: compiles what it reads from its standard input until that ends.

It lives as long as its parent keeps the pipe open. Memory is limited by the operating system where
that can be done, and a parent that is killed leaves no work behind for long.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from typing import IO

from ..errors import ConstraintError, TreegramError
from ..ir.rules_format import encode
from .front_ends import Source, compile_here
from .reply import failure, success

READY = b"ready"
"""The first message of a worker that has started."""

OUT_OF_MEMORY = 3
"""Exit code of a worker that met its limit: its memory would be in pieces."""

LENGTH = struct.Struct(">Q")
"""What stands before each message: its size in bytes."""

_MOST_AT_ONCE = 1 << 20


def serve(memory_bytes: int, orphan_s: float) -> None:
    """Answers sources, each a JSON list of a Source's fields, until standard input ends.

    Args:
        memory_bytes: address space; a source that needs more ends this process.
        orphan_s: a source that takes longer ends this process: nobody waits for it any more.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between the answers
    _limit(memory_bytes)
    write_message(answers, READY)
    try:
        while (message := read_message(sys.stdin.buffer)) is not None:
            _alarm(orphan_s)
            answer = _answer(message)
            _alarm(0)
            write_message(answers, answer)
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)


def _answer(message: bytes) -> bytes:
    source = Source(*json.loads(message))
    try:
        return success(encode(compile_here(source)))
    except TreegramError as error:
        return failure(error)
    except MemoryError:
        raise
    except Exception as error:  # our bug, which must reach the caller like any other error
        what = f"{type(error).__name__}: {error}"
        return failure(
            ConstraintError(f"{source.kind}: treegram's compiler failed, please report it: {what}")
        )


def write_message(file: IO[bytes], message: bytes) -> None:
    """Writes a message that `read_message` gives back; the file may be unbuffered."""
    rest = memoryview(LENGTH.pack(len(message)) + message)
    while rest:
        rest = rest[file.write(rest) :]
    file.flush()


def read_message(file: IO[bytes]) -> bytes | None:
    """The next message; None if the other side has gone."""
    head = _read(file, LENGTH.size)
    return None if head is None else _read(file, LENGTH.unpack(head)[0])


def _read(file: IO[bytes], size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = file.read(min(size, _MOST_AT_ONCE))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _limit(memory_bytes: int) -> None:
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, highest = resource.getrlimit(resource.RLIMIT_AS)
    if highest == resource.RLIM_INFINITY or memory_bytes < highest:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, highest))


def _alarm(seconds: float) -> None:
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds)

"""What an engine's process costs beside time: memory, and Python's garbage collections."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_FIELD = re.compile(r"^(VmRSS|VmHWM):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes of a process and of those it started: now, and at most so far.

    The peaks of several processes are added, though they need not have been at one time.
    """

    rss_bytes: int
    peak_bytes: int


def memory(pid: int) -> Memory | None:
    """The memory of a running process; None if it is gone, or on a system without /proc.

    Not getrusage: its peak starts with that of the process that was forked.
    """
    found = [_FIELD.findall(status) for status in _statuses(pid)]
    if not found:
        return None
    totals = {"VmRSS": 0, "VmHWM": 0}
    for fields in found:
        for name, kib in fields:
            totals[name] += int(kib) << 10
    return Memory(totals["VmRSS"], totals["VmHWM"])


def _statuses(pid: int) -> Iterator[str]:
    process = Path("/proc", str(pid))
    try:
        yield (process / "status").read_text()
        children = [file.read_text().split() for file in process.glob("task/*/children")]
    except OSError:  # it ended meanwhile
        return
    for child in (int(child) for group in children for child in group):
        yield from _statuses(child)


class Collections:
    """Times Python's garbage collections in this process while it is entered.

    Attributes:
        longest_s: of one collection, in seconds.
    """

    def __init__(self) -> None:
        self._started = self.longest_s = 0.0

    def __enter__(self) -> Collections:
        gc.callbacks.append(self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        gc.callbacks.remove(self._note)

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._started = time.perf_counter()
        else:
            self.longest_s = max(self.longest_s, time.perf_counter() - self._started)


def set_aside() -> None:
    """Takes all that lives now out of later collections: it is the benchmark's, not a schema's."""
    gc.collect()
    gc.freeze()

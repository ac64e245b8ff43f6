"""How an engine process ended, as its callers are told."""

from __future__ import annotations

import signal
from collections import deque

QUOTED_LINES = 4
"""Lines of standard error that a message quotes."""

_NAMES = {int(number): number.name for number in signal.Signals}
_OUTSIDE = {
    "SIGKILL": "a system that is out of memory does that: lower n_ctx or host_bytes, or choose a "
    "smaller model",
    "SIGTERM": "somebody ended it",
    "SIGINT": "somebody ended it",
    "SIGHUP": "somebody ended it",
}


class LastWords:
    """The end of what a process wrote to standard error, up to Python's own account of a crash."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=QUOTED_LINES)
        self._is_over = False

    def add(self, line: str) -> None:
        """Takes the next line."""
        if not self._is_over:
            self._lines.append(line)
        self._is_over |= line.startswith("Fatal Python error")

    def __str__(self) -> str:
        return "; ".join(self._lines)


def epitaph(code: int, words: LastWords) -> str:
    """Says how a process with this exit code (negative: a signal) ended, why, and what to do."""
    if code < 0:
        name = _NAMES.get(-code, f"signal {-code}")
        reason = _OUTSIDE.get(name, "llama.cpp crashed: please report it, with what was asked")
        how = f"was killed by {name} ({reason})"
    else:
        how = f"ended with status {code}"
    said = str(words)
    quote = f"; its last words: {said}" if said else ""
    return (
        f"the engine's process {how}{quote}; what it was running is lost, and the next request "
        "starts it again"
    )

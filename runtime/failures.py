"""An exception as a person reads it: what it says and where in the program it happened."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from ..lang.errors import TreegramError


class UsageError(Exception):
    """The command line is wrong, or what it names; nothing has run yet."""


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turns treegram's errors inside the block into UsageError."""
    try:
        yield
    except TreegramError as exc:
        raise UsageError(describe(exc)) from exc


def is_expected(exc: BaseException) -> bool:
    """Whether the message says it all: for any other exception a traceback is needed.

    An exception of the user's program is among them by the note that names the program's line.
    """
    known = isinstance(exc, TreegramError | UsageError | SyntaxError | OSError)
    return known or bool(getattr(exc, "__notes__", ()))


def describe(exc: BaseException) -> str:
    """Message and notes, without a traceback; the type too, unless it is treegram's own."""
    if isinstance(exc, SyntaxError):
        lines = ["".join(traceback.format_exception_only(exc)).rstrip()]
    elif isinstance(exc, TreegramError | UsageError) and str(exc):
        lines = [str(exc)]
    else:
        lines = [f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__]
    if not isinstance(exc, SyntaxError):
        lines += getattr(exc, "__notes__", ())
    return "\n".join(lines)

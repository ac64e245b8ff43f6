"""What a compile worker answers: encoded rules, or the error that a caller would have seen itself.

An error travels as the name of its class, its message and its fields, all of them plain data.
"""

from __future__ import annotations

import json
from typing import Any

from ...lang import errors
from ..errors import ConstraintError, TreegramError

_RULES, _ERROR = b"+", b"-"


def success(encoded: bytes) -> bytes:
    """The answer that gives encoded rules."""
    return _RULES + encoded


def failure(error: TreegramError) -> bytes:
    """The answer that makes `rules_of` raise `error`."""
    return _ERROR + json.dumps(error_row(error), default=repr).encode()


def rules_of(reply: bytes) -> bytes:
    """The encoded rules of an answer; raises the error if it holds one."""
    if reply[:1] == _RULES:
        return reply[1:]
    raise error_from(json.loads(reply[1:]), ConstraintError)


def error_row(error: TreegramError) -> dict[str, Any]:
    """An error as plain data, but for fields that json does not know."""
    return {"class": type(error).__name__, "message": str(error), "fields": vars(error)}


def error_from(row: dict[str, Any], unknown: type[TreegramError]) -> TreegramError:
    """The error of a row; an `unknown` if its class is none of treegram's own."""
    kind = getattr(errors, row["class"], unknown)
    error: TreegramError = kind.__new__(kind, row["message"])  # __init__ would compose it anew
    vars(error).update(row["fields"])
    return error

"""Where each value of a JSON text stands in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

Step: TypeAlias = str | int
"""A key of an object or an index of an array."""

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


class Span(NamedTuple):
    """A value: the steps to it from the whole, and its bytes `[start, end)`."""

    steps: tuple[Step, ...]
    start: int
    end: int


def value_spans(data: bytes) -> list[Span]:
    """Every value of a JSON text, inner ones before the one that holds them; the whole comes last.

    Raises ValueError if `data` is no JSON, or is nested beyond what `json` reads.
    """
    try:
        json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return list(_spans(data))


def _spans(data: bytes) -> Iterator[Span]:
    steps: list[Step | None] = []  # where we are; None awaits a key
    starts: list[int] = []
    for token in _TOKEN.finditer(data):
        start, end = token.span()
        match data[start : start + 1]:
            case b"{":
                starts.append(start)
                steps.append(None)
            case b"[":
                starts.append(start)
                steps.append(0)
            case b"}" | b"]":
                steps.pop()
                yield Span(_known(steps), starts.pop(), end)
            case b",":
                last = steps[-1]
                steps[-1] = last + 1 if isinstance(last, int) else None
            case b":":
                pass
            case _ if steps and steps[-1] is None:
                steps[-1] = json.loads(token.group())
            case _:
                yield Span(_known(steps), start, end)


def _known(steps: list[Step | None]) -> tuple[Step, ...]:
    return tuple(step for step in steps if step is not None)

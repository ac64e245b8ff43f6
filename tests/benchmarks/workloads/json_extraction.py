"""JSON extraction: the few-shot task of `extraction.py`, over installed packages."""

from __future__ import annotations

from typing import Any

from workload import MAX_TOKENS, SCHEMA, extraction, judge
from workload import Workload as Task

from .base import Branch, Workload
from .data import Data


def json_extraction(data: Data, rows: int) -> Workload:
    """At most so many packages."""
    task = extraction(rows)

    def program(s: Branch, row: Any) -> str:
        s.add(task.shared)
        s.add(f"{row.text}\n")
        s.extract("package", SCHEMA, MAX_TOKENS)
        return s["package"]

    return Workload(
        "JSON extraction",
        task.rows,
        program,
        is_right=_is_right,
        expected=lambda row: str(row.truth.model_dump_json()),
    )


def _is_right(row: Any, answer: str) -> bool:
    return judge(Task("", ("",), (row,)), [answer]).right == 1

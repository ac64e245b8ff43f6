"""The extraction workload that every engine gets, and how its answers are judged.

The task is the one of `examples/extract_metadata.py`; nothing here depends on who answers it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

# the task lives with the example that a reader meets first, and examples are not a package
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

from package_metadata import (  # noqa: E402 - only importable once the path is set
    SHARED_PROMPT,
    Package,
    Row,
    as_json,
    grade,
    installed_rows,
)

MAX_TOKENS = 96
SCHEMA: type[Package] = Package

WARM_UP = "The quick brown fox jumps over the lazy dog, and then it"
"""Shares no prefix with the workload: it pages the weights in and starts the threads, no more."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Rows with a common prompt: row i is asked as `shared + own[i]`."""

    shared: str
    own: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def prompts(self) -> list[str]:
        """The whole prompt of each row."""
        return [self.shared + own for own in self.own]

    @property
    def expected(self) -> list[str]:
        """The right answer of each row, as JSON."""
        return [as_json(row.truth) for row in self.rows]

    @property
    def json_schema(self) -> dict[str, Any]:
        """The schema of every answer."""
        return Package.model_json_schema()


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many answers satisfy the schema, and how many are right in every field."""

    rows: int
    valid: int
    right: int


def extraction(limit: int) -> Workload:
    """The first `limit` installed distributions by name, or all of them if there are fewer."""
    rows = tuple(installed_rows(limit))
    return Workload(SHARED_PROMPT, tuple(f"{row.text}\n" for row in rows), rows)


def judge(workload: Workload, answers: Sequence[str]) -> Judgement:
    """Validates and grades one answer per row, in order."""
    valid = right = 0
    for row, text in zip(workload.rows, answers, strict=True):
        try:
            answer = Package.model_validate_json(text)
        except ValidationError:
            continue
        valid += 1
        right += grade(answer, row.truth).all
    return Judgement(len(workload.rows), valid, right)

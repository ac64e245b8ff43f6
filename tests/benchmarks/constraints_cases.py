"""What the constraint benchmark runs on: schemas with instances that are valid or invalid.

The sample is one JSON object per line, `{name, schema, tests: [{valid, data}]}`, as MaskBench has
them; the suite is a folder of JSON-Schema-Test-Suite files. Neither is part of this project.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Instance:
    """A JSON text, written as `json.dumps` writes it, and whether its schema allows it."""

    text: str
    valid: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One schema with its instances."""

    name: str
    schema: Any
    instances: tuple[Instance, ...]


def sample(path: Path, rows: int | None = None) -> list[Case]:
    """The cases of a `.jsonl` or `.jsonl.gz` file, or `rows` of them at even distances."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    # not splitlines(): JSON strings may hold U+2028
    return spread([_case(json.loads(line)) for line in text.split("\n") if line], rows)


def suite(folder: Path) -> list[Case]:
    """Every group of a JSON-Schema-Test-Suite folder; `optional` ones too, remote ones not."""
    return [
        _case({**group, "name": f"{file.relative_to(folder)}: {group['description']}"})
        for file in _suite_files(folder)
        for group in json.loads(file.read_text(encoding="utf-8"))
    ]


def _suite_files(folder: Path) -> Iterator[Path]:
    # refRemote needs a server, the vocabulary ones a metaschema of their own
    return (f for f in sorted(folder.rglob("*.json")) if f.stem not in ("refRemote", "vocabulary"))


def _case(row: dict[str, Any]) -> Case:
    instances = tuple(
        Instance(json.dumps(test["data"], ensure_ascii=False), bool(test["valid"]))
        for test in row["tests"]
    )
    return Case(row["name"], row["schema"], instances)


def spread(cases: list[Case], count: int | None) -> list[Case]:
    """`count` of the cases at even distances, all of them if there are not more."""
    if count is None or count >= len(cases):
        return cases
    return [cases[i * len(cases) // count] for i in range(count)]

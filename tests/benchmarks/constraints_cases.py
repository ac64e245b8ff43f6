"""What the constraint benchmark runs on: schemas with instances that are valid or invalid.

The sample is one JSON object per line, `{name, schema, tests: [{valid, data}]}`, as MaskBench has
them; the suite is a folder of JSON-Schema-Test-Suite files. Neither is part of this project.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
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
    """The cases of a `.jsonl` or `.jsonl.gz` file, or of a JSON-Schema-Test-Suite folder.

    In `spread` order; `rows` of them, None for all.
    """
    return spread(suite(path) if path.is_dir() else _lines(path))[:rows]


def _lines(path: Path) -> list[Case]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    # not splitlines(): JSON strings may hold U+2028
    return [_case(json.loads(line)) for line in text.split("\n") if line]


def suite(folder: Path) -> list[Case]:
    """Every group of a JSON-Schema-Test-Suite folder; `optional` ones too, remote ones not."""
    return [
        _case({**group, "name": f"{file.relative_to(folder)} {number}: {group['description']}"})
        for file in _suite_files(folder)
        for number, group in enumerate(json.loads(file.read_text(encoding="utf-8")))
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


def spread(cases: Sequence[Case]) -> list[Case]:
    """The cases in an order of which any beginning is spread evenly over them.

    It is van der Corput's (numbers with their bits reversed), so that an engine that runs out of
    time has still seen a fair sample, and a smaller sample is part of a larger one.
    """
    bits = max(1, (len(cases) - 1).bit_length())
    reversed_ = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(1 << bits))
    return [cases[number] for number in reversed_ if number < len(cases)]

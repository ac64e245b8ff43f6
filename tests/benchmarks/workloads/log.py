"""The output folder of `compare.py`: what was measured, written as it is measured.

`run.json` says what was asked and on what machines; each line of `results.jsonl` is one engine on
one workload once. Tables are made from these alone, so a run that was cut loses nothing.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from child import Record


class Mismatch(Exception):
    """The folder holds results of another run; the message says what differs."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An engine on a workload with a model."""

    model: str
    workload: str
    engine: str


class Log:
    """What a folder holds, and what is added to it.

    Attributes:
        asked: what must be the same for results to stand in one table.
        machines: where and when there was a run; more than one if it was resumed.
        records: by pair, in the order in which they came; one per round.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._results = folder / "results.jsonl"
        head = folder / "run.json"
        found = json.loads(head.read_text(encoding="utf-8")) if head.exists() else {}
        self.asked: dict[str, Any] = found.get("asked", {})
        self.machines: list[dict[str, Any]] = found.get("machines", [])
        self.records: dict[Pair, list[Record]] = {}
        for line in self._whole_lines().splitlines():
            entry = json.loads(line)
            self.records.setdefault(Pair(**entry["pair"]), []).append(entry["record"])

    def begin(self, asked: dict[str, Any], machine: dict[str, Any], *, resume: bool) -> None:
        """Makes ready to add. Raises Mismatch if the folder's results are not to be mixed with."""
        if self.machines and not resume:
            raise Mismatch(f"{self._folder} has results; pass --resume or another folder")
        for name, value in asked.items():
            if (was := self.asked.get(name, value)) != value:
                raise Mismatch(f"{self._folder} is of a run with {name} {was!r}, not {value!r}")
        self.asked = asked
        self.machines.append(machine)
        self._folder.mkdir(parents=True, exist_ok=True)
        head = json.dumps({"asked": asked, "machines": self.machines}, indent=1)
        (self._folder / "run.json").write_text(head, encoding="utf-8")
        self._results.write_text(self._whole_lines(), encoding="utf-8")

    def done(self, pair: Pair, limit_s: float) -> int:
        """In how many rounds the pair ran to its end, or to a limit that was no lower."""
        records = self.records.get(pair, [])
        return sum("seconds" in r or r.get("late", 0) >= limit_s for r in records)

    def add(self, pair: Pair, record: Record) -> None:
        """Writes one round of a pair."""
        self.records.setdefault(pair, []).append(record)
        with self._results.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"pair": asdict(pair), "record": record}) + "\n")

    def write_tables(self, text: str) -> None:
        """Replaces the folder's `tables.md`."""
        (self._folder / "tables.md").write_text(text, encoding="utf-8")

    def median(self, pair: Pair, key: str) -> float | None:
        """Over the rounds that have this figure; None if none has."""
        values = self.values(pair, key)
        return statistics.median(values) if values else None

    def values(self, pair: Pair, key: str) -> list[float]:
        """This figure of each round that has it, in their order."""
        return [r[key] for r in self.records.get(pair, []) if r.get(key) is not None]

    def why_not(self, pair: Pair) -> Record:
        """What the last round gave instead of seconds; empty if it was not run."""
        records = self.records.get(pair, [])
        return records[-1] if records and "seconds" not in records[-1] else {}

    def _whole_lines(self) -> str:
        """Without what follows the last line's end, which was cut while it was written."""
        if not self._results.exists():
            return ""
        text = self._results.read_text(encoding="utf-8")
        return text[: text.rfind("\n") + 1]

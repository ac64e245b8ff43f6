"""What `compare.py` has measured, in its output folder.

Each line of `results.jsonl` is one engine on one workload once.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

from child import Record
from results_folder import ResultsFolder


@dataclass(frozen=True, slots=True)
class Pair:
    """An engine on a workload with a model."""

    model: str
    workload: str
    engine: str


class Log(ResultsFolder):
    """See `ResultsFolder`.

    Attributes:
        records: by pair, in the order in which they came; one per round.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.records: dict[Pair, list[Record]] = {}
        for entry in self.entries():
            self.records.setdefault(Pair(**entry["pair"]), []).append(entry["record"])

    def done(self, pair: Pair, limit_s: float) -> int:
        """In how many rounds the pair ran to its end, or to a limit that was no lower."""
        records = self.records.get(pair, [])
        return sum("seconds" in r or r.get("late", 0) >= limit_s for r in records)

    def add(self, pair: Pair, record: Record) -> None:
        """Writes one round of a pair."""
        self.records.setdefault(pair, []).append(record)
        self.append({"pair": asdict(pair), "record": record})

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

"""The output folder of a benchmark: what was measured, written as it is measured.

`run.json` says what was asked and on what machines; each line of `results.jsonl` is one thing that
was measured. Tables are made from these alone, so a run that was cut loses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class Mismatch(Exception):
    """The folder does not hold what was expected of it; the message says what differs."""


class ResultsFolder:
    """What a folder holds, and what is added to it.

    Attributes:
        asked: what must be the same for results to stand in one table.
        machines: where and when there was a run; more than one if it was resumed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._results = folder / "results.jsonl"
        head = folder / "run.json"
        found = json.loads(head.read_text(encoding="utf-8")) if head.exists() else {}
        self.asked: dict[str, Any] = found.get("asked", {})
        self.machines: list[dict[str, Any]] = found.get("machines", [])

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

    def write_tables(self, text: str) -> None:
        """Replaces the folder's `tables.md`."""
        (self._folder / "tables.md").write_text(text, encoding="utf-8")

    def entries(self) -> Iterator[dict[str, Any]]:
        """What was written before, in order."""
        for line in self._whole_lines().splitlines():
            yield json.loads(line)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Writes one line of results."""
        with self._results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def _whole_lines(self) -> str:
        """Without what follows the last line's end, which was cut while it was written."""
        if not self._results.exists():
            return ""
        text = self._results.read_text(encoding="utf-8")
        return text[: text.rfind("\n") + 1]

"""The output folder of the constraint benchmark: what was measured, written as it is measured.

`run.json` says what was asked and on what machine; each line of `results.jsonl` is one row of one
engine on one vocabulary, or why an engine was skipped. Tables are made from these alone, so a run
that was cut loses nothing, and can be resumed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from constraints_footprint import Memory
from constraints_trial import Outcome
from constraints_worker import Loaded, Row

DIGITS = 7
"""Of seconds, in the file: a tenth of a microsecond."""


class Mismatch(Exception):
    """The folder does not hold what was expected of it."""


@dataclass(slots=True)
class Pair:
    """One engine on one vocabulary.

    Attributes:
        n_vocab: tokens of the vocabulary.
        embedded: whether it is that of the model whose decode step is measured.
        asked: rows of the sample; those that are not in `rows` were not run.
        stopped_s: the limit in seconds at which it was stopped; 0 if it was not.
        skipped: why there are no (more) rows, if it is not for time.
    """

    engine: str
    vocabulary: str
    n_vocab: int
    embedded: bool
    asked: int
    loaded: Loaded | None = None
    rows: list[Row] = field(default_factory=list)
    stopped_s: float = 0.0
    skipped: str = ""

    @property
    def seconds(self) -> float:
        """Spent on its rows."""
        return sum(row.seconds for row in self.rows)

    @property
    def not_run(self) -> int:
        return self.asked - len(self.rows)


class Log:
    """What a folder holds, and what is added to it.

    Attributes:
        asked: what must be the same for results to stand in one table.
        machines: where and when there was a run; more than one if it was resumed.
        step_s: the embedded model's decode step, each time that it was measured.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._results = folder / "results.jsonl"
        self._pairs: dict[tuple[str, str], Pair] = {}
        self.step_s: list[float] = []
        head = folder / "run.json"
        found = json.loads(head.read_text(encoding="utf-8")) if head.exists() else {}
        self.asked: dict[str, Any] = found.get("asked", {})
        self.machines: list[dict[str, Any]] = found.get("machines", [])
        for line in self._whole_lines().splitlines():
            self._read(**json.loads(line))

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

    @property
    def pairs(self) -> list[Pair]:
        """In the order in which they were begun."""
        return list(self._pairs.values())

    def pair(self, engine: str, vocabulary: str, n_vocab: int, embedded: bool) -> Pair:
        """What is known of a pair, begun if it is new."""
        key = (engine, vocabulary)
        if key not in self._pairs:
            pair = Pair(engine, vocabulary, n_vocab, embedded, self.asked["rows"])
            self._pairs[key] = pair
            self._write("pair", key, {"n_vocab": n_vocab, "embedded": embedded})
        self._pairs[key].skipped = ""
        return self._pairs[key]

    def add_loaded(self, pair: Pair, loaded: Loaded) -> None:
        pair.loaded = loaded
        self._write("loaded", (pair.engine, pair.vocabulary), asdict(loaded))

    def add_row(self, pair: Pair, row: Row) -> None:
        pair.rows.append(row)
        self._write("row", (pair.engine, pair.vocabulary), asdict(row))

    def add_stopped(self, pair: Pair, limit_s: float) -> None:
        pair.stopped_s = limit_s
        self._write("stopped", (pair.engine, pair.vocabulary), {"limit_s": limit_s})

    def add_skipped(self, pair: Pair, reason: str) -> None:
        pair.skipped = reason
        self._write("skipped", (pair.engine, pair.vocabulary), {"reason": reason})

    def add_step(self, step_s: float) -> None:
        """A measurement of the embedded model's decode step."""
        self.step_s.append(step_s)
        self._write("step", None, {"seconds": step_s})

    def _write(self, kind: str, key: tuple[str, str] | None, data: Mapping[str, Any]) -> None:
        line = json.dumps({"kind": kind, "pair": key, "data": _rounded(data)})
        with self._results.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _whole_lines(self) -> str:
        """Without what follows the last line's end, which was cut while it was written."""
        if not self._results.exists():
            return ""
        text = self._results.read_text(encoding="utf-8")
        return text[: text.rfind("\n") + 1]

    def _read(self, kind: str, pair: list[str] | None, data: dict[str, Any]) -> None:
        if pair is None:
            self.step_s.append(data["seconds"])
            return
        engine, vocabulary = pair
        if kind == "pair":
            begun = Pair(engine, vocabulary, asked=self.asked["rows"], **data)
            self._pairs[engine, vocabulary] = begun
            return
        found = self._pairs[engine, vocabulary]
        if kind == "loaded":
            bare, ready = _memory(data["bare"]), _memory(data["ready"])
            found.loaded = Loaded(data["seconds"], bare, ready)
        elif kind == "row":
            before, after = _memory(data.pop("before")), _memory(data.pop("after"))
            outcome = Outcome(**data.pop("outcome"))
            found.rows.append(Row(outcome=outcome, before=before, after=after, **data))
        elif kind == "stopped":
            found.stopped_s = data["limit_s"]
        else:
            found.skipped = data["reason"]


def _memory(data: dict[str, int] | None) -> Memory | None:
    return None if data is None else Memory(**data)


def _rounded(value: Any) -> Any:
    """The same data, its floats with `DIGITS` digits."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value

"""What the constraint benchmark has measured, in its output folder.

Each line of `results.jsonl` is one row of one engine on one vocabulary, or why an engine was
skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from constraints_footprint import Memory
from constraints_trial import Outcome
from constraints_worker import Loaded, Row
from results_folder import ResultsFolder

DIGITS = 7
"""Of seconds, in the file: a tenth of a microsecond."""


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


class Log(ResultsFolder):
    """See `ResultsFolder`.

    Attributes:
        step_s: the embedded model's decode step, each time that it was measured.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._pairs: dict[tuple[str, str], Pair] = {}
        self.step_s: list[float] = []
        for entry in self.entries():
            self._read(**entry)

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
        self.append({"kind": kind, "pair": key, "data": _rounded(data)})

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

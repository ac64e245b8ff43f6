"""What the harness asks of an engine under test, and the options that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from workload import Workload


class Unavailable(Exception):
    """This engine cannot run here; the message says what would have to be installed or passed."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Equal terms: the same GGUF and the same number of threads for every engine."""

    model: Path
    threads: int
    llama_server: Path | None = None
    example_server: Path | None = None


class Peer(ABC):
    """A loaded engine. What happens before `answer` is not timed, nor what follows it."""

    @abstractmethod
    def warm_up(self, text: str) -> None:
        """Generates a few tokens after `text`, so that weights are in memory and threads run."""

    @abstractmethod
    def answer(self, workload: Workload) -> list[str]:
        """Answers every row greedily under the schema, the JSON texts in the order of the rows.

        Starts with nothing of the workload cached. Compiling the schema is part of the work.
        """

    @abstractmethod
    def close(self) -> None:
        """Ends everything that was started."""

"""What a workload is, what it asks of an engine, and what an engine says after it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel

WARM_UP = "The quick brown fox jumps over the lazy dog, and then it"
"""Shares no prefix with a workload: it pages the weights in and starts the threads, no more."""


class Branch(ABC):
    """A text under construction, and the results made in it.

    Appending may return before the work is done; reading a result waits for it. Everything is
    greedy. A text is a plain one or a conversation: `user` and `assistant` are not mixed with the
    other operations. Names of results are identifiers, because some engines put them in grammars.
    """

    @abstractmethod
    def add(self, text: str) -> None:
        """Appends text."""

    @abstractmethod
    def generate(self, name: str, tokens: int) -> None:
        """Appends exactly `tokens` generated tokens; the engine is told not to end sooner."""

    @abstractmethod
    def select(self, name: str, options: Sequence[str]) -> None:
        """Appends one of `options`, as the engine chooses among given texts."""

    def follow(self, name: str, options: Sequence[str]) -> None:
        """Appends one of `options`, by the likeliest token that some option allows, and the next.

        Which is how `select` chooses where an engine does not say otherwise.
        """
        self.select(name, options)

    @abstractmethod
    def extract(self, name: str, schema: type[BaseModel], tokens: int) -> None:
        """Appends JSON of this schema, of at most so many tokens."""

    @abstractmethod
    def user(self, text: str) -> None:
        """Appends a user's message."""

    @abstractmethod
    def assistant(self, name: str, tokens: int) -> None:
        """Appends an assistant's message of exactly so many generated tokens."""

    @abstractmethod
    def fork(self, n: int, body: Callable[[Branch, int], None]) -> Sequence[Branch]:
        """`n` branches that go on from here, at once where the engine can.

        `body(branch, index)` appends to a branch and reads nothing. The branches are returned for
        their results to be read; none is joined.
        """

    @abstractmethod
    def __getitem__(self, name: str) -> str:
        """The text of a result."""


Answer: TypeAlias = "str | None"
"""What a row gave, to be judged; None where there is no truth to judge it by."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A program and its rows.

    Attributes:
        name: as in tables.
        rows: what the program is run with, in the order in which requests come.
        program: appends to a branch what a row asks, and gives the answer.
        branches: how many texts of one row grow at the same time, at most.
        is_right: judges a row's answer; None where there is no truth.
        expected: a row's right answer as JSON, where `program` extracts; for counting tokens.
    """

    name: str
    rows: Sequence[Any]
    program: Callable[[Branch, Any], Answer]
    branches: int = 1
    is_right: Callable[[Any, str], bool] | None = None
    expected: Callable[[Any], str] | None = None

    def right(self, answers: Sequence[Answer]) -> int | None:
        """How many of the rows' answers are right."""
        if self.is_right is None:
            return None
        pairs = zip(self.rows, answers, strict=True)
        return sum(answer is not None and self.is_right(row, answer) for row, answer in pairs)


@dataclass(frozen=True, slots=True)
class Counts:
    """What an engine says that it did, in tokens; None where it does not say.

    Attributes:
        generated: tokens of all answers.
        evaluated: tokens that went through the model.
        minimum: the fewest that could have.
        decode_seconds: of the run, inside `llama_decode`.
        steps: calls of `llama_decode`.
    """

    generated: int | None = None
    evaluated: int | None = None
    minimum: int | None = None
    decode_seconds: float | None = None
    steps: int | None = None


class Engine(ABC):
    """A loaded model. What happens before `run` is not timed, nor what follows it."""

    @abstractmethod
    def warm_up(self) -> None:
        """Generates a few tokens after `WARM_UP`."""

    @abstractmethod
    def run(self, workload: Workload) -> list[Answer]:
        """Runs the program for all rows, with nothing of the workload cached at the start."""

    @abstractmethod
    def counts(self) -> Counts:
        """What `run` did."""

    @abstractmethod
    def close(self) -> None:
        """Ends everything that was started."""

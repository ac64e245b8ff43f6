"""An engine that completes one text after another: what most of them offer.

The program keeps its own text and sends all of it each time, as users of such an interface do; what
of it is not computed again is up to the engine.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel

from .base import WARM_UP, Answer, Branch, Engine, Workload


class Completions(Engine):
    """Completes texts and conversations.

    Args:
        at_once: how many requests it works on at the same time.
    """

    def __init__(self, at_once: int = 1) -> None:
        self.at_once = at_once

    @abstractmethod
    def complete(self, prompt: str, tokens: int) -> str:
        """Exactly so many tokens after `prompt`."""

    @abstractmethod
    def choose(self, prompt: str, options: Sequence[str]) -> str:
        """One of `options`."""

    @abstractmethod
    def extract(self, prompt: str, schema: type[BaseModel], tokens: int) -> str:
        """JSON of this schema."""

    @abstractmethod
    def reply(self, messages: Sequence[dict[str, str]], tokens: int) -> str:
        """The next message of a conversation, of exactly so many tokens."""

    def warm_up(self) -> None:
        with ThreadPoolExecutor(self.at_once) as clients:
            list(clients.map(lambda _: self.complete(WARM_UP, 4), range(self.at_once)))

    def run(self, workload: Workload) -> list[Answer]:
        def run_row(row: object) -> Answer:
            return workload.program(TextBranch(self), row)

        if self.at_once == 1:
            return [run_row(row) for row in workload.rows]
        with ThreadPoolExecutor(self.at_once) as clients:
            return list(clients.map(run_row, workload.rows))


class TextBranch(Branch):
    """The text so far, held by the client."""

    def __init__(self, engine: Completions, parent: TextBranch | None = None) -> None:
        self._engine = engine
        self._text: str = parent._text if parent else ""
        self._messages: list[dict[str, str]] = list(parent._messages) if parent else []
        self._results: dict[str, str] = dict(parent._results) if parent else {}

    def add(self, text: str) -> None:
        self._text += text

    def generate(self, name: str, tokens: int) -> None:
        self._append(name, self._engine.complete(self._text, tokens))

    def select(self, name: str, options: Sequence[str]) -> None:
        self._append(name, self._engine.choose(self._text, options))

    def extract(self, name: str, schema: type[BaseModel], tokens: int) -> None:
        self._append(name, self._engine.extract(self._text, schema, tokens))

    def user(self, text: str) -> None:
        self._messages.append({"role": "user", "content": text})

    def assistant(self, name: str, tokens: int) -> None:
        text = self._engine.reply(self._messages, tokens)
        self._messages.append({"role": "assistant", "content": text})
        self._results[name] = text

    def fork(self, n: int, body: Callable[[Branch, int], None]) -> Sequence[Branch]:
        branches = [TextBranch(self._engine, self) for _ in range(n)]
        if self._engine.at_once == 1:
            for index, branch in enumerate(branches):
                body(branch, index)
        else:
            # a thread each, because the server's slots are what limits them
            with ThreadPoolExecutor(n) as clients:
                list(clients.map(body, branches, range(n)))
        return branches

    def __getitem__(self, name: str) -> str:
        return self._results[name]

    def _append(self, name: str, text: str) -> None:
        self._text += text
        self._results[name] = text


def choice_grammar(options: Sequence[str]) -> str:
    """GBNF that allows just these texts."""
    return "root ::= " + " | ".join(json.dumps(option, ensure_ascii=False) for option in options)

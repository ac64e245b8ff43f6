"""treegram: a program that is run as one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peer import Setup
from pydantic import BaseModel

import treegram as tg
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.runtime import Runtime

from .base import WARM_UP, Answer, Branch, Counts, Engine, Workload


@tg.function
def _program(s: tg.State, workload: Workload, row: object) -> Answer:
    return workload.program(StateBranch(s), row)


@tg.function
def _continue(s: tg.State, text: str) -> None:
    s += text
    s += tg.gen("text", max_tokens=4)


class Treegram(Engine):
    """One model with its default options; a fresh one per run, so that its cache is empty.

    `prepared_bytes`: as in ModelOptions; by default the GGUF is loaded as it is, as by every peer.
    """

    def __init__(self, setup: Setup, prepared_bytes: int = 0) -> None:
        options = ModelOptions(
            n_threads=setup.threads, prepared_bytes=prepared_bytes, measure_minimum=True
        )
        self._runtime = Runtime(options=options)
        self._model = self._runtime.model(str(setup.model))
        self._counts = Counts()

    def warm_up(self) -> None:
        _continue.run(WARM_UP, model=self._model)

    def run(self, workload: Workload) -> list[Answer]:
        before = self._model.stats()
        rows = [{"workload": workload, "row": row} for row in workload.rows]
        states = _program.run_batch(rows, model=self._model, progress=False)
        answers: list[Answer] = [state.sync().value for state in states]
        after = self._model.stats()
        self._counts = Counts(
            generated=after.completion_tokens - before.completion_tokens,
            evaluated=after.evaluated_tokens - before.evaluated_tokens,
            minimum=(after.minimum_tokens or 0) - (before.minimum_tokens or 0),
            decode_seconds=after.decode_seconds - before.decode_seconds,
            steps=after.steps - before.steps,
        )
        return answers

    def counts(self) -> Counts:
        return self._counts

    def close(self) -> None:
        self._runtime.close()


class StateBranch(Branch):
    """A state; nothing waits before a result is read."""

    def __init__(self, state: tg.State) -> None:
        self._state = state

    def add(self, text: str) -> None:
        self._state += text

    def generate(self, name: str, tokens: int) -> None:
        self._state += tg.gen(name, max_tokens=tokens, ignore_eos=True)

    def select(self, name: str, options: Sequence[str]) -> None:
        self._state += tg.select(name, options)

    def follow(self, name: str, options: Sequence[str]) -> None:
        self._state += tg.gen(name, choices=options)

    def extract(self, name: str, schema: type[BaseModel], tokens: int) -> None:
        self._state += tg.gen(name, schema=schema, max_tokens=tokens)

    def user(self, text: str) -> None:
        self._state += tg.user(text)

    def assistant(self, name: str, tokens: int) -> None:
        self._state += tg.assistant(tg.gen(name, max_tokens=tokens, ignore_eos=True))

    def fork(self, n: int, body: Callable[[Branch, int], None]) -> Sequence[Branch]:
        branches = [StateBranch(state) for state in self._state.fork(n)]
        for index, branch in enumerate(branches):
            body(branch, index)
        return branches

    def __getitem__(self, name: str) -> str:
        return self._state.meta(name).text

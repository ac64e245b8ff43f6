"""guidance: `models.LlamaCpp`, whose states are values that branches go on from."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from peer import Setup, Unavailable
from pydantic import BaseModel

from .base import WARM_UP, Answer, Branch, Counts, Engine, Workload
from .engine_llama_cpp_python import N_CTX

try:
    # by name, because neither it nor its types need be installed
    guidance: Any = importlib.import_module("guidance")
except ImportError as exc:
    raise Unavailable("pip install guidance") from exc


class Guidance(Engine):
    """One model, one row after another."""

    def __init__(self, setup: Setup) -> None:
        self._model: Any = guidance.models.LlamaCpp(
            str(setup.model),
            echo=False,
            enable_monitoring=False,
            n_ctx=N_CTX,
            n_threads=setup.threads,
            n_threads_batch=setup.threads,
            flash_attn=True,
        )

    def warm_up(self) -> None:
        _ = self._model + WARM_UP + guidance.gen(max_tokens=4, temperature=0.0)

    def run(self, workload: Workload) -> list[Answer]:
        return [workload.program(GuidanceBranch(self._model), row) for row in workload.rows]

    def counts(self) -> Counts:
        return Counts()

    def close(self) -> None:
        pass


class GuidanceBranch(Branch):
    """A state of the model. It has no way to keep the end of text from being generated."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def add(self, text: str) -> None:
        self._state += text

    def generate(self, name: str, tokens: int) -> None:
        self._state += guidance.gen(name, max_tokens=tokens, temperature=0.0)

    def select(self, name: str, options: Sequence[str]) -> None:
        self._state += guidance.select(list(options), name=name)

    def extract(self, name: str, schema: type[BaseModel], tokens: int) -> None:
        self._state += guidance.json(name, schema=schema, temperature=0.0, max_tokens=tokens)

    def user(self, text: str) -> None:
        with guidance.user():
            self._state += text

    def assistant(self, name: str, tokens: int) -> None:
        with guidance.assistant():
            self._state += guidance.gen(name, max_tokens=tokens, temperature=0.0)

    def fork(self, n: int, body: Callable[[Branch, int], None]) -> Sequence[Branch]:
        branches = [GuidanceBranch(self._state) for _ in range(n)]
        for index, branch in enumerate(branches):
            body(branch, index)
        return branches

    def __getitem__(self, name: str) -> str:
        return str(self._state[name])

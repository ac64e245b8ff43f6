"""guidance: `models.LlamaCpp` with `guidance.json`, the shared prompt appended once."""

from __future__ import annotations

import importlib
from typing import Any

from peer import Peer, Setup, Unavailable
from workload import MAX_TOKENS, SCHEMA, Workload

try:
    # by name, because neither it nor its types need be installed
    guidance: Any = importlib.import_module("guidance")
except ImportError as exc:
    raise Unavailable("pip install guidance") from exc


class Guidance(Peer):
    """One model; every row continues the state that holds the shared prompt."""

    def __init__(self, setup: Setup) -> None:
        self._model: Any = guidance.models.LlamaCpp(
            str(setup.model),
            echo=False,
            enable_monitoring=False,
            n_ctx=2048,
            n_threads=setup.threads,
            n_threads_batch=setup.threads,
            flash_attn=True,
        )

    def warm_up(self, text: str) -> None:
        _ = self._model + text + guidance.gen(max_tokens=4, temperature=0.0)

    def answer(self, workload: Workload) -> list[str]:
        shared = self._model + workload.shared
        return [
            (
                shared
                + own
                + guidance.json("answer", schema=SCHEMA, temperature=0.0, max_tokens=MAX_TOKENS)
            )["answer"]
            for own in workload.own
        ]

    def close(self) -> None:
        pass

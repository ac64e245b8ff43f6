"""What the routes share: the models, the gate, the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from ...lang.base import Backend, ModelProvider
from ...lang.program import Program
from ..stats import EngineStats
from .errors import model_not_found
from .gate import Gate
from .metrics import Metrics


@runtime_checkable
class HasStats(Protocol):
    """A backend that counts what it does."""

    def stats(self) -> EngineStats: ...


class Service:
    """One server's state; every route gets it.

    Attributes:
        programs: what `/v1/programs` serves, by name.
        models: the names that requests may use; the first is the default.
        gate: who may come in.
        metrics: what `/metrics` tells.
    """

    def __init__(
        self,
        programs: Mapping[str, Program],
        provider: ModelProvider,
        models: Sequence[str],
        gate: Gate,
    ) -> None:
        self.programs = programs
        self.models = models
        self.gate = gate
        self.metrics = Metrics(self.stats)
        self._provider = provider

    def model_name(self, asked: str | None) -> str:
        """The model that a request means. Raises ApiError 404."""
        if asked is None:
            return self.models[0]
        if asked not in self.models:
            raise model_not_found(asked, self.models)
        return asked

    def backend(self, name: str) -> Backend:
        """The backend of a name from `model_name`. Blocks while it loads."""
        return self._provider.model(name)

    def stats(self) -> dict[str, EngineStats]:
        """Statistics by model; empty until the models are loaded."""
        if self.gate.state == "loading":
            return {}
        backends = {name: self.backend(name) for name in self.models}
        return {name: b.stats() for name, b in backends.items() if isinstance(b, HasStats)}

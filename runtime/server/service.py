"""What the routes share: the models, the gate, the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model with one of its LoRA adapters; "" is the model as it is."""

    base: str
    adapter: str = ""


class Service:
    """One server's state; every route gets it.

    Attributes:
        programs: what `/v1/programs` serves, by name.
        models: what the names that requests may use stand for; the first is the default.
        gate: who may come in.
        metrics: what `/metrics` tells.
    """

    def __init__(
        self,
        programs: Mapping[str, Program],
        provider: ModelProvider,
        models: Sequence[str],
        adapters: Mapping[str, Sequence[str]],
        gate: Gate,
    ) -> None:
        self.programs = programs
        self.models = {name: ServedModel(name) for name in models}
        for name in models:
            for adapter in adapters.get(name, ()):
                self.models[f"{name}:{adapter}"] = ServedModel(name, adapter)
        self.gate = gate
        self.metrics = Metrics(self.stats)
        self._provider = provider

    def model_name(self, asked: str | None) -> str:
        """The model that a request means, a key of `models`. Raises ApiError 404."""
        if asked is None:
            return next(iter(self.models))
        if asked not in self.models:
            raise model_not_found(asked, list(self.models))
        return asked

    def backend(self, name: str) -> Backend:
        """The backend of a name from `model_name`. Blocks while it loads."""
        return self._provider.model(self.models[name].base)

    def stats(self) -> dict[str, EngineStats]:
        """Statistics by model; empty until the models are loaded."""
        if self.gate.state == "loading":
            return {}
        backends = {m.base: self._provider.model(m.base) for m in self.models.values()}
        return {name: b.stats() for name, b in backends.items() if isinstance(b, HasStats)}

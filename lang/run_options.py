"""What a run says for all of its generations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

from .base import EngineName
from .errors import ParameterError
from .sampling import SamplingParams


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The arguments that `run`, `stream`, `arun` and the batches share; see `Program.run`.

    Raises:
        ParameterError: one of another type or out of its range; `parameter` names it.
    """

    sampling: SamplingParams = field(default_factory=SamplingParams)
    engine: EngineName = "treegram"
    adapter: str = ""
    namespace: str = ""
    priority: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.sampling, SamplingParams):
            kind = type(self.sampling).__name__
            raise ParameterError("sampling", f"expected tg.SamplingParams(...), got {kind}")
        if self.engine not in get_args(EngineName):
            expected = " or ".join(map(repr, get_args(EngineName)))
            raise ParameterError("engine", f"expected {expected}, got {self.engine!r:.80}")
        checked_text("adapter", self.adapter)
        checked_text("namespace", self.namespace)
        if not isinstance(self.priority, int) or isinstance(self.priority, bool):
            raise ParameterError("priority", f"expected an integer, got {self.priority!r:.80}")


def checked_text(parameter: str, value: object) -> str:
    """`value` if it is a text that can be encoded. Raises ParameterError."""
    if not isinstance(value, str):
        raise ParameterError(parameter, f"expected a text, got {value!r:.80}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ParameterError(
            parameter, "holds half of a surrogate pair, which is no text"
        ) from None
    return value

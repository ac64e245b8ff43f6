"""The values that a program's names stand for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .base import ChoiceScore, FinishReason, GenResult, Result, TokenLogprob, Usage
from .confidence import Confidence
from .errors import OutputError

if TYPE_CHECKING:
    from .automaton.substring import Place
    from .constraint import Constraint
    from .json_schema.compile import Note


@dataclass(frozen=True, slots=True)
class GenMeta:
    """How one generation went.

    Attributes:
        text: the raw text, also where it is no value of its constraint.
        finish_reason: why it ended; a `select` ends with "constraint".
        usage: token counts of the request.
        stop_matched: the stop text (also what `stop_regex` matched) or token id that ended it.
        logprobs: per token, if `gen(logprobs=...)` asked.
        scores: per choice, for a `select`.
        confidence: how sure the model was, for a `select` and if `gen(confidence=True)` asked.
        notes: what a JSON Schema says and the grammar did not enforce.
        place: where in the text that `substring_of` gave the quote stands.
        dropped_tokens: how many tokens had left the context by the end, for `overflow="shift"`.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage
    stop_matched: str | int | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    scores: tuple[ChoiceScore, ...] | None = None
    confidence: Confidence | None = None
    notes: tuple[Note, ...] = ()
    place: Place | None = None
    dropped_tokens: int = 0

    @classmethod
    def of(cls, result: Result, constraint: Constraint | None = None) -> GenMeta:
        """The facts of a result, of which `constraint` knows some."""
        sure = None if result.decisions is None else Confidence(result.text, result.decisions)
        if isinstance(result, GenResult):
            return cls(
                result.text,
                result.finish_reason,
                result.usage,
                result.stop_matched,
                result.logprobs,
                confidence=sure,
                notes=() if constraint is None else constraint.grammar.notes,
                place=_place(result.text, constraint),
                dropped_tokens=result.dropped_tokens,
            )
        return cls(result.text, "constraint", result.usage, scores=result.scores, confidence=sure)


def _place(text: str, constraint: Constraint | None) -> Place | None:
    if constraint is None or constraint.quoted is None:
        return None
    return constraint.quoted.place(text)


class Variable(Protocol):
    """What a name stands for."""

    def value(self) -> object:
        """The value that `state[name]` gives. Raises OutputError."""
        ...

    def metas(self) -> tuple[GenMeta, ...]:
        """One per generation behind the value; none for an assigned value."""
        ...


@dataclass(frozen=True, slots=True)
class Assigned:
    """A value that the program set itself."""

    assigned: object

    def value(self) -> object:
        return self.assigned

    def metas(self) -> tuple[GenMeta, ...]:
        return ()


class Output:
    """The result of a `gen` or `select`, parsed by its constraint on first reading.

    Parsing runs in the reader's thread, because it may call the user's validators.
    """

    def __init__(
        self, name: str, results: Iterable[Result], constraint: Constraint | None, is_list: bool
    ) -> None:
        self._name = name
        self._metas = tuple(GenMeta.of(result, constraint) for result in results)
        self._constraint = constraint
        self._is_list = is_list
        self._parsed: list[object] | None = None

    def value(self) -> object:
        if self._parsed is None:
            self._parsed = [self._parse(meta) for meta in self._metas]
        return self._parsed if self._is_list else self._parsed[0]

    def metas(self) -> tuple[GenMeta, ...]:
        return self._metas

    def _parse(self, meta: GenMeta) -> object:
        if self._constraint is None:
            return meta.text
        was_cut = meta.finish_reason == "length" or isinstance(meta.stop_matched, str)
        if was_cut and not self._constraint.grammar.accepts(meta.text):
            advice = (
                "it was cut by max_tokens, raise that"
                if meta.finish_reason == "length"
                else f"the stop text {meta.stop_matched!r} cut it, choose another"
            )
            raise self._error(meta, f"does not satisfy its constraint: {advice}")
        try:
            return self._constraint.parse(meta.text)
        except Exception as exc:
            raise self._error(meta, f"was refused by its validator: {exc}") from exc

    def _error(self, meta: GenMeta, what: str) -> OutputError:
        return OutputError(
            f"the text of {self._name!r} {what}. Raw text (state.meta({self._name!r}).text): "
            f"{meta.text!r:.200}",
            name=self._name,
            text=meta.text,
            finish_reason=meta.finish_reason,
        )


@dataclass(frozen=True, slots=True)
class Gathered:
    """The branches' values of one name, in the order of the branches."""

    parts: tuple[Variable, ...]

    def value(self) -> list[object]:
        return [part.value() for part in self.parts]

    def metas(self) -> tuple[GenMeta, ...]:
        return tuple(meta for part in self.parts for meta in part.metas())

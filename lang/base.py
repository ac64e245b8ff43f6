"""The seam between the language and whatever executes it.

A program state turns its text and generations into requests; a `Backend` runs them. The language
never sees a token id except as an opaque part of a `Generated` span, which it hands back so that
the next request continues exactly the tokens that were sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from .confidence import Decision
from .images import Picture
from .sampling import SamplingParams

if TYPE_CHECKING:
    from .grammar import Grammar

FinishReason: TypeAlias = Literal["stop", "length", "constraint"]
"""`stop`: end token or stop text; `constraint`: nothing may follow; `length`: max_tokens, or
the context was full."""

EngineName: TypeAlias = Literal["treegram", "llama.cpp"]
"""Who executes a grammar: treegram's automaton, or llama.cpp's own grammar sampler."""

OverflowPolicy: TypeAlias = Literal["error", "shift"]
"""What happens where a text outgrows the context: see `GenRequest`."""

SelectMethod: TypeAlias = Literal["length_normalized", "greedy", "unconditional"]


@dataclass(frozen=True, slots=True)
class Text:
    """Prompt text. Control tokens are parsed in it only if `template`.

    That is the text of chat templates, and of markers that a program writes as such.
    """

    text: str
    template: bool = False


@dataclass(frozen=True, slots=True)
class Generated:
    """Text that a model generated, with the tokens that were really sampled for it.

    Where token healing backed up the prompt, the tokens spell `prefix + text`, and `prefix` is the
    end of the text before this span.
    """

    text: str
    tokens: tuple[int, ...]
    prefix: str = ""


Span: TypeAlias = Text | Generated | Picture
Prompt: TypeAlias = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message; as spans, its generated tokens survive into the next prompt."""

    role: str
    content: Prompt


@dataclass(frozen=True, slots=True)
class GenRequest:
    """Generate after `prompt`.

    Attributes:
        adapter: the LoRA adapter, by the name under which the model was given it; "" for none.
        overflow: with `"error"`, a prompt that does not fit the context is refused and a generation
            that fills it ends with `"length"`; with `"shift"`, tokens behind the first `sinks` are
            dropped, oldest first.
        namespace: cached prefixes are shared within one namespace only.
        priority: of requests that wait, those with a higher one go first.
    """

    prompt: Prompt
    params: SamplingParams = field(default_factory=SamplingParams)
    grammar: Grammar | None = None
    max_tokens: int = 512
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    stop_regex: str | None = None
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    heal: bool = True
    canonical: bool = True
    confidence: bool = False
    engine: EngineName = "treegram"
    adapter: str = ""
    overflow: OverflowPolicy = "error"
    sinks: int = 0
    namespace: str = ""
    priority: int = 0


@dataclass(frozen=True, slots=True)
class SelectRequest:
    """Score every choice as the continuation of `prompt`; see `GenRequest` for the rest."""

    prompt: Prompt
    choices: tuple[str, ...]
    method: SelectMethod = "length_normalized"
    temperature: float = 0.0
    seed: int | None = None
    adapter: str = ""
    namespace: str = ""
    priority: int = 0


Request: TypeAlias = GenRequest | SelectRequest


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token: its piece, its log-probability after masking, and the best alternatives."""

    token: int
    piece: bytes
    logprob: float
    top: tuple[tuple[int, bytes, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one request: `cached_tokens` of the `prompt_tokens` came from the cache."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class GenResult:
    """What a GenRequest gave. `spans` replay it in a later prompt; their text is `text`.

    `decisions` are there if the request asked for confidence. `dropped_tokens` of the prompt and
    the text were no longer in the context when the last token was drawn.
    """

    text: str
    spans: Prompt
    finish_reason: FinishReason
    usage: Usage
    stop_matched: str | int | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    decisions: tuple[Decision, ...] | None = None
    dropped_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ChoiceScore:
    """One choice: the `logprobs` of its tokens given the prompt, and the `score` that ranked it."""

    choice: str
    score: float
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SelectResult:
    """What a SelectRequest gave: the winner's `index`, and `scores` in the order of the choices.

    `decisions` is the one between the choices, each as a whole.
    """

    text: str
    spans: Prompt
    index: int
    scores: tuple[ChoiceScore, ...]
    usage: Usage = field(default_factory=Usage)
    decisions: tuple[Decision, ...] | None = None


Result: TypeAlias = GenResult | SelectResult


class Handle(Protocol):
    """A running request. Thread-safe."""

    def result(self, timeout: float | None = None) -> Result:
        """Waits and returns the result. Raises the request's error, or TimeoutError."""
        ...

    def add_done_callback(self, callback: Callable[[Handle], None]) -> None:
        """Calls `callback(self)` once it is done, at once if it is; from the engine's thread."""
        ...

    def cancel(self) -> None:
        """Asks to stop; the request ends with CancelledError and frees its cells. Idempotent."""
        ...


class Backend(Protocol):
    """What executes requests: a loaded model, or a test double."""

    def submit(self, request: Request, on_text: Callable[[str], None] | None = None) -> Handle:
        """Starts a request without waiting. `on_text` gets text deltas, from the engine's thread.

        Raises what can be known at once (an empty choices list, a constraint that cannot compile).
        """
        ...

    def render_chat(self, messages: Sequence[Message], add_generation_prompt: bool) -> Prompt:
        """The model's own chat template over `messages`; template text is marked as such."""
        ...


class ModelProvider(Protocol):
    """What turns a model's name into a backend: `treegram.runtime.Runtime`, or your own."""

    def model(self, name: str | None) -> Backend:
        """The backend for `name`; None is the default model. Raises ModelError if unknown."""
        ...

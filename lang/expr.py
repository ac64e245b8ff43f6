"""What a program appends to a state: frozen expressions, and the chat roles around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from .base import EngineName, GenRequest, OverflowPolicy, Prompt, SelectMethod, SelectRequest
from .errors import ProgramError
from .images import Picture, read_picture
from .run_options import RunOptions

if TYPE_CHECKING:
    from .constraint import Constraint

MAX_NESTING = 100
DEFAULT_MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Expr:
    """Anything that `+=` takes besides plain text. `+` puts expressions and text in order."""

    def __add__(self, other: Appendable) -> Concat:
        return Concat((*leaves(self), *leaves(other)))

    def __radd__(self, other: Appendable) -> Concat:
        return Concat((*leaves(other), *leaves(self)))

    def __format__(self, spec: str) -> str:
        raise ProgramError(
            f"a {type(self).__name__.lower()}(...) inside an f-string would become plain text; "
            'append it by itself: s += "text" + tg.gen(...)'
        )


Appendable: TypeAlias = "str | Expr | Sequence[Appendable]"


@dataclass(frozen=True, slots=True)
class Concat(Expr):
    """Several expressions and texts in order; never nested."""

    items: tuple[str | Expr, ...]


@dataclass(frozen=True, slots=True)
class RoleBegin(Expr):
    """A chat message of `role` opens."""

    role: str


@dataclass(frozen=True, slots=True)
class RoleEnd(Expr):
    """The open chat message of `role` closes."""

    role: str


@dataclass(frozen=True, slots=True)
class Marker(Expr):
    """Text that is a control token of the model wherever it has one, as a template's text is."""

    text: str


@dataclass(frozen=True, slots=True)
class Image(Expr):
    """An image, for a model that was loaded with a projector."""

    picture: Picture


@dataclass(frozen=True, slots=True)
class Gen(Expr):
    """One generation. `sampling` holds only what was given; the run's options fill the rest."""

    name: str | None
    constraint: Constraint | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int = DEFAULT_MAX_TOKENS
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    stop_regex: str | None = None
    stop_token_ids: tuple[int, ...] = ()
    n: int = 1
    ignore_eos: bool = False
    heal: bool = True
    canonical: bool = True
    confidence: bool = False
    engine: EngineName | None = None
    adapter: str | None = None
    overflow: OverflowPolicy = "error"
    sinks: int = 0

    def requests(self, prompt: Prompt, options: RunOptions) -> list[GenRequest]:
        """The `n` requests of this generation; sample i draws with seed + i."""
        params = replace(options.sampling, **self.sampling)
        request = GenRequest(
            prompt=prompt,
            params=params,
            grammar=self.constraint.grammar if self.constraint is not None else None,
            max_tokens=self.max_tokens,
            min_tokens=self.min_tokens,
            stop=self.stop,
            stop_regex=self.stop_regex,
            stop_token_ids=self.stop_token_ids,
            ignore_eos=self.ignore_eos,
            heal=self.heal,
            canonical=self.canonical,
            confidence=self.confidence,
            engine=self.engine or options.engine,
            adapter=options.adapter if self.adapter is None else self.adapter,
            overflow=self.overflow,
            sinks=self.sinks,
            namespace=options.namespace,
            priority=options.priority,
        )
        if self.n == 1 or params.seed is None:
            return [request] * self.n
        return [
            replace(request, params=replace(params, seed=(params.seed + i) % 2**64))
            for i in range(self.n)
        ]


@dataclass(frozen=True, slots=True)
class Select(Expr):
    """One choice among several, by how likely the model finds each as the continuation."""

    name: str | None
    choices: tuple[str, ...]
    method: SelectMethod = "length_normalized"
    temperature: float = 0.0
    seed: int | None = None
    adapter: str | None = None

    def request(self, prompt: Prompt, options: RunOptions) -> SelectRequest:
        """The request that scores the choices after `prompt`."""
        return SelectRequest(
            prompt,
            self.choices,
            self.method,
            self.temperature,
            self.seed,
            adapter=options.adapter if self.adapter is None else self.adapter,
            namespace=options.namespace,
            priority=options.priority,
        )


def leaves(value: object, depth: int = 0) -> Iterator[str | Expr]:
    """The texts and expressions of anything appendable, in order.

    Raises ProgramError for a value that cannot be appended.
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, Concat):
        yield from value.items
    elif isinstance(value, Expr):
        yield value
    elif isinstance(value, (list, tuple)):
        if depth >= MAX_NESTING:
            raise ProgramError(f"lists nested more than {MAX_NESTING} deep cannot be appended")
        for item in value:
            yield from leaves(item, depth + 1)
    else:
        hint = (
            " A program that is called inside another appends by itself: write program(s, ...) "
            "without `s +=`."
            if value is None
            else " Convert it first, for example with str()."
        )
        raise ProgramError(
            f"cannot append {value!r:.80} of type {type(value).__name__}: "
            f"expected text, an expression such as gen(...), or a list of these.{hint}"
        )


def image(source: object) -> Image:
    """An image in a message: `s += tg.user(tg.image("cat.jpg"), "What is this?")`.

    The model must have been loaded with its projector (`ModelOptions.projector`). The same image
    is evaluated once, as the same text is: its place in the cache is named by its content.

    Args:
        source: a PNG, JPEG, GIF (its first frame) or BMP file as a path, as bytes or as a `data:`
            URL; or a Pillow image. Other URLs are not fetched.

    Raises ParameterError if there is no such file, or it is no image of these kinds.
    """
    return Image(read_picture(source))


def system_begin() -> RoleBegin:
    """Opens a system message."""
    return RoleBegin("system")


def system_end() -> RoleEnd:
    """Closes the system message."""
    return RoleEnd("system")


def user_begin() -> RoleBegin:
    """Opens a user message."""
    return RoleBegin("user")


def user_end() -> RoleEnd:
    """Closes the user message."""
    return RoleEnd("user")


def assistant_begin() -> RoleBegin:
    """Opens an assistant message."""
    return RoleBegin("assistant")


def assistant_end() -> RoleEnd:
    """Closes the assistant message."""
    return RoleEnd("assistant")


def system(*content: Appendable) -> Concat:
    """A whole system message."""
    return Concat((RoleBegin("system"), *leaves(content), RoleEnd("system")))


def user(*content: Appendable) -> Concat:
    """A whole user message."""
    return Concat((RoleBegin("user"), *leaves(content), RoleEnd("user")))


def assistant(*content: Appendable) -> Concat:
    """A whole assistant message; a `gen` in it answers the messages before."""
    return Concat((RoleBegin("assistant"), *leaves(content), RoleEnd("assistant")))

"""Where a text can have led to in a grammar, and what is known about what follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .frames import Frame, Stack
from .terminal_state import TerminalState

if TYPE_CHECKING:
    from .doubts import Doubts

Place: TypeAlias = "tuple[int | TerminalState, Stack]"


class Configuration:
    """All places a text can have led to. Made by an automaton; equal ones are identical.

    `accepting`: the text so far is complete. `places`: states that can consume a byte, with their
    stacks. There is none exactly if nothing can follow. `watched`: values that must differ are in
    some stack. `written`: the text from where the first of those begins that are being written.
    `core`: the same before any of it was written; it knows the `steady` steps, which lead from core
    to core whatever was written. `lone`: the only place, if there is one and it is not watched.
    """

    __slots__ = (
        "__weakref__",
        "accepting",
        "core",
        "legal",
        "lone",
        "memo",
        "parts",
        "places",
        "steady",
        "texts",
        "watched",
        "writing",
        "written",
    )

    def __init__(
        self,
        places: frozenset[Place],
        accepting: bool,
        written: bytes = b"",
        core: Configuration | None = None,
    ) -> None:
        self.places = places
        self.accepting = accepting
        self.written = written
        self.core = self if core is None else core
        self.steady: dict[int, Steady] = {}
        self.writing = any(frame is not None and frame.writing for _, frame in places)
        self.lone: Place | None = None
        if len(places) == 1:
            ((state, frame),) = places
            self.watched = frame is not None and frame.watched
            if not self.watched:
                self.lone = (state, frame)
        else:
            self.watched = any(frame is not None and frame.watched for _, frame in places)
        self.memo: dict[int, Configuration | None] = {}
        self.texts: dict[bytes, Configuration | None] = {}
        self.parts: Parts | None = None
        self.legal: bytes | None = None

    @property
    def can_continue(self) -> bool:
        """Whether any byte can follow."""
        return bool(self.places)


class Steady(NamedTuple):
    """The core that a byte leads to, and what must be true of the texts that are being written."""

    core: Configuration | None
    doubts: Doubts


class Parts(NamedTuple):
    """A configuration's places inside terminals, and all others as a configuration."""

    inside: list[tuple[TerminalState, Frame]]
    outside: Configuration | None


class Successors(NamedTuple):
    """Where each byte leads: `targets[classes[byte]]`, None for a byte that is not legal."""

    classes: bytes
    targets: Sequence[Configuration | None]


class ForcedRun(NamedTuple):
    """The only text that can come next, and the configuration after it."""

    text: bytes
    end: Configuration

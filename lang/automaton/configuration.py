"""Where a text can have led to in a grammar, and what is known about what follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from .frames import Frame
from .terminal_state import TerminalState

Place: TypeAlias = "tuple[int | TerminalState, Frame | None]"


class Configuration:
    """All places a text can have led to. Made by an automaton; equal ones are identical.

    `accepting`: the text so far is complete. `places`: states that can consume a byte, with their
    stacks. There is none exactly if nothing can follow. `watched`: values that must differ are in
    some stack. `lone`: the only place, if there is one and it is not watched.
    """

    __slots__ = ("__weakref__", "accepting", "lone", "memo", "parts", "places", "texts", "watched")

    def __init__(self, places: frozenset[Place], accepting: bool) -> None:
        self.places = places
        self.accepting = accepting
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

    @property
    def can_continue(self) -> bool:
        """Whether any byte can follow."""
        return bool(self.places)


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

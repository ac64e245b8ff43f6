"""What may still go wrong with a value that is being written, where values must differ."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from .configuration import Place
from .frames import Frame
from .kept_values import Begun, Kept
from .owed_values import Owed


class Way(NamedTuple):
    """Frames that hold a value in writing, and what its list must take after it: any of `owed`."""

    frames: tuple[Frame, ...]
    owed: frozenset[Owed]


class Doubt(NamedTuple):
    """A value in writing at a place, which must be able to differ from others in one of `ways`."""

    place: Place
    value: Kept
    ways: tuple[Way, ...]

    def text(self, written: bytes) -> bytes:
        """The text of the value so far."""
        assert isinstance(self.value.held, Begun)
        return self.value.held.text(written)


Doubts: TypeAlias = "tuple[tuple[Doubt, ...], ...]"
"""Of the doubts at one of several places, all must be dispelled; without any place, nothing."""

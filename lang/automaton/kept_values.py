"""What a stack keeps of values that must differ: those being written, and those lists have seen."""

from __future__ import annotations

from typing import NamedTuple


class Begun(NamedTuple):
    """Where a value that is being written begins, in the text that its configuration keeps.

    None: with the next byte.
    """

    at: int | None

    def text(self, written: bytes) -> bytes:
        """The text of the value so far."""
        return b"" if self.at is None else written[self.at :]


NEXT = Begun(None)


class Kept:
    """What a stack keeps of values that must differ: `held`, and below it `outer`.

    Made by a `FrameTable`, one object per content, compared by identity.

    Attributes:
        held: where a value begins that is being written, or the values that a list has seen.
        writing: some value is being written, here or further down.
    """

    __slots__ = ("held", "outer", "writing")

    def __init__(self, held: Begun | frozenset[object], outer: Kept | None) -> None:
        self.held = held
        self.outer = outer
        self.writing: bool = isinstance(held, Begun) or (outer is not None and outer.writing)

    def of_list(self) -> Kept | None:
        """What the innermost list has seen; None outside lists."""
        kept: Kept | None = self
        while kept is not None and not isinstance(kept.held, frozenset):
            kept = kept.outer
        return kept

    @property
    def seen(self) -> frozenset[object]:
        """The values that the innermost list has seen."""
        kept = self.of_list()
        assert kept is not None, "an Element stands inside a Unique"
        assert isinstance(kept.held, frozenset)
        return kept.held


def is_next(kept: Kept | None) -> bool:
    """Whether the next byte begins a value that must differ."""
    while kept is not None and not isinstance(kept.held, Begun):
        kept = kept.outer
    return kept is not None and kept.held == NEXT


def has_values(kept: Kept | None) -> bool:
    """Whether some value is being written, or some list has seen values."""
    while kept is not None and not kept.held:
        kept = kept.outer
    return kept is not None

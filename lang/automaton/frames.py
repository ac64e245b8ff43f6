"""Stacks of the automaton, as linked frames that are shared and interned."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class Begun(NamedTuple):
    """Where a value that is being written begins, in the text that its configuration keeps.

    None: with the next byte.
    """

    at: int | None

    def text(self, written: bytes) -> bytes:
        """The text of the value so far."""
        return b"" if self.at is None else written[self.at :]


NEXT = Begun(None)


Held: TypeAlias = "int | Begun | frozenset[object] | None"


class Frame:
    """The top of a stack: where to return to, or which scope is open, above `parent`.

    Made by a `FrameTable`, one object per distinct stack, compared by identity.
    `after` is the return state of a call, or -1 - the index of a scope. What `low` and `high` are
    depends on the scope: for a `Loop` the iterations that it still must and may run, the current
    one included (None: no bound); for a `Bag` the members used and their number; for a `Distinct`
    the values seen; for a `Value` where it begins. The last two are None where they are not kept.
    `watched`: some `Distinct` in this stack has seen values, or the text of a `Value` is kept.
    `writing`: the latter.
    """

    __slots__ = ("after", "high", "low", "parent", "watched", "writing")

    watched: bool
    writing: bool

    def __init__(self, parent: Frame | None, after: int, low: Held, high: int | None) -> None:
        self.parent = parent
        self.after = after
        self.low = low
        self.high = high
        self.writing = isinstance(low, Begun) or (parent is not None and parent.writing)
        has_seen = isinstance(low, frozenset) and bool(low)
        self.watched = self.writing or has_seen or (parent is not None and parent.watched)


def is_next(frame: Frame | None) -> bool:
    """Whether the next byte begins a value that must differ."""
    while frame is not None and frame.writing:
        if frame.low == NEXT:
            return True
        if isinstance(frame.low, Begun):
            return False
        frame = frame.parent
    return False


class FrameTable:
    """Interns the frames of one automaton. Threads may share it."""

    def __init__(self) -> None:
        self._frames: dict[tuple[Frame | None, int, Held, int | None], Frame] = {}

    def clear(self) -> None:
        """Forgets all frames; those in use stay valid, and are no longer found."""
        self._frames.clear()

    def push(
        self, parent: Frame | None, after: int, low: Held = 0, high: int | None = None
    ) -> Frame:
        key = (parent, after, low, high)
        frame = self._frames.get(key)
        if frame is None:
            frame = self._frames.setdefault(key, Frame(parent, after, low, high))
        return frame

    def replace(self, top: Frame | None, old: Frame, new: Frame) -> Frame | None:
        """The stack `top` with `new` instead of its frame `old`."""
        above: list[Frame] = []
        frame = top
        while frame is not old:
            assert frame is not None, "old is in the stack"
            above.append(frame)
            frame = frame.parent
        result: Frame | None = new
        for frame in reversed(above):
            result = self.push(result, frame.after, frame.low, frame.high)
        return result

    def begun(self, top: Frame, at: int) -> Frame:
        """The stack where the values that were to begin with the next byte have begun `at`."""
        above: list[Frame] = []
        frame: Frame | None = top
        while is_next(frame):
            assert frame is not None, "the bottom is not above a value"
            above.append(frame)
            frame = frame.parent
        for old in reversed(above):
            low = Begun(at) if old.low == NEXT else old.low
            frame = self.push(frame, old.after, low, old.high)
        assert frame is not None, "the stack is not empty"
        return frame

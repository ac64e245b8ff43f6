"""Stacks of the automaton, as linked frames that are shared and interned."""

from __future__ import annotations

from typing import TypeAlias

Held: TypeAlias = "int | bytes | frozenset[object] | None"


class Frame:
    """The top of a stack: where to return to, or which scope is open, above `parent`.

    Made by a `FrameTable`, one object per distinct stack, compared by identity.
    `after` is the return state of a call, or -1 - the index of a scope. What `low` and `high` are
    depends on the scope: for a `Loop` the iterations that it still must and may run, the current
    one included (None: no bound); for a `Bag` the members used and their number; for a `Distinct`
    the values seen; for a `Value` its text so far. The last two are None where they are not kept.
    `watched`: some `Distinct` in this stack has seen values, or the text of a `Value` is kept.
    """

    __slots__ = ("after", "high", "low", "parent", "watched")

    def __init__(
        self, parent: Frame | None, after: int, low: Held, high: int | None, watched: bool
    ) -> None:
        self.parent = parent
        self.after = after
        self.low = low
        self.high = high
        self.watched = watched


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
            watched = parent is not None and parent.watched
            if isinstance(low, bytes) or (isinstance(low, frozenset) and low):
                watched = True
            frame = self._frames.setdefault(key, Frame(parent, after, low, high, watched))
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

    def extended(self, top: Frame, data: bytes) -> Frame:
        """The stack with `data` added to every value that is being written."""
        above: list[Frame] = []
        frame: Frame | None = top
        while frame is not None and frame.watched:
            above.append(frame)
            frame = frame.parent
        for old in reversed(above):
            low = old.low
            if isinstance(low, bytes):
                low += data
            frame = self.push(frame, old.after, low, old.high)
        assert frame is not None, "only a watched stack is extended"
        return frame

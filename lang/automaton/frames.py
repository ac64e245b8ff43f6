"""Stacks of the automaton, shared as a graph.

A grammar's alternatives often differ only in where they return to: a recursive schema whose objects
have two readings has 2^depth stacks after `depth` opening braces, all with the same frame on top.
So a frame lies above a set of stacks, and one frame stands for every stack that leads down from it
(the graph-structured stack of Tomita, 1985; with calls as in Scott and Johnstone's GLL, 2010).

Values that must differ are kept in frames, too. All stacks that a frame stands for keep the same
ones (`Frame.kept`): stacks in which lists have seen other values are not joined. That one of the
stacks leaves a value a way to differ is enough, of lists in lists, too: to tell it of the outer
list, the value is completed whole, with what the inner ones ask (`value_watch.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from typing import TypeAlias

from .kept_values import NEXT, Begun, Kept, is_next

Held: TypeAlias = "int | Begun | frozenset[object] | None"
Stack: TypeAlias = "Frame | None"
"""The frame on top; None: the stack is empty."""

Below: TypeAlias = "Stack | frozenset[Stack]"
"""What a frame lies above: a stack, or the several that it has in common."""


def one_or_all(stacks: Set[Stack]) -> Below:
    """What a frame above these stacks, which all keep the same, lies above."""
    return next(iter(stacks)) if len(stacks) == 1 else frozenset(stacks)


class Frame:
    """The top of a stack, or of several: where to return to, or which scope is open.

    Made by a `FrameTable`, one object per content and what lies `below`, compared by identity.
    `after` is the return state of a call, or -1 - the index of a scope. What `low` and `high` are
    depends on the scope: for a `Loop` the iterations that it still must and may run, the current
    one included (None: no bound); for a `Bag` the members used and their number; for a `Distinct`
    the values seen; for a `Value` where it begins. The last two are None where they are not kept.

    Attributes:
        parents: the stacks below, one or more.
        kept: what each of the stacks keeps of values that must differ, its top first.
        watched: values that must differ are kept in this stack.
        writing: some of them is being written.
    """

    __slots__ = ("after", "below", "high", "kept", "low", "parents", "watched", "writing")

    def __init__(
        self, below: Below, after: int, low: Held, high: int | None, kept: Kept | None
    ) -> None:
        self.below = below
        self.parents = tuple(below) if isinstance(below, frozenset) else (below,)
        self.after = after
        self.low = low
        self.high = high
        self.kept = kept
        self.watched = kept is not None
        self.writing = kept is not None and kept.writing

    def holds(self, kept: Kept) -> bool:
        """Whether it is this frame that keeps what is at the top of `kept`."""
        return self.kept is kept and isinstance(self.low, Begun | frozenset)


def kept_in(stack: Stack) -> Kept | None:
    """What a stack keeps of values that must differ."""
    return None if stack is None else stack.kept


def frames_of(stack: Stack, kept: Kept | None = None) -> Iterator[Frame]:
    """All frames from a stack down, each once; `kept`: not below those that hold it."""
    known: set[Stack] = {None, stack}
    pending = [stack]
    while pending:
        frame = pending.pop()
        if frame is None:
            continue
        yield frame
        if kept is None or not frame.holds(kept):
            pending += [parent for parent in frame.parents if parent not in known]
            known.update(frame.parents)


def holders(stack: Stack, kept: Kept) -> list[Frame]:
    """The frames of a stack that hold what is at the top of `kept`: one on each way down."""
    return [frame for frame in frames_of(stack, kept) if frame.holds(kept)]


def contents(frame: Frame) -> tuple[Held, int | None]:
    """What a frame holds: its `low` and `high`."""
    return frame.low, frame.high


def first_begun(stack: Stack, value: Kept) -> int | None:
    """Where the first of the values begins that are being written above `value`; None: none has."""
    first, kept = None, kept_in(stack)
    while kept is not None and kept is not value:
        if isinstance(kept.held, Begun) and kept.held.at is not None:
            first = kept.held.at
        kept = kept.outer
    return first


def begun_earlier(frame: Frame, by: int) -> tuple[Held, int | None]:
    """The same in a text without its first `by` bytes."""
    low = frame.low
    return Begun(low.at - by) if isinstance(low, Begun) and low.at is not None else low, frame.high


class FrameTable:
    """Interns the frames of one automaton. Threads may share it."""

    def __init__(self) -> None:
        self._frames: dict[tuple[Below, int, Held, int | None], Frame] = {}
        self._kept: dict[tuple[Begun | frozenset[object], Kept | None], Kept] = {}

    def clear(self) -> None:
        """Forgets all frames; those in use stay valid, and are no longer found."""
        self._frames.clear()
        self._kept.clear()

    def push(self, below: Below, after: int, low: Held = 0, high: int | None = None) -> Frame:
        key = (below, after, low, high)
        frame = self._frames.get(key)
        if frame is None:
            kept = kept_in(next(iter(below)) if isinstance(below, frozenset) else below)
            if isinstance(low, Begun | frozenset):
                kept = self._kept.setdefault((low, kept), Kept(low, kept))
            frame = self._frames.setdefault(key, Frame(below, after, low, high, kept))
        return frame

    def rebuilt(
        self,
        stack: Stack,
        known: dict[Stack, Stack],
        content: Callable[[Frame], tuple[Held, int | None]],
        without: Iterable[Frame] = (),
    ) -> Stack:
        """The stack with other contents, `low` and `high`, down to the stacks that are `known`.

        `known` says what becomes of those, and learns it of all others. The frames `without` are
        left out, with those from which all ways down lead there; some way must be left.
        """
        known.setdefault(None, None)
        gone = set[Stack](without)
        pending = [] if stack in known else [stack]
        while pending:
            top = pending[-1]
            assert top is not None, "the empty stack is known"
            below = [parent for parent in top.parents if parent not in gone]
            unknown = [parent for parent in below if parent not in known]
            if unknown:
                pending += unknown
                continue
            pending.pop()
            if not below:
                gone.add(top)
            elif top not in known:
                low, high = content(top)
                stacks = {known[parent] for parent in below}
                known[top] = self.push(one_or_all(stacks), top.after, low, high)
        return known[stack]

    def begun(self, top: Frame, at: int) -> Frame:
        """The stack where the values that were to begin with the next byte have begun `at`."""
        lowest, kept = None, top.kept
        while kept is not None and is_next(kept):
            lowest, kept = kept, kept.outer
        if lowest is None:
            return top
        known = {stack: stack for frame in holders(top, lowest) for stack in frame.parents}
        stack = self.rebuilt(
            top,
            known,
            lambda frame: (Begun(at) if frame.low == NEXT else frame.low, frame.high),
        )
        assert stack is not None, "the stack is not empty"
        return stack

"""Places that say nothing new: they are joined with others, or left out.

Places that differ only below their top frames become one, above all the stacks that they had. And
of counts in the same place only the one that covers the others is kept: without this an ambiguous
repetition such as `(a|aa){0,1000}` would keep every possible count.
"""

from __future__ import annotations

from typing import TypeAlias

from .configuration import Place
from .frames import Frame, FrameTable, Held, Stack, kept_in, one_or_all
from .kept_values import Kept
from .scopes import Loop, Scope
from .terminal_state import TerminalState

_State: TypeAlias = "int | TerminalState"


def joined(places: frozenset[Place], scopes: list[Scope], frames: FrameTable) -> frozenset[Place]:
    """As few places as say the same."""
    if len({state for state, _ in places}) == len(places):
        return places
    return _without_dominated(_above_many(places, frames), scopes, frames)


def _above_many(places: frozenset[Place], frames: FrameTable) -> frozenset[Place]:
    groups: dict[tuple[_State, int, Held, int | None, Kept | None], list[Frame]] = {}
    kept: list[Place] = []
    for state, frame in places:
        if frame is None:
            kept.append((state, None))
            continue
        key = (state, frame.after, frame.low, frame.high, kept_in(frame.parents[0]))
        groups.setdefault(key, []).append(frame)
    if len(kept) + len(groups) == len(places):
        return places
    for (state, *_), group in groups.items():
        below = {parent for frame in group for parent in frame.parents}
        kept.append((state, _above(below, group[0], frames)))
    return frozenset(kept)


def _without_dominated(
    places: frozenset[Place], scopes: list[Scope], frames: FrameTable
) -> frozenset[Place]:
    """The places without those that have fewer iterations left than one of the same state."""
    most: dict[tuple[_State, int, Stack], int | None] = {}
    counted: list[tuple[_State, Frame]] = []
    kept: list[Place] = []
    for place in places:
        state, frame = place
        # low <= 1: this iteration is the last that must run, so only `high` tells places apart
        if (
            frame is None
            or frame.after >= 0
            or not isinstance(scopes[-1 - frame.after], Loop)
            or (isinstance(frame.low, int) and frame.low > 1)
        ):
            kept.append(place)
            continue
        counted.append((state, frame))
        for parent in frame.parents:
            key = (state, frame.after, parent)
            best = most.setdefault(key, frame.high)
            if best is not None and (frame.high is None or frame.high > best):
                most[key] = frame.high
    if len(counted) < 2:
        return places
    for state, frame in counted:
        below = {p for p in frame.parents if most[state, frame.after, p] == frame.high}
        if below:
            kept.append((state, _above(below, frame, frames)))
    return frozenset(kept)


def _above(below: set[Stack], frame: Frame, frames: FrameTable) -> Frame:
    """The content of `frame` above other stacks."""
    return frames.push(one_or_all(below), frame.after, frame.low, frame.high)

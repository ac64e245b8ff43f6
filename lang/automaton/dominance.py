"""Places that say nothing new: counts that another count covers.

Without this an ambiguous repetition such as `(a|aa){0,1000}` would keep every possible count.
"""

from __future__ import annotations

from .configuration import Place
from .frames import Frame
from .scopes import Loop, Scope
from .terminal_state import TerminalState


def without_dominated(places: frozenset[Place], scopes: list[Scope]) -> frozenset[Place]:
    """The places without those that have fewer iterations left than one of the same state."""
    most: dict[tuple[int | TerminalState, int, Frame | None], int | None] = {}
    counted: list[tuple[Place, tuple[int | TerminalState, int, Frame | None], int | None]] = []
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
        key = (state, frame.after, frame.parent)
        counted.append((place, key, frame.high))
        if key not in most:
            most[key] = frame.high
        else:
            best = most[key]
            if best is not None and (frame.high is None or frame.high > best):
                most[key] = frame.high
    kept += [place for place, key, high in counted if most[key] == high]
    return frozenset(kept) if len(kept) < len(places) else places

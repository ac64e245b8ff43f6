"""The shortest and the longest way through an automaton."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet


def path_lengths(
    following: Sequence[Collection[int]], accepting: AbstractSet[int]
) -> tuple[int, int | None]:
    """The least and the greatest length of a path from state 0 to an accepting one.

    None if there is no greatest, (0, 0) if there is no path. Every state can be reached, and all
    but state 0 lead to an accepting one.
    """
    layer, seen, low = {0}, {0}, 0
    while layer and not layer & accepting:
        layer = {to for state in layer for to in following[state]} - seen
        seen |= layer
        low += 1
    return (low, _longest(following)) if layer else (0, 0)


def _longest(following: Sequence[Collection[int]]) -> int | None:
    """In topological order; what a loop holds back has no greatest length."""
    entries = [0] * len(following)
    for targets in following:
        for to in targets:
            entries[to] += 1
    depth = [0] * len(following)
    ready = [] if entries[0] else [0]
    done = 0
    while ready:
        state = ready.pop()
        done += 1
        for to in following[state]:
            depth[to] = max(depth[to], depth[state] + 1)
            entries[to] -= 1
            if not entries[to]:
                ready.append(to)
    return max(depth) if done == len(following) else None

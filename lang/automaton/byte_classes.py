"""The 256 bytes in classes that lead from some places to the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .configuration import Place
from .terminal_state import TerminalState


class ByteClasses(NamedTuple):
    """Byte b leads to `reached[classes[b]]`, before moves that consume nothing."""

    classes: bytes
    reached: list[list[Place]]


def byte_classes(
    places: Iterable[Place], edges: Sequence[Sequence[tuple[int, int, int]]]
) -> ByteClasses:
    """The classes of all bytes at `places`; `edges`: those of the network's states."""
    moves: list[tuple[int, int, Place]] = []
    for state, stack in places:
        if isinstance(state, TerminalState):
            moves += [
                (byte, byte, (following, stack))
                for byte in state.next_bytes()
                if (following := state.step(byte)) is not None
            ]
        else:
            moves += [(first, last, (target, stack)) for first, last, target in edges[state]]
    bounds = sorted({0, *(move[0] for move in moves), *(move[1] + 1 for move in moves)} - {256})
    segment_of = {bound: i for i, bound in enumerate([*bounds, 256])}
    segments: list[list[Place]] = [[] for _ in bounds]
    for first, last, place in moves:
        for i in range(segment_of[first], segment_of[last + 1]):
            segments[i].append(place)
    reached: list[list[Place]] = []
    known: dict[frozenset[Place], int] = {}
    classes = bytearray()
    for i, segment in enumerate(segments):
        key = frozenset(segment)
        if key not in known:
            known[key] = len(reached)
            reached.append(segment)
        width = (bounds[i + 1] if i + 1 < len(bounds) else 256) - bounds[i]
        classes += bytes([known[key]]) * width
    return ByteClasses(bytes(classes), reached)

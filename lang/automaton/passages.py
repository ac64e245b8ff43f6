"""Terminals that quote: the passages of a given text."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right

from ..ir.nodes import Substring
from .terminal_state import TerminalState


class SubstringState(TerminalState):
    """A passage so far: `ends` are the places in the text, in bytes, where it can stand to end."""

    __slots__ = ("ends", "machine")

    def __init__(self, machine: SubstringMachine, ends: tuple[int, ...], accepting: bool) -> None:
        super().__init__(accepting, not any(machine.can_pass(end) for end in ends))
        self.machine = machine
        self.ends = ends

    def _step(self, byte: int) -> TerminalState | None:
        machine = self.machine
        data = machine.data
        ends = tuple(end + 1 for end in self.ends if machine.can_pass(end) and data[end] == byte)
        return machine.state(ends) if ends else None

    def _next_bytes(self) -> bytes:
        machine = self.machine
        return bytes(sorted({machine.data[end] for end in self.ends if machine.can_pass(end)}))


class SubstringMachine:
    """The passages of one text, followed at all their occurrences at once.

    Attributes:
        data: the text.
        stops: where a passage may end, in bytes.
    """

    def __init__(self, substring: Substring, alphabet: frozenset[int]) -> None:
        self.data = substring.text.encode()
        starts, stops = _boundaries(substring.text, substring.words)
        # a passage cannot run over a byte that no token has
        walls = [at for at, byte in enumerate(self.data) if byte not in alphabet]
        self._walls = walls
        self.stops = frozenset(stops)
        self._stop_list = sorted(stops)
        self._starts = tuple(start for start in sorted(starts) if self.can_pass(start))

    def start(self) -> TerminalState:
        return SubstringState(self, self._starts, accepting=False)

    def state(self, ends: tuple[int, ...]) -> SubstringState:
        return SubstringState(self, ends, any(end in self.stops for end in ends))

    def can_pass(self, end: int) -> bool:
        """Whether a passage that stands at `end` can take one more byte."""
        at = bisect_right(self._stop_list, end)
        return at < len(self._stop_list) and not _any_between(self._walls, end, self._stop_list[at])


def _boundaries(text: str, words: bool) -> tuple[set[int], set[int]]:
    """Where, in bytes of its UTF-8, a passage of `text` may begin and where it may end."""
    if words:
        spans = [(m.start(), m.end()) for m in re.finditer(r"\w+|[^\w\s]", text)]
        starts, stops = {start for start, _ in spans}, {stop for _, stop in spans}
    else:
        starts, stops = set(range(len(text))), set(range(1, len(text) + 1))
    offset = 0
    in_bytes = [0]
    for char in text:
        offset += len(char.encode())
        in_bytes.append(offset)
    return {in_bytes[i] for i in starts}, {in_bytes[i] for i in stops}


def _any_between(places: list[int], start: int, stop: int) -> bool:
    at = bisect_left(places, start)
    return at < len(places) and places[at] < stop

"""Values that must differ: when two JSON texts are one value, and whether another one is left.

A list of distinct values is not context-free, so the automaton keeps the values in its stack, and
never goes where every way to finish the current value repeats one of them (`Completions`), nor
where only such a value can follow (`can_reach`).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Hashable
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .automaton import Automaton
    from .configuration import Configuration

MAX_STEPS = 4000
"""Bytes that a search tries before it takes its goal for one that can be reached."""

_KEPT = 2000

_CLOSING = b'"]}1'
"""What most often completes a JSON value, and is tried first."""


def value_of(text: bytes) -> Hashable:
    """What two texts share exactly if they are the same JSON value: 1 and 1.0, keys in any order.

    A text that is no JSON stands for itself.
    """
    try:
        value = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        return text
    return _frozen(value)


def strings_among(values: AbstractSet[object]) -> list[str]:
    """The strings among values that `value_of` made."""
    return [value[1] for value in values if isinstance(value, tuple) and value[0] == "string"]


def _frozen(value: object) -> Hashable:
    match value:
        case dict():
            return "object", frozenset((key, _frozen(below)) for key, below in value.items())
        case list():
            return "array", tuple(map(_frozen, value))
        case bool():
            return "boolean", value
        case Decimal():
            return "number", value  # equal ones hash alike, whatever their digits
        case _:
            return value if value is None else ("string", value)


class Completions:
    """The ways to complete the texts of one automaton, which runs one value; remembered."""

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._known: dict[Configuration, bytes | None] = {}

    def of(self, at: Configuration) -> bytes | None:
        """What completes a text that led to `at`; None if MAX_STEPS bytes do not find it."""
        if at not in self._known:
            if len(self._known) > _KEPT:
                self._known.clear()
            self._known[at] = self._search(at)
        return self._known[at]

    def _search(self, at: Configuration) -> bytes | None:
        if at.accepting:
            return b""
        automaton = self._automaton
        ways: dict[Configuration, bytes] = {at: b""}
        queue = deque([at])
        steps = 0
        while queue and steps <= MAX_STEPS:
            here = queue.popleft()
            legal = automaton.next_bytes(here)
            steps += len(legal)
            closing = [byte for byte in _CLOSING if byte in legal]
            for byte in (*closing, *legal):
                following = automaton.step(here, byte)
                assert following is not None, "the byte is legal"
                if following in ways:
                    continue
                way = ways[following] = ways[here] + bytes((byte,))
                if following.accepting:
                    return way
                rest = self._known.get(following)
                if rest is not None:
                    return way + rest
                queue.append(following)
        return None

    def can_be_fresh(self, at: Configuration, text: bytes, seen: AbstractSet[object]) -> bool:
        """Whether `text`, which led to `at`, can be completed to a value that is not in `seen`.

        Most often one completion tells. Else shortest ones come first, and of the bytes that lead
        to the same place only as many as are needed to get past `seen`. After MAX_STEPS bytes the
        answer is yes: so many spellings of so few values occur only where a value has endless ones.
        """
        rest = self.of(at)
        if rest is None or (rest and value_of(text + rest) not in seen):
            return True
        automaton = self._automaton
        queue = deque([(at, text)])
        steps = 0
        while queue:
            here, so_far = queue.popleft()
            ways: dict[Configuration, int] = {}
            legal = automaton.next_bytes(here)
            steps += len(legal)
            for byte in legal:
                following = automaton.step(here, byte)
                assert following is not None, "the byte is legal"
                count = ways.get(following, 0)
                if count > len(seen):
                    continue
                ways[following] = count + 1
                longer = so_far + bytes((byte,))
                if following.accepting and value_of(longer) not in seen:
                    return True
                queue.append((following, longer))
            if steps > MAX_STEPS:
                return True
        return False


def can_reach(
    automaton: Automaton, start: Configuration, found: Callable[[Configuration], bool]
) -> bool:
    """Whether some text leads from `start` to what is `found`; yes after MAX_STEPS bytes."""
    queue = deque([start])
    known = {start}
    steps = 0
    while queue:
        here = queue.popleft()
        if found(here):
            return True
        legal = automaton.next_bytes(here)
        steps += len(legal)
        for byte in legal:
            following = automaton.step(here, byte)
            assert following is not None, "the byte is legal"
            if following not in known:
                known.add(following)
                queue.append(following)
        if steps > MAX_STEPS:
            return True
    return False

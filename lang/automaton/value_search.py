"""Looking ahead where values must differ: whether there is a text that goes on as it should."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from .distinct import SeenValues, value_of
from .terminal_state import TerminalState

if TYPE_CHECKING:
    from .automaton import Automaton
    from .configuration import Configuration

MAX_STEPS = 4000
"""Bytes that a search tries before it takes its goal for one that can be reached."""


class Budget:
    """The bytes that a search may still try, with those that it begins on its way."""

    def __init__(self) -> None:
        self.left = MAX_STEPS


MAX_LOOKED = 200
"""Configurations among which a string of any length is looked for."""

QUOTE, BACKSLASH = b'"\\'


def can_be_fresh(
    automaton: Automaton,
    at: Configuration,
    text: bytes,
    possible: SeenValues,
    seen: frozenset[object],
    budget: Budget,
) -> bool:
    """Whether `text`, which led to `at`, can be completed to a value that is not in `seen`.

    `automaton` runs one value; `possible`: those of `seen` that the text can still become.
    It can unless every way on spells one of them to its end, so only such ways are followed: the
    first byte that leaves them all is the answer. Ways that meet are followed once; in a number, as
    often as it takes to get past the values that differ in zeros only. Once the budget is spent the
    answer is yes: so many ways lead through so few values only where there are many more.
    """
    pending = [(at, text, possible)]
    times: dict[tuple[Configuration, Hashable], int] = {}
    while pending and budget.left > 0:
        here, so_far, values = pending.pop()
        for byte in automaton.next_bytes(here):
            budget.left -= 1
            left = values.step(byte)
            if not left:
                return True
            following = automaton.step(here, byte)
            assert following is not None, "the byte is legal"
            longer = so_far + bytes((byte,))
            if following.accepting and value_of(longer) not in seen:
                return True
            # the place says what `following` has of the text: only so spellings of one value meet
            key = (following.core, left.place)
            known = times.get(key, 0)
            if known <= (left.count if left.is_number else 0):
                times[key] = known + 1
                pending.append((following, longer, left))
    return bool(pending) or budget.left <= 0


def is_endless(automaton: Automaton, start: Configuration) -> bool:
    """Whether it is sure that the texts of `automaton` from `start` are endlessly many values.

    So they are where a string, of a value or a key, can be of any length; the first MAX_LOOKED
    configurations are looked at.
    """
    pending = [(start, False)]
    known = {start}
    while pending and len(known) <= MAX_LOOKED:
        here, in_string = pending.pop()
        if in_string and any(
            isinstance(state, TerminalState) and state.is_endless() for state, _ in here.places
        ):
            return True
        classes, targets = automaton.successors(here)
        ways = [(classes.index(i), to) for i, to in enumerate(targets) if to is not None]
        for byte, following in sorted(ways, key=lambda way: way[0] == QUOTE):
            if byte != BACKSLASH and following not in known:
                known.add(following)
                pending.append((following, in_string != (byte == QUOTE)))
    return False


def can_reach(
    automaton: Automaton, start: Configuration, found: Callable[[Configuration], bool]
) -> bool:
    """Whether some text leads from `start` to what is `found`; yes after MAX_STEPS bytes."""
    queue = deque([start])
    known = {start}
    steps = 0
    while queue and steps <= MAX_STEPS:
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
    return bool(queue)

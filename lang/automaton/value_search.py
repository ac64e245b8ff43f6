"""Looking ahead where values must differ: whether there is a text that goes on as it should."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Sequence
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
"""Configurations among which a string or number of any length is looked for."""

QUOTE, BACKSLASH, ONE = b'"\\1'


def fresh_text(
    automaton: Automaton,
    at: Configuration,
    text: bytes,
    possible: SeenValues,
    seen: frozenset[object],
    budget: Budget,
) -> tuple[bytes, Configuration] | None:
    """How `text`, which led to `at`, goes on to a value that is not in `seen`, as far as it takes.

    What is returned, with where it leads to, can be completed, and each of its completions is such
    a value. None: there is no such value, unless the budget is spent, when nothing is known: so
    many ways lead through so few values only where there are many more.

    `automaton` runs one value; `possible`: those of `seen` that the text can still become.
    Every way on that is no answer spells one of them to its end, so only such ways are followed:
    the first byte that leaves them all is the answer. Ways that meet are followed once; in a
    number, as often as it takes to get past the values that differ in zeros only.
    """
    pending = [(at, text, possible)]
    times: dict[tuple[Configuration, Hashable], int] = {}
    while pending and budget.left > 0:
        here, so_far, values = pending.pop()
        for byte in automaton.next_bytes(here):
            budget.left -= 1
            left = values.step(byte)
            following = automaton.step(here, byte)
            if following is None:
                continue  # into a list of which nobody knows yet that it is not possible
            longer = so_far + bytes((byte,))
            if not left or (following.accepting and value_of(longer) not in seen):
                return longer, following
            # the place says what `following` has of the text: only so spellings of one value meet
            key = (following.core, left.place)
            known = times.get(key, 0)
            if known <= (left.count if left.is_number else 0):
                times[key] = known + 1
                pending.append((following, longer, left))
    return None


def shortest_end(automaton: Automaton, start: Configuration, budget: Budget) -> bytes | None:
    """The shortest text that completes one that led to `start`; None: the budget is spent."""
    queue = deque([(start, b"")])
    known = {start}
    while queue and budget.left > 0:
        here, text = queue.popleft()
        if here.accepting:
            return text
        for byte in automaton.next_bytes(here):
            budget.left -= 1
            following = automaton.step(here, byte)
            if following is not None and following not in known:
                known.add(following)
                queue.append((following, text + bytes((byte,))))
    return None


def all_differ(choices: Sequence[Collection[object]]) -> bool:
    """Whether one value can be taken from each of `choices` with no two alike.

    A bipartite matching, grown by augmenting paths (Kuhn, 1955).
    """
    taken: dict[object, int] = {}

    def takes(number: int, asked: set[object]) -> bool:
        for value in choices[number]:
            if value not in taken:
                taken[value] = number
                return True
        for value in choices[number]:
            if value not in asked:
                asked.add(value)
                if takes(taken[value], asked):
                    taken[value] = number
                    return True
        return False

    return all(takes(number, set()) for number in range(len(choices)))


def is_endless(automaton: Automaton, start: Configuration) -> bool:
    """Whether it is sure that the texts of `automaton` from `start` are endlessly many values.

    So they are where a string, of a value or a key, can be of any length, or a number have any
    number of ones in a row; the first MAX_LOOKED configurations are looked at.
    """
    pending = [(start, False)]
    known = {start}
    while pending and len(known) <= MAX_LOOKED:
        here, in_string = pending.pop()
        if in_string and any(
            isinstance(state, TerminalState) and state.is_endless() for state, _ in here.places
        ):
            return True
        if automaton.step(here, ONE) is here:
            return True
        classes, targets = automaton.successors(here)
        ways = [(classes.index(i), to) for i, to in enumerate(targets) if to is not None]
        for byte, following in sorted(ways, key=lambda way: way[0] == QUOTE):
            if byte != BACKSLASH and following not in known:
                known.add(following)
                pending.append((following, in_string != (byte == QUOTE)))
    return False

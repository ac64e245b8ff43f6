"""Where a growing text first holds a passage: stop strings and stop expressions.

The automaton of the passages starts anew at every character. Of all the runs that are in one state
only the one that began first matters, so there are never more runs than states, and reading a
character costs the same however long the text is. Unlike a search with `re` after each step, this
knows at any time from where on the text may still become a passage.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from .errors import ParameterError, RegexError
from .ir.nodes import Alt, Literal
from .regex.expressions import parse_passage
from .regular.alphabet import NO_CLASS
from .regular.nfa import TooLarge
from .regular.table import DEAD, Table

MAX_STOP_CHARACTERS = 2_000
"""All stop strings of a generation together."""

_KEPT = 128


class Passage(NamedTuple):
    """Characters `start` to `end` of a text."""

    start: int
    end: int


class Search:
    """Reads a text piece by piece until it holds a text of one of `automata`.

    The passage that ends first is found; of several that end there, the one that begins first. No
    automaton may accept the empty text.
    """

    def __init__(self, automata: Iterable[Table]) -> None:
        self._automata = tuple(automata)
        self._runs: list[dict[int, int]] = [{} for _ in self._automata]
        """For each automaton: state -> where the first of the runs that are in it began."""
        self._at = 0

    def read(self, text: str) -> Passage | None:
        """Reads more text; the passage that is now complete. Nothing is read behind it."""
        for char in text:
            found: int | None = None
            for number, automaton in enumerate(self._automata):
                runs = self._step(automaton, self._runs[number], char)
                self._runs[number] = runs
                for state in runs.keys() & automaton.accepting:
                    found = runs[state] if found is None else min(found, runs[state])
            self._at += 1
            if found is not None:
                return Passage(found, self._at)
        return None

    def _step(self, automaton: Table, runs: dict[int, int], char: str) -> dict[int, int]:
        """The runs after one more character; one of them begins at it."""
        kind = automaton.alphabet.of(char)
        if kind == NO_CLASS:
            return {}
        if not runs and automaton.rows[0][kind] == DEAD:
            return runs  # nearly every character of a text
        after: dict[int, int] = {}
        for state, start in (*runs.items(), (0, self._at)):
            to = automaton.rows[state][kind]
            if to != DEAD:
                after[to] = min(start, after.get(to, start))
        return after

    @property
    def pending(self) -> int:
        """Where text begins that more text may make a passage; the length read if there is none."""
        return min((start for runs in self._runs for start in runs.values()), default=self._at)


@lru_cache(_KEPT)
def stop_automata(stop: tuple[str, ...], stop_regex: str | None) -> tuple[Table, ...]:
    """The automata of the texts at which a generation stops; none if there are no such texts.

    Raises RegexError for an expression with no exact automaton, or one that matches the empty text,
    ParameterError for texts that are too long or many.
    """
    automata: list[Table] = []
    if stop:
        size = sum(map(len, stop))
        if size > MAX_STOP_CHARACTERS:
            raise ParameterError(
                "stop", f"{size} characters in total are more than {MAX_STOP_CHARACTERS}"
            )
        try:
            automata.append(Table.of_node(Alt(tuple(map(Literal, stop)))))
        except TooLarge as error:
            raise ParameterError("stop", "too many different texts; keep a few") from error
    if stop_regex is not None:
        automata.append(_expression(stop_regex))
    return tuple(automata)


def _expression(pattern: str) -> Table:
    try:
        automaton = Table.of_node(parse_passage(pattern))
    except TooLarge as error:
        raise RegexError(
            "too large to look for; use smaller counts or classes", pattern, 0
        ) from error
    if 0 in automaton.accepting:
        raise RegexError(
            "matches the empty text, so nothing would be generated; ask for one character",
            pattern,
            0,
        )
    if automaton.is_empty:
        raise RegexError("matches no text at all", pattern, 0)
    return automaton

"""Chat of several turns, with short answers or long ones, on the model's own template."""

from __future__ import annotations

from dataclasses import dataclass

from .base import Branch, Workload
from .data import Data

QUESTIONS = ("What is this about? {}", "And this? {}", "How do the two differ? {}", "In short? {}")


@dataclass(frozen=True, slots=True)
class Row:
    turns: tuple[str, ...]
    tokens: int


def chat_short(data: Data, rows: int, turns: int) -> Workload:
    """So many conversations about passages, with answers of a few words."""
    made = [
        Row(
            tuple(
                QUESTIONS[turn % len(QUESTIONS)].format(
                    data.documents[number % len(data.documents)].words(50, start=50 * turn)
                )
                for turn in range(turns)
            ),
            tokens=8,
        )
        for number in range(rows)
    ]
    return Workload("chat, short answers", made, _program)


def chat_long(data: Data, rows: int, turns: int, tokens: int) -> Workload:
    """So many conversations of brief questions, with answers of so many tokens."""
    short = [turn for pair in data.turns for turn in pair if len(turn.split()) < 60]
    made = [
        Row(tuple(short[(number * turns + turn) % len(short)] for turn in range(turns)), tokens)
        for number in range(rows)
    ]
    return Workload("chat, long answers", made, _program)


def _program(s: Branch, row: Row) -> None:
    for number, text in enumerate(row.turns):
        s.user(text)
        s.assistant(f"answer_{number}", row.tokens)
    s[f"answer_{len(row.turns) - 1}"]

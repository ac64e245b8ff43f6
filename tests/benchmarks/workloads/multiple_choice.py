"""Few-shot multiple choice: five worked examples a subject, one letter to choose."""

from __future__ import annotations

from dataclasses import dataclass

from .base import Branch, Workload
from .data import Choice, Data

LETTERS = "ABCD"
OPTIONS = tuple(f" {letter}" for letter in LETTERS)


@dataclass(frozen=True, slots=True)
class Row:
    shots: str
    question: str
    right: str


def multiple_choice(data: Data, subjects: int, questions: int) -> Workload:
    """So many questions of each of so many subjects, subject by subject."""
    rows = [
        Row(_shots(subject.name, subject.shots), _asked(choice), OPTIONS[choice.right])
        for subject in data.subjects[-subjects:]
        for choice in subject.questions[:questions]
    ]
    return Workload(
        "few-shot multiple choice", rows, _program, is_right=lambda row, answer: answer == row.right
    )


def _program(s: Branch, row: Row) -> str:
    s.add(row.shots)
    s.add(row.question)
    s.select("answer", OPTIONS)
    return s["answer"]


def _shots(subject: str, shots: tuple[Choice, ...]) -> str:
    examples = "".join(f"{_asked(shot)}{OPTIONS[shot.right]}\n\n" for shot in shots)
    return f"The following are multiple choice questions about {subject}.\n\n{examples}"


def _asked(choice: Choice) -> str:
    options = "".join(
        f"\n{letter}. {option}" for letter, option in zip(LETTERS, choice.options, strict=True)
    )
    return f"{choice.question}{options}\nAnswer:"

"""Few-shot completion ranking: which of four endings goes on best.

treegram scores all four and takes the likeliest per token; the other engines follow the likeliest
token among those that some ending allows. That is fewer tokens for them, and often another ending;
so there is a second one in which all engines do that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .base import Branch, Workload
from .data import Choice, Data

SHOTS = 8


@dataclass(frozen=True, slots=True)
class Row:
    shots: str
    context: str
    endings: tuple[str, ...]
    right: str


def completion_ranking(data: Data, rows: int) -> Workload:
    """So many contexts behind the same examples."""
    shots = "".join(
        f"{shot.question}{_ending(shot, shot.right)}\n\n" for shot in data.endings[:SHOTS]
    )
    made = [
        Row(
            shots,
            choice.question,
            tuple(_ending(choice, i) for i in range(len(choice.options))),
            _ending(choice, choice.right),
        )
        for choice in data.endings[SHOTS : SHOTS + rows]
    ]
    return Workload(
        "completion ranking", made, _program, is_right=lambda row, answer: answer == row.right
    )


def completion_following(data: Data, rows: int) -> Workload:
    """The same rows; every engine follows the likeliest token."""
    ranking = completion_ranking(data, rows)
    return replace(ranking, name="completion by token", program=_follow)


def _ending(choice: Choice, index: int) -> str:
    return f" {choice.options[index]}"


def _program(s: Branch, row: Row) -> str:
    return _complete(s, row, s.select)


def _follow(s: Branch, row: Row) -> str:
    return _complete(s, row, s.follow)


def _complete(s: Branch, row: Row, choose: Callable[[str, Sequence[str]], None]) -> str:
    s.add(row.shots)
    s.add(row.context)
    choose("ending", row.endings)
    return s["ending"]

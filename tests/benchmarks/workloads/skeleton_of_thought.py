"""Skeleton of thought (arXiv:2307.15337): an outline first, then its points all at once."""

from __future__ import annotations

from .base import Branch, Workload
from .data import Data

INSTRUCTIONS = """\
Answer in two steps. First write an outline of three short points. Then write each point out in a \
few sentences that can be read by themselves, without repeating the others.

Question: How do bees find flowers?
Outline: 1. Colours and patterns. 2. Scent. 3. What other bees tell.
Point 1: Bees see ultraviolet light, and many petals carry lines in it that lead to the nectar. \
They soon learn which colours pay.
Point 2: A flower's scent reaches further than its colour. A bee that found nectar keeps to the \
same scent for the rest of the day.
Point 3: A forager that comes home dances, and the angle and length of the dance tell the others \
the direction and distance of what it found.

"""

POINTS = 4
OUTLINE_TOKENS, POINT_TOKENS = 32, 32


def skeleton_of_thought(data: Data, rows: int) -> Workload:
    """So many questions."""
    questions = [turns[0] for turns in data.turns if len(turns[0].split()) < 80]
    return Workload("skeleton of thought", questions[:rows], _program, branches=POINTS)


def _program(s: Branch, question: str) -> None:
    s.add(INSTRUCTIONS)
    s.add(f"Question: {question}\nOutline:")
    s.generate("outline", OUTLINE_TOKENS)
    for branch in s.fork(POINTS, _expand):
        branch["point"]


def _expand(s: Branch, index: int) -> None:
    s.add(f"\nPoint {index + 1}:")
    s.generate("point", POINT_TOKENS)

"""Tree of thought (arXiv:2305.10601): three plans for a problem, each executed and reflected on."""

from __future__ import annotations

from .base import Branch, Workload
from .data import Data, Problem

INSTRUCTIONS = """\
Solve the problem in three stages. First write a plan: which quantities are given, which is asked \
for, and in what order they follow from each other. Then carry the plan out, one calculation after \
another, and say what each result stands for. At last reflect: look for a step that does not \
follow, a unit that was mixed up, a number that was read wrongly, and say what the answer is.

Problem: A baker fills 12 trays with 8 rolls each and sells 70 of the rolls. How many are left?
Plan: Multiply trays by rolls to get all rolls, then subtract the ones that were sold.
Execution: 12 x 8 = 96 rolls were baked. 96 - 70 = 26 rolls are left.
Reflection: All rolls were counted, and those sold were taken away once. The answer is 26.

Problem: A train runs 240 kilometres in 3 hours, then 150 kilometres in 2 hours. What is its mean \
speed?
Plan: Add the distances, add the times, then divide the one by the other.
Execution: 240 + 150 = 390 kilometres in 3 + 2 = 5 hours. 390 / 5 = 78 kilometres an hour.
Reflection: The mean of two speeds would have been wrong, since the times differ. The answer is 78.

"""

BRANCHES = 3
WAYS = ("the shortest", "a careful", "an unusual")
PLAN_TOKENS = EXECUTION_TOKENS = REFLECTION_TOKENS = 24


def tree_of_thought(data: Data, rows: int) -> Workload:
    """So many problems; a row is right where a branch names its number last."""
    return Workload(
        "tree of thought",
        data.problems[:rows],
        _program,
        branches=BRANCHES,
        is_right=lambda problem, answer: problem.answer in answer.split(),
    )


def _program(s: Branch, problem: Problem) -> str:
    s.add(INSTRUCTIONS)
    s.add(f"Problem: {problem.question}\n")
    branches = s.fork(BRANCHES, _think)
    return " ".join(
        word.strip(".,$ ") for branch in branches for word in branch["reflection"].split()
    )


def _think(s: Branch, index: int) -> None:
    s.add(f"Plan ({WAYS[index]} way):")
    s.generate("plan", PLAN_TOKENS)
    s.add("\nExecution:")
    s.generate("execution", EXECUTION_TOKENS)
    s.add("\nReflection:")
    s.generate("reflection", REFLECTION_TOKENS)

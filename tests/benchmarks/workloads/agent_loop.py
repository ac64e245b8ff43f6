"""An agent (ReAct, arXiv:2210.03629): thought, action, what came of it, and again.

What came of an action is a passage fixed beforehand, so that every engine reads the same however it
thinks.
"""

from __future__ import annotations

from dataclasses import dataclass

from .base import Branch, Workload
from .data import Data

INSTRUCTIONS = """\
Answer the question by turns of Thought, Action and Observation. A Thought says what is known and \
what is missing. An Action is one of Search[subject], which gives the first paragraph about the \
subject, Lookup[word], which gives the next sentence with the word in the last paragraph, and \
Finish[answer], which ends the task.

Question: Which of two rivers is longer, the Rhine or the Elbe?
Thought 1: I need the length of both rivers. I start with the Rhine.
Action 1: Search[Rhine]
Observation 1: The Rhine is one of the major rivers of Europe. It begins in Switzerland and flows \
through six countries to the North Sea. It is about 1,230 kilometres long.
Thought 2: The Rhine has 1,230 kilometres. Now I need the Elbe.
Action 2: Search[Elbe]
Observation 2: The Elbe rises in the Giant Mountains in the north of the Czech Republic and flows \
into the North Sea near Cuxhaven. Its length is 1,094 kilometres.
Thought 3: 1,230 is more than 1,094, so the Rhine is longer.
Action 3: Finish[Rhine]

Question: In which decade was the author of the play Hedda Gabler born?
Thought 1: I need the author of Hedda Gabler first.
Action 1: Search[Hedda Gabler]
Observation 1: Hedda Gabler is a play of 1891 by the Norwegian playwright Henrik Ibsen.
Thought 2: Henrik Ibsen wrote it. I need the year in which he was born.
Action 2: Search[Henrik Ibsen]
Observation 2: Henrik Ibsen, born on 20 March 1828 in Skien, was a playwright and theatre director.
Thought 3: 1828 is in the 1820s.
Action 3: Finish[the 1820s]

"""

THOUGHT_TOKENS, ACTION_TOKENS = 20, 10
WORDS_READ = 45


@dataclass(frozen=True, slots=True)
class Row:
    question: str
    observations: tuple[str, ...]


def agent_loop(data: Data, rows: int, steps: int) -> Workload:
    """So many questions, so many steps each."""
    made = [
        Row(
            problem.question,
            tuple(
                data.documents[(number * steps + step) % len(data.documents)].words(WORDS_READ)
                for step in range(steps)
            ),
        )
        for number, problem in enumerate(data.questions[:rows])
    ]
    return Workload("agent loop", made, _program)


def _program(s: Branch, row: Row) -> None:
    s.add(INSTRUCTIONS)
    s.add(f"Question: {row.question}\n")
    for step, observation in enumerate(row.observations, 1):
        s.add(f"Thought {step}:")
        s.generate(f"thought_{step}", THOUGHT_TOKENS)
        s.add(f"\nAction {step}:")
        s.generate(f"action_{step}", ACTION_TOKENS)
        s.add(f"\nObservation {step}: {observation}\n")
    s.add("Thought:")
    s.generate("answer", THOUGHT_TOKENS)
    s["answer"]

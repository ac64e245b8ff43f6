"""Judge four answers to a customer by two criteria each, and choose the one to send.

The worked examples are read once. A fork gives every answer a branch, and a fork of that branch
gives every criterion a branch of its own, so that no grade influences another; all eight grades are
computed together. A grade is how much likelier the model finds the good label than the bad one,
taken from the scores of `select`.

    python examples/judge.py
    treegram run examples/judge.py:judge --arg 'answers=["Go away.", "We are happy to help."]'
"""

from __future__ import annotations

import sys
from statistics import mean

import treegram as tg

QUESTION = "I forgot my password, what can I do?"

CRITERIA = {"Tone": ["friendly", "rude"], "Subject": ["password", "parcel"]}

EXAMPLES = [
    ("Who cares when you can sign in? Leave us alone.", "rude", "password"),
    ("Please click on Forgot password. Thank you for asking.", "friendly", "password"),
    ("Your parcel is on its way, thank you for your patience.", "friendly", "parcel"),
    ("Change your password yourself, you fool.", "rude", "password"),
    ("How should I know where your parcel is? Stop asking.", "rude", "parcel"),
    ("We are happy to help. Choose a new password under Settings.", "friendly", "password"),
    ("It is your own fault that you forgot your password, idiot.", "rude", "password"),
    ("Thank you for waiting. Your parcel left Lyon this morning.", "friendly", "parcel"),
    ("Your parcel comes when it comes, stupid.", "rude", "parcel"),
]

ANSWERS = [
    "Nobody can help a fool who forgets his password.",
    "Your parcel will be with you on Friday, thank you for waiting.",
    "I am happy to help: you can reset your password with the code on your phone.",
    "Read the manual, idiot.",
]


@tg.function
def judge(s: tg.State, answers: list[str]) -> None:
    """Grades the answers to a customer's question and decides which one to send."""
    s += f"A customer asks: {QUESTION}\n\n"
    for text, tone, subject in EXAMPLES:
        s += f"Answer: {text}\nTone: {tone}\nSubject: {subject}\n\n"

    branches = s.fork(len(answers))
    branches += [f"Answer: {answer}\n" for answer in answers]
    judges = [branch.fork(len(CRITERIA)) for branch in branches]
    for panel in judges:
        panel += [f"{name}: " + tg.select(name, labels) for name, labels in CRITERIA.items()]

    odds = [
        {name: log_odds(branch, name) for name, branch in zip(CRITERIA, panel, strict=True)}
        for panel in judges
    ]
    # A small model leans to one label whatever it reads, so an answer is compared with the others.
    usual = {name: mean(row[name] for row in odds) for name in CRITERIA}
    s["grades"] = [{name: row[name] - usual[name] for name in CRITERIA} for row in odds]
    # The worst grade decides: kind words do not make up for an answer to another question.
    worst = [min(grades.values()) for grades in s["grades"]]
    s["best"] = answers[worst.index(max(worst))]


def log_odds(branch: tg.State, criterion: str) -> float:
    """How much likelier the good label is than the bad one (natural logarithm)."""
    scores = branch.meta(criterion).scores
    assert scores is not None
    good, bad = (sum(score.logprobs) for score in scores)
    return good - bad


def main() -> int:
    """Judges the answers; the exit status is 0."""
    state = judge.run(ANSWERS)
    print(f"Question: {QUESTION}\n")
    print("".join(f"{name:>9}" for name in CRITERIA))
    for answer, grades in zip(ANSWERS, state["grades"], strict=True):
        cells = "".join(f"{grade:>+9.1f}" for grade in grades.values())
        mark = "  <- send this" if answer == state["best"] else ""
        print(f"{cells}  {answer}{mark}")
    usage = state.usage
    print(
        f"\n{len(ANSWERS) * len(CRITERIA)} grades read {usage.prompt_tokens} prompt tokens, "
        f"{usage.cached_tokens} of them from the cache"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

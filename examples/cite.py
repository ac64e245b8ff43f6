"""Answers with their source: each is an exact quote from a letter, with the place where it stands.

Between quotation marks the model can write nothing but passages of the letter, so no answer is made
up, and its place tells a reader where to look. All questions share the letter, which is evaluated
once.

    python examples/cite.py
    treegram run examples/cite.py:answer --arg question="Why are the chairs late?"
"""

from __future__ import annotations

import sys

import treegram as tg

LETTER = """\
Dear Ms Okafor, the oak table left Leeds on Tuesday and should reach you within five days. The \
chairs are delayed, because the fabric arrived late. We expect to send them on 2 April. If \
anything is damaged, please call us. Regards, Tom Whitfield"""

QUESTIONS = [
    "Who wrote the letter?",
    "Why are the chairs delayed?",
    "What left Leeds?",
    "When will the table arrive?",
]

EXAMPLES = """\
Letter: Dear Sam, the meeting was moved from Friday to Monday, because the hall is being painted. \
We meet at 9 in the library. Regards, Lucy
Question: Who wrote the letter?
Answer: "Lucy"
Question: Why was the meeting moved?
Answer: "because the hall is being painted"
Question: What was moved?
Answer: "the meeting"
Question: When will we meet?
Answer: "at 9"
"""

SOURCE = tg.SubstringOf(LETTER, words=True)
QUOTE = tg.Tag('"', '"', substring_of=SOURCE)


@tg.function
def answer(s: tg.State, question: str) -> None:
    """Quotes the passage of the letter that answers a question."""
    s += f"{EXAMPLES}\nLetter: {LETTER}\nQuestion: {question}\nAnswer:"
    s += tg.gen("answer", tags=tg.Tags([QUOTE], at_least_one=True, stop_after_first=True))


def main() -> int:
    """Asks all questions and shows each quote between its neighbours."""
    states = answer.run_batch([(question,) for question in QUESTIONS])
    for question, state in zip(QUESTIONS, states, strict=True):
        quote = state["answer"][-1].value
        place = SOURCE.place(quote)
        assert place is not None
        before, after = LETTER[: place.start][-24:], LETTER[place.end :][:24]
        print(f"{question}\n  {place.start}-{place.end}: ...{before}[{quote}]{after}...")
    usage = sum((state.usage for state in states), tg.Usage())
    share = usage.cached_tokens / usage.prompt_tokens
    print(f"{share:.1%} of {usage.prompt_tokens} prompt tokens came from the cache")
    return 0


if __name__ == "__main__":
    sys.exit(main())

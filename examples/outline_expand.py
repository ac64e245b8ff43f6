"""Write an outline of questions, then answer all of them at once in parallel branches.

A regular expression fixes the form of each outline item: its question word, its length, the
question mark. The branches of the fork share everything written so far, so no branch evaluates the
prompt again, and joining appends their answers in the order of the outline.

    python examples/outline_expand.py
    treegram run examples/outline_expand.py:article --arg topic=bicycles --text
"""

from __future__ import annotations

import sys

import treegram as tg

QUESTION_WORDS = ["What", "Why", "How", "Where"]
TOPICS = ["earthquakes", "libraries"]

EXAMPLES = """\
Topic: bees
- What is a bee?
- Why do bees visit flowers?
- How do bees make honey?
- Where do bees live?
What is a bee? A bee is a flying insect with six legs, four wings and a sting.
Why do bees visit flowers? Bees collect nectar and pollen from flowers to feed the hive.
How do bees make honey? Bees let the nectar dry in the comb until it is thick and sweet.
Where do bees live? Most honey bees live in hives, and wild bees nest in the ground or in wood.

Topic: bridges
- What is a bridge?
- Why do people build bridges?
- How do bridges carry heavy loads?
- Where is the longest bridge?
What is a bridge? A bridge is a structure that carries a road or a railway across an obstacle.
Why do people build bridges? People build bridges to cross rivers without a long detour.
How do bridges carry heavy loads? An arch presses its load into the ground on both sides.
Where is the longest bridge? The longest bridge in the world is a railway bridge in China.

"""


def item_pattern(question_word: str) -> str:
    """What an item of the outline looks like, as a regular expression."""
    return question_word + r" [a-z ]{5,50}\?"


@tg.function
def article(s: tg.State, topic: str) -> None:
    """A short article: four questions on a topic, and a sentence that answers each."""
    s += f"{EXAMPLES}Topic: {topic}\n"
    for word in QUESTION_WORDS:
        item = tg.gen(word, regex=item_pattern(word), max_tokens=24, repetition_penalty=1.1)
        s += "- " + item + "\n"
    questions: list[str] = [s[word] for word in QUESTION_WORDS]

    branches = s.fork(len(questions))
    for branch, question in zip(branches, questions, strict=True):
        branch += question
        branch += tg.gen("answer", stop="\n", max_tokens=48, repetition_penalty=1.1) + "\n"
    branches.join("concat")
    s["answers"] = [branch["answer"].strip() for branch in branches]


def main() -> int:
    """Writes the articles; the exit status is 0."""
    for topic in TOPICS:
        state = article.run(topic)
        print(topic.upper())
        for word, answer in zip(QUESTION_WORDS, state["answers"], strict=True):
            print(f"  {state[word]}\n      {answer}")
        usage = state.usage
        print(
            f"  [{usage.completion_tokens} tokens written; {usage.cached_tokens} of "
            f"{usage.prompt_tokens} prompt tokens came from the cache]\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Answer questions about Python with sentences quoted from its language reference.

The reference is the text behind `help("topics")`, which comes with Python. SQLite's full-text
search (FTS5) finds the paragraphs for a question; `select` then chooses the sentence that answers
it, so an answer is always a quotation. The paragraphs stand first in the prompt and in a fixed
order, so questions about the same paragraphs share them in the cache.

    python examples/retrieval.py
    treegram run examples/retrieval.py:answer --arg question="What is an immutable object?"
"""

from __future__ import annotations

import re
import sqlite3
import sys
from dataclasses import dataclass
from functools import cache
from pydoc_data.topics import topics

import treegram as tg

QUESTIONS = [
    "What does a lambda expression yield?",
    "Is the result of a lambda expression a function?",
    "When is the pass statement useful?",
    "What happens when a loop is terminated by break?",
    "When is the else clause of a for loop executed?",
    "What is an immutable object?",
]

# Words that stand in every question and would find every paragraph.
COMMON = set("a an are be by can do does for happens how in is it of the to what when".split())


@dataclass(frozen=True, slots=True, order=True)
class Paragraph:
    """One paragraph of the reference; `number` is its place in the index."""

    number: int
    topic: str
    text: str

    def sentences(self) -> list[str]:
        """Its sentences, in order."""
        return re.split(r'(?<=\.)\s+(?=["A-Z])', self.text)


@cache
def index() -> sqlite3.Connection:
    """The paragraphs in a full-text index. Raises RuntimeError without FTS5."""
    found: dict[str, str] = {}
    for topic, text in sorted(topics.items()):
        for block in text.split("\n\n"):
            # prose starts at the margin with a capital; code is indented, headings underlined
            if re.match(r'["A-Z]', block) and not re.search(r"\n[*=-]{3}", block):
                paragraph = " ".join(block.split())
                if 80 < len(paragraph) < 500:
                    found.setdefault(paragraph, topic)
    # programs run in threads of their own and only read
    database = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        database.execute("CREATE VIRTUAL TABLE doc USING fts5(topic, text, tokenize='porter')")
    except sqlite3.OperationalError as error:
        raise RuntimeError(
            f"this Python's sqlite3 ({sqlite3.sqlite_version}) has no full-text search: {error}; "
            "use a Python whose SQLite was built with FTS5"
        ) from error
    database.executemany(
        "INSERT INTO doc VALUES (?, ?)", [(topic, text) for text, topic in found.items()]
    )
    return database


def search(question: str, k: int = 2) -> list[Paragraph]:
    """The `k` best paragraphs for a question, in the order of the index; [] if none fits."""
    words = [word for word in re.findall(r"\w+", question.lower()) if word not in COMMON]
    query = " OR ".join(f'"{word}"' for word in words) or '""'
    rows = index().execute(
        "SELECT rowid, topic, text FROM doc WHERE doc MATCH ? ORDER BY rank LIMIT ?", (query, k)
    )
    return sorted(Paragraph(*row) for row in rows)


@tg.function
def answer(s: tg.State, question: str, k: int = 2) -> None:
    """A sentence of the Python reference that answers a question."""
    s["found"] = paragraphs = search(question, k)
    if not paragraphs:
        s["answer"] = "nothing found"
        return
    for paragraph in paragraphs:
        s += f"{paragraph.topic}: {paragraph.text}\n\n"
    sentences = [text for paragraph in paragraphs for text in paragraph.sentences()]
    s += f"Question: {question}\nAnswer: "
    s += tg.select("answer", list(dict.fromkeys(sentences)))


def main() -> int:
    """Answers the questions; the exit status is 1 without FTS5."""
    try:
        index()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    for question in QUESTIONS:
        state = answer.run(question)
        hits = ", ".join(f"{hit.topic} (paragraph {hit.number})" for hit in state["found"])
        usage = state.usage
        print(question)
        print(f"  found   {hits}")
        print(f"  answer  {state['answer']}")
        print(f"  cache   {usage.cached_tokens} of {usage.prompt_tokens} prompt tokens\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Prose that any machine has: the descriptions of the Python distributions installed there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import distributions
from typing import cast

MARKUP = re.compile(r"://|::|\]\(|```|>>>|[<>{}|=\\$#]")


@dataclass(frozen=True, slots=True)
class Document:
    """A distribution: its name, one line about it, and the prose of its description."""

    name: str
    summary: str
    text: str

    def words(self, n: int, start: int = 0) -> str:
        """`n` words of the prose from word `start` on; begins anew at its end."""
        words = self.text.split()
        return " ".join(words[(start + i) % len(words)] for i in range(n))


def installed_documents(least_words: int = 120) -> list[Document]:
    """The distributions with at least so many words of prose, by name; without repetitions."""
    found: dict[str, Document] = {}
    texts: set[str] = set()
    for distribution in distributions():
        # importlib's protocol does not say that it is an email message, which it always is
        metadata = cast(Message, distribution.metadata)
        name, summary = metadata["Name"], metadata["Summary"]
        text = _prose(str(metadata.get("Description") or metadata.get_payload()))
        if name and summary and len(text.split()) >= least_words and text not in texts:
            texts.add(text)
            found.setdefault(name.lower(), Document(name, " ".join(summary.split()), text))
    return [found[name] for name in sorted(found)]


def _prose(description: str) -> str:
    """The paragraphs that are sentences: no headings, badges, tables or code."""
    lines = (
        " ".join(paragraph.replace("*", "").replace("`", "").split())
        for paragraph in re.split(r"\n\s*\n", description)
    )
    return " ".join(
        line
        for line in lines
        if line.isascii() and re.match(r"[A-Z]\w* \w+ \w+", line) and not MARKUP.search(line)
    )

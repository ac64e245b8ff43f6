"""A judge (arXiv:2310.15123): six aspects of a text at the same time, then a mark for the whole."""

from __future__ import annotations

from .base import Branch, Workload
from .data import Data

ASPECTS = (
    "Clarity: is every sentence understood at first reading?",
    "Structure: do the sentences follow from each other?",
    "Accuracy: is something claimed that cannot be right?",
    "Completeness: what would a reader still have to ask?",
    "Style: are there needless words, or worn phrases?",
    "Usefulness: could a reader act on it?",
)
MARKS = tuple(f" {mark}" for mark in range(1, 6))
JUDGEMENT_TOKENS = 24


def judge(data: Data, rows: int, words: int) -> Workload:
    """So many texts of so many words."""
    texts = [document.words(words) for document in data.documents[:rows]]
    return Workload("judge", texts, _program, branches=len(ASPECTS))


def _program(s: Branch, text: str) -> None:
    s.add("Judge the text below, which introduces a piece of software.\n\n")
    s.add(f"Text: {text}\n\n")
    branches = s.fork(len(ASPECTS), _judge)
    for aspect, branch in zip(ASPECTS, branches, strict=True):
        s.add(f"{aspect}{branch['judgement']}\n")
    s.add("Mark for the whole text, 1 (bad) to 5 (good):")
    s.select("mark", MARKS)
    s["mark"]


def _judge(s: Branch, index: int) -> None:
    s.add(ASPECTS[index])
    s.generate("judgement", JUDGEMENT_TOKENS)

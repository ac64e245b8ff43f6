"""What the workloads ask about: public test sets where there is a folder of them, else packages.

A folder holds files as their publishers distribute them: `mmlu-SUBJECT-dev.csv` and `-test.csv`
(hendrycks/test), `hellaswag-val.txt.bz2` (HellaSwag: context, label, four endings, a line each),
`gsm8k-test.jsonl` (openai/grade-school-math), `hotpot-dev.json` (question and answer) and
`mt-bench-questions.jsonl` (lm-sys/FastChat). Without one, the same kinds of questions are made from
the summaries of the installed Python distributions, so the benchmark runs anywhere; their figures
are not to be compared with those of the test sets.
"""

from __future__ import annotations

import bz2
import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .documents import Document, installed_documents

SHOTS = 5


@dataclass(frozen=True, slots=True)
class Choice:
    """A question with possible answers, and which of them is right."""

    question: str
    options: tuple[str, ...]
    right: int


@dataclass(frozen=True, slots=True)
class Subject:
    """Questions of one kind, with examples of them."""

    name: str
    shots: tuple[Choice, ...]
    questions: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A question and its short answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Data:
    """Everything that rows are made from, in a fixed order.

    Attributes:
        source: what it is, for the record.
        subjects: for multiple choice.
        endings: contexts to be continued by one of four endings.
        problems: with a number as the answer.
        questions: that take several steps.
        turns: what users say, by conversation.
        documents: prose to read.
    """

    source: str
    subjects: tuple[Subject, ...]
    endings: tuple[Choice, ...]
    problems: tuple[Problem, ...]
    questions: tuple[Problem, ...]
    turns: tuple[tuple[str, ...], ...]
    documents: tuple[Document, ...]


class MissingData(Exception):
    """The folder or the machine does not have what is needed; the message says what."""


def load(folder: Path | None) -> Data:
    """Reads the folder, or makes everything from installed packages. Raises MissingData."""
    documents = tuple(installed_documents())
    if len(documents) < 2 * SHOTS:
        raise MissingData(
            f"{len(documents)} installed distributions have a long enough description, "
            f"expected {2 * SHOTS}; install some, for example treegram[dev]"
        )
    if folder is None:
        return _from_documents(documents)
    try:
        return _from_folder(folder, documents)
    except OSError as error:
        raise MissingData(f"{folder} lacks a test set: {error}") from error
    except (ValueError, KeyError) as error:
        raise MissingData(f"{folder}: a test set is not as published: {error!r}") from error


def _from_folder(folder: Path, documents: tuple[Document, ...]) -> Data:
    names = sorted(file.name.split("-")[1] for file in folder.glob("mmlu-*-dev.csv"))
    if not names:
        raise FileNotFoundError("no mmlu-*-dev.csv")
    hotpot = json.loads((folder / "hotpot-dev.json").read_text(encoding="utf-8"))
    return Data(
        source=folder.name,
        subjects=tuple(
            Subject(
                name.replace("_", " "),
                tuple(_mmlu(folder / f"mmlu-{name}-dev.csv"))[:SHOTS],
                tuple(_mmlu(folder / f"mmlu-{name}-test.csv")),
            )
            for name in names
        ),
        endings=tuple(_hellaswag(folder / "hellaswag-val.txt.bz2")),
        problems=tuple(
            Problem(line["question"], line["answer"].rpartition("#### ")[2].replace(",", ""))
            for line in _json_lines(folder / "gsm8k-test.jsonl")
        ),
        questions=tuple(Problem(entry["question"], entry["answer"]) for entry in hotpot),
        turns=tuple(
            tuple(line["turns"]) for line in _json_lines(folder / "mt-bench-questions.jsonl")
        ),
        documents=documents,
    )


def _mmlu(file: Path) -> Iterator[Choice]:
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            options = tuple(row[f"choice{i}"] for i in range(4))
            yield Choice(row["question"].strip(), options, int(row["answer"]))


def _hellaswag(file: Path) -> Iterator[Choice]:
    with bz2.open(file, "rt", encoding="utf-8") as text:
        lines = text.read().splitlines()
    for begin in range(0, len(lines) - 5, 6):
        context, label, *endings = lines[begin : begin + 6]
        if len(set(endings)) == len(endings):
            yield Choice(context, tuple(endings), int(label))


def _json_lines(file: Path) -> Iterator[dict[str, Any]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def _from_documents(documents: tuple[Document, ...]) -> Data:
    described = tuple(_which(documents, i, "summary") for i in range(len(documents)))
    named = tuple(_which(documents, i, "name") for i in range(len(documents)))
    return Data(
        source="installed packages",
        subjects=(
            Subject("Python packages", named[:SHOTS], named[SHOTS:]),
            Subject("descriptions of software", described[:SHOTS], described[SHOTS:]),
        ),
        endings=described,
        problems=tuple(
            Problem(
                f"The description of {document.name} has {len(document.text.split())} words. An "
                f"editor removes {3 + i} of them and then adds {2 * i + 5}. How many are left?",
                str(len(document.text.split()) + i + 2),
            )
            for i, document in enumerate(documents)
        ),
        questions=tuple(
            Problem(f"Which package is described by: {document.summary}", document.name)
            for document in documents
        ),
        turns=tuple(
            (
                f"What is {document.name} for, and when would somebody use it? Its authors say: "
                f"{document.summary}",
                "Now say the same to somebody who has never written a program.",
            )
            for document in documents
        ),
        documents=documents,
    )


def _which(documents: Sequence[Document], index: int, kind: str) -> Choice:
    """Which of four is document `index`: by its summary, or by its name."""
    places = [(index + step * 3) % len(documents) for step in range(4)]
    right = index % 4
    places[0], places[right] = places[right], places[0]
    document = documents[index]
    if kind == "summary":
        options = tuple(documents[place].summary for place in places)
        return Choice(f"The package {document.name} is described as:", options, right)
    options = tuple(documents[place].name for place in places)
    return Choice(f"Which package is this: {document.summary}", options, right)

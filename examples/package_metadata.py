"""The extraction task: what is asked, the prompt, and the packages installed on this machine.

Each distribution's own summary and description becomes one line of text that also states its
version and licence, as its index page would. The metadata holds the right answers. Nothing
here depends on who answers; the benchmarks give the same task to other engines.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import distributions
from typing import Literal, cast, get_args

from pydantic import BaseModel

ABOUT_CHARACTERS = 80
MARKUP = re.compile(r"://|::|\]\(|```|[<>{}|=]")

License = Literal["MIT", "BSD", "Apache", "MPL", "other"]


class Package(BaseModel):
    """What is asked of every text."""

    name: str
    version: str
    license: License


@dataclass(frozen=True, slots=True)
class Row:
    """One distribution: the text that the model reads, and what the metadata says."""

    text: str
    truth: Package


@dataclass(frozen=True, slots=True)
class Grade:
    """Which fields of an answer agree with the metadata."""

    name: bool
    version: bool
    license: bool

    @property
    def all(self) -> bool:
        """Whether every field agrees."""
        return self.name and self.version and self.license


EXAMPLES = (
    (
        "Flask. A simple framework for building complex web applications. Version: 3.0.3. "
        "License: BSD License",
        Package(name="Flask", version="3.0.3", license="BSD"),
    ),
    (
        "pytz. World timezone definitions, modern and historical. Version: 2024.1. License: MIT",
        Package(name="pytz", version="2024.1", license="MIT"),
    ),
    (
        "ujson. Ultra fast JSON encoder and decoder for Python. Version: 0.19.2. "
        "License: BSD-3-Clause",
        Package(name="ujson", version="0.19.2", license="BSD"),
    ),
    (
        "mergedeep_py. A deep merge function. Version: 0.2.1. License: MIT License",
        Package(name="mergedeep_py", version="0.2.1", license="MIT"),
    ),
    (
        "zope.interface. Interfaces for Python. Version: 6.4.post2. License: Zope Public License",
        Package(name="zope.interface", version="6.4.post2", license="other"),
    ),
    (
        "orderly-set. Orderly set. Version: 10.54.0. License: MPL-2.0",
        Package(name="orderly-set", version="10.54.0", license="MPL"),
    ),
    (
        "aiohttp. Async http client/server framework (asyncio). Version: 3.16.5. "
        "License: Apache-2.0",
        Package(name="aiohttp", version="3.16.5", license="Apache"),
    ),
)


def as_json(package: Package) -> str:
    """The answer in the form that a schema-constrained `gen` writes."""
    return json.dumps(package.model_dump(), ensure_ascii=False)


SHARED_PROMPT = "Write the name, version and license of each Python package as JSON.\n\n" + "".join(
    f"{text}\n{as_json(answer)}\n\n" for text, answer in EXAMPLES
)


def prompt(text: str) -> str:
    """Everything the model reads before it answers for `text`."""
    return f"{SHARED_PROMPT}{text}\n"


def installed_rows(limit: int | None = None) -> list[Row]:
    """The distributions installed here, by name; at most `limit` of them."""
    by_name: dict[str, Row] = {}
    for distribution in distributions():
        # importlib's protocol does not say that it is an email message, which it always is
        metadata = cast(Message, distribution.metadata)
        name, version, summary = (metadata[key] for key in ("Name", "Version", "Summary"))
        if name and version and summary:
            by_name.setdefault(canonical_name(name), _row(metadata, name, version, summary))
    return [by_name[name] for name in sorted(by_name)][:limit]


def _row(metadata: Message, name: str, version: str, summary: str) -> Row:
    licence = _licence_text(metadata)
    description = metadata.get("Description") or metadata.get_payload()
    about = _clip(f"{_one_line(summary).rstrip('.')}. {_first_sentence(str(description))}")
    text = f"{name}. {about}. Version: {version}. License: {licence}"
    truth = Package(name=name, version=version, license=licence_family(licence))
    return Row(text, truth)


def _first_sentence(description: str) -> str:
    """The first sentence of the first paragraph that is prose, not a heading, badge or code."""
    for paragraph in re.split(r"\n\s*\n", description):
        line = _one_line(paragraph)
        plain = re.sub(r"[*`]", "", line)
        if re.match(r"\w+ \w+ \w+ \w+", plain) and not MARKUP.search(line[:160]):
            return re.split(r"(?<=[.!?:])\s", plain)[0]
    return ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _clip(text: str) -> str:
    """`text` cut at a word to ABOUT_CHARACTERS, without the punctuation that ends it."""
    if len(text) > ABOUT_CHARACTERS:
        text = text[:ABOUT_CHARACTERS].rsplit(" ", 1)[0]
    return text.rstrip(" .,;:")


def _licence_text(metadata: Message) -> str:
    """What the metadata says of the licence: the SPDX expression, else the classifier, else the
    first line of the free-text field."""
    classifiers = [c for c in metadata.get_all("Classifier", []) if c.startswith("License ::")]
    for text in (
        metadata.get("License-Expression"),
        classifiers[0].rsplit("::", 1)[-1] if classifiers else None,
        metadata.get("License"),
    ):
        if text and text.strip():
            return text.strip().splitlines()[0][:60]
    return "not stated"


def licence_family(text: str) -> License:
    """The family that a licence text names first."""
    named = text.replace("Mozilla", "MPL")
    families: tuple[License, ...] = get_args(License)
    places: dict[int, License] = {named.find(f): f for f in families[:-1] if f in named}
    return places[min(places)] if places else "other"


def canonical_name(name: str) -> str:
    """The form in which two spellings of a distribution's name are equal (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def grade(answer: Package, truth: Package) -> Grade:
    """Which fields of `answer` are right; names compare as package indexes compare them."""
    return Grade(
        name=canonical_name(answer.name) == canonical_name(truth.name),
        version=answer.version == truth.version,
        license=answer.license == truth.license,
    )

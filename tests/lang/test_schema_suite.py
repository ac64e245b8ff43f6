"""The official JSON-Schema-Test-Suite: every test is exact, or stands in one of the tables below.

The suite is no part of this project. TREEGRAM_SCHEMA_SUITE names its `tests` folder, whose folders
are drafts; without it only the cases at the end run, which it has shown.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from treegram.lang.errors import SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.compile import compile_schema
from treegram.lang.json_schema.layout import Layout
from treegram.lang.json_schema.plain import Formats

Json = Any

SUITE = os.environ.get("TREEGRAM_SCHEMA_SUITE", "")
DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}

REFUSED = {
    "$ref": "is outside this document",
    "$dynamicRef": "may mean any of",
    "$recursiveRef": "may mean more than one schema",
    "$schema": "is no draft from 4 to 2020-12",
    "enum": "must be a non-empty list",
    "multipleOf": "too large an automaton",
    None: "no finite JSON value satisfies this",
}
"""By keyword, what an error says of a schema that has no grammar."""

UNSATISFIABLE = ("enum", "multipleOf", None)
"""Keywords whose errors are right only where the suite has no valid instance."""

DELIBERATE = {
    # contentEncoding and contentMediaType are annotations, as later drafts say
    "optional/content.json": "an invalid (JSON document|base64 string)|a validly-encoded invalid",
}
"""By file, the tests in which an optional part of the standard is chosen otherwise."""

NARROWER = {
    # whether an encoded label is one of a valid name, no automaton tells
    "hostname": "A-label|punycode",
    # nor how long a label gets encoded: beyond eleven characters it might not fit
    "idn-hostname": "Punycode|label too long if separator ignored",
    # nor whether there is a group of that name
    "ecmascript-regex": "named backreference",
}
"""By format, valid texts that are not accepted: `docs/constraints.md` lists them."""


def suite_files() -> Iterator[Path]:
    for draft in DRAFTS if SUITE else ():
        yield from sorted((Path(SUITE) / draft).rglob("*.json"))


def compiled(schema: Json, formats: Formats = "enforced") -> Grammar:
    return Grammar(compile_schema(schema, Layout.accepting(), formats=formats).rules)


def is_named_refusal(error: SchemaError, group: Json) -> bool:
    if not re.search(REFUSED.get(error.keyword, "$^"), str(error)):
        return False
    has_valid = any(test["valid"] for test in group["tests"])
    return error.keyword not in UNSATISFIABLE or not has_valid


def is_known(name: str, group: Json, test: Json) -> bool:
    """Whether the grammar may differ from the suite here."""
    title = f"{group['description']}: {test['description']}"
    if name in DELIBERATE:
        return re.search(DELIBERATE[name], title) is not None
    narrower = NARROWER.get(Path(name).stem)
    return (
        name.startswith("optional/format/")
        and bool(test["valid"])
        and narrower is not None
        and re.search(narrower, title) is not None
    )


def test_the_suite_is_where_it_is_said_to_be() -> None:
    assert not SUITE or any(suite_files()), f"no draft folders in {SUITE}"


def mistakes(file: Path) -> Iterator[str]:
    """What is neither exact nor in the tables."""
    draft, _, name = file.relative_to(SUITE).as_posix().partition("/")
    for group in json.loads(file.read_text(encoding="utf-8")):
        schema = group["schema"]
        if isinstance(schema, dict):
            schema = {"$schema": DRAFTS[draft], **schema}
        # the optional tests have formats that constrain, the others annotations
        formats: Formats = "enforced" if name.startswith("optional/format/") else "annotation"
        try:
            grammar = compiled(schema, formats)
        except SchemaError as error:
            if not is_named_refusal(error, group):
                yield f"{group['description']}: {error}"
            continue
        for test in group["tests"]:
            text = json.dumps(test["data"], ensure_ascii=False)
            if grammar.accepts(text) != test["valid"] and not is_known(name, group, test):
                yield f"{group['description']}: {text}"


@pytest.mark.skipif(not SUITE, reason="TREEGRAM_SCHEMA_SUITE is not set")
@pytest.mark.parametrize("file", list(suite_files()), ids=str)
def test_every_test_of_the_suite_is_exact_or_refused_by_name(file: Path) -> None:
    assert not list(mistakes(file))


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        # an $id that is only a fragment, below one that is a URN
        (
            {
                "$schema": DRAFTS["draft6"],
                "$id": "urn:example:a",
                "properties": {"x": {"$ref": "urn:example:a#text"}},
                "definitions": {"t": {"$id": "#text", "type": "string"}},
            },
            ['{"x": "a"}', "1"],
            ['{"x": 1}'],
        ),
        # no integer of draft 4 has a fraction, but a listed number may
        (
            {"$schema": DRAFTS["draft4"], "type": "integer", "enum": [0, 1]},
            ["0", "1"],
            ["1.0", "0.0"],
        ),
        ({"$schema": DRAFTS["draft4"], "enum": [0, 1.5]}, ["0", "0.0", "-0", "1.50"], ["1"]),
        # whole numbers beyond what a double tells apart
        ({"maximum": 2**64 - 1}, [str(2**64 - 1), str(2**64 - 16)], [str(2**64)]),
        ({"type": "integer", "multipleOf": 0.5}, ["1e+308", "3.0"], ["0.5", "1e309"]),
        ({"minimum": 0}, ["-0", "-0.0", "5e-324", "1.7976931348623157e+308"], ["-5e-324"]),
        ({"enum": [1.5, 1e-7]}, ["1.50", "1.5", "1e-07", "1.0e-7", "0.0000001"], ["1.05", "1e-8"]),
    ],
)
def test_what_the_suite_has_shown(schema: Json, good: list[str], bad: list[str]) -> None:
    grammar = compiled(schema)
    assert all(map(grammar.accepts, good))
    assert not any(map(grammar.accepts, bad))

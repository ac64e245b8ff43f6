"""A short run of the fuzzer with a fixed seed, and every finding of the long ones."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

from treegram.runtime.loading import load_module

INPUTS = 200

DEEP = 20_000
FINDINGS = [
    ("regex", "(" * DEEP + "a" + ")" * DEEP),
    ("gbnf", "root ::= " + "(" * DEEP + '"a"' + ")" * DEEP),
    ("choices", json.dumps(["a" * 150_000, "a" * 149_999 + "b"])),
    ("schema", '{"items": ' * 450 + "{}" + "}" * 450),
    ("schema", '{"const": Infinity}'),
    # values that must differ: every text of one is a configuration of its own
    ("schema", '{"type": "array", "uniqueItems": true, "contains": {"type": "boolean"}}'),
    ("schema", '{"uniqueItems": true, "contains": {"minProperties": 1}, "type": "array"}'),
]
"""Inputs that once did something else than succeed or be refused, or easily would."""


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    return load_module(Path(__file__).with_name("fuzz.py"))


@pytest.mark.slow
def test_random_input_is_taken_or_refused(fuzz: ModuleType) -> None:
    tried, findings = fuzz.run(islice(fuzz.inputs(0, list(fuzz.ENTRIES)), INPUTS))
    assert tried == INPUTS
    assert findings == []


@pytest.mark.slow
def test_what_was_found_stays_fixed(fuzz: ModuleType) -> None:
    tried, findings = fuzz.run(iter(FINDINGS))
    assert tried == len(FINDINGS)
    assert [(found.entry, found.what) for found in findings] == []


def test_inputs_follow_from_the_seed(fuzz: ModuleType) -> None:
    entries = list(fuzz.ENTRIES)
    first, again = (list(islice(fuzz.inputs(3, entries), 50)) for _ in range(2))
    assert first == again
    assert first != list(islice(fuzz.inputs(4, entries), 50))
    for entry, text in first:
        if entry in ("schema", "choices"):
            json.loads(text)


@pytest.mark.slow
def test_a_crash_and_a_wrong_exception_are_findings(
    fuzz: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The subject reports what happens in it, also its own end."""
    broken = tmp_path / "broken_entries.py"
    broken.write_text(
        "import os\n"
        "def raises(text): raise KeyError(text)\n"
        "def dies(text): os._exit(7)\n"
        "def takes(text): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    subject = fuzz.Subject("broken_entries")
    try:
        assert subject.failure("raises", "x") == "KeyError in broken_entries.py:raises"
        assert subject.failure("dies", "x") == "the process ended with status 7"
        assert subject.failure("takes", "x") is None
    finally:
        subject.close()

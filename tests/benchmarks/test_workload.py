"""The workload is the same for every engine and run, and its judge can say no."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from treegram.runtime.loading import load_module


@pytest.fixture(scope="module")
def workload() -> ModuleType:
    return load_module(Path(__file__).with_name("workload.py"))


@pytest.fixture(scope="module")
def task(workload: ModuleType) -> ModuleType:
    return load_module(Path(workload.__file__ or "").parents[2] / "examples/package_metadata.py")


def test_rows_are_distinct_ordered_and_limited(workload: ModuleType, task: ModuleType) -> None:
    """Machines differ in what is installed, but one machine always gives the same rows."""
    names = [task.canonical_name(row.truth.name) for row in workload.extraction(8).rows]
    assert len(names) == 8
    assert names == sorted(set(names))
    assert workload.extraction(8) == workload.extraction(8)


def test_every_prompt_states_what_is_asked_for(workload: ModuleType) -> None:
    found = workload.extraction(8)
    for prompt, row in zip(found.prompts, found.rows, strict=True):
        assert prompt.startswith(found.shared)
        own = prompt.removeprefix(found.shared)
        assert row.truth.name in own
        assert row.truth.version in own
        assert own.count("\n") == 1


def test_the_right_answers_are_judged_right(workload: ModuleType) -> None:
    found = workload.extraction(4)
    assert workload.judge(found, found.expected) == workload.Judgement(4, 4, 4)


def test_wrong_and_invalid_answers_are_told_apart(workload: ModuleType) -> None:
    found = workload.extraction(4)
    answers = found.expected
    answers[0] = answers[0].replace('"version": "', '"version": "9')
    answers[1] = answers[1][:-1]
    answers[2] = answers[2].replace('"license": "', '"license": "not ')
    assert workload.judge(found, answers) == workload.Judgement(4, 2, 1)


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("MIT", "MIT"),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib", "BSD"),
        ("Apache-2.0 OR BSD-2-Clause", "Apache"),
        ("Mozilla Public License 2.0 (MPL 2.0)", "MPL"),
        ("PSF-2.0", "other"),
        ("not stated", "other"),
    ],
)
def test_a_licence_belongs_to_the_family_named_first(
    task: ModuleType, text: str, family: str
) -> None:
    assert task.licence_family(text) == family

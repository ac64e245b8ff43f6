"""The constraint benchmark's judge can say yes, no, refused and too slow."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from treegram.runtime.loading import load_module

EOS = 256


@pytest.fixture(scope="module")
def trial() -> ModuleType:
    return load_module(Path(__file__).with_name("constraints_trial.py"))


class Words:
    """An engine whose schema is the list of the texts it allows, over bytes."""

    mask_every = 1

    def __init__(self, refusal: type[Exception] | None = None) -> None:
        self.refusal = refusal

    def compile(self, schema: list[str]) -> Words:
        if self.refusal is not None:
            raise self.refusal("not today")
        self.texts = [text.encode() for text in schema]
        return self

    def start(self) -> _Walk:
        return _Walk(self.texts)

    def cache_bytes(self) -> int:
        return sum(map(len, self.texts))


class _Walk:
    def __init__(self, texts: list[bytes]) -> None:
        self.texts, self.taken, self.legal = texts, b"", set[int]()

    def mask(self) -> None:
        at = len(self.taken)
        found = [text for text in self.texts if text.startswith(self.taken)]
        self.legal = {text[at] if at < len(text) else EOS for text in found}

    def allowed(self, token: int) -> bool:
        return token in self.legal

    def advance(self, token: int) -> None:
        self.taken += bytes([token])

    def check(self, token: int) -> bool:
        self.mask()
        return self.allowed(token)


def outcome(trial: ModuleType, allowed: list[str], engine: Words | None = None) -> Any:
    cases = load_module(Path(__file__).with_name("constraints_cases.py"))
    instances = tuple(cases.Instance(json.dumps(d), d < 10) for d in (1, 10, 2))
    case = cases.Case("below ten", allowed, instances)
    used = engine or Words()
    return trial.run(case, used, lambda text: list(text.encode()), EOS, lambda part: None)


def test_a_row_passes_if_every_instance_is_decided_right(trial: ModuleType) -> None:
    found = outcome(trial, ["1", "2"])
    assert (found.verdict, found.right, found.wrong) == ("pass", 3, 0)
    assert found.row_tokens == 2
    assert len(found.steps_s) == 3, "1, 2 and the first digit of 10"
    assert len(found.again_s) == 2
    assert found.cache_bytes == 2


def test_wrong_verdicts_are_told_apart(trial: ModuleType) -> None:
    assert outcome(trial, ["1"]).verdict == "valid rejected"
    assert outcome(trial, ["1", "2", "10"]).verdict == "invalid accepted"
    assert outcome(trial, ["10"]).verdict == "invalid accepted"
    assert outcome(trial, ["1"]).reason == "stopped before token 0 of 1 in 2"


def test_positions_without_a_mask_are_checked(trial: ModuleType) -> None:
    engine = Words()
    engine.mask_every = 16
    found = outcome(trial, ["1", "2"], engine)
    assert (found.verdict, found.right) == ("pass", 3)
    assert found.steps_s == []


def test_refusals_and_slow_rows_are_named(
    trial: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = outcome(trial, ["1"], Words(trial.Refused))
    assert (refused.verdict, refused.reason) == ("refused", "not today")
    monkeypatch.setattr(trial, "FIRST_MASK_S", 0.0)
    assert outcome(trial, ["1", "2"]).verdict == "too slow"

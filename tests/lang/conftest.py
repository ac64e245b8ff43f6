"""Fixtures of the language's tests."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import FrameType
from typing import Any, Protocol

import jsonschema
import pytest
from jsonschema.validators import validator_for

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.grammar import Grammar
from treegram.lang.ir.random_text import random_text
from treegram.lang.json_schema.compile import compile_schema
from treegram.lang.json_schema.layout import Layout

LIMIT_S = 20


@pytest.fixture
def no_hang() -> Iterator[None]:
    """Fails a test that waits for something that never comes, instead of hanging the run."""

    def fail(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"the test did not finish in {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


class SchemaCheck(Protocol):
    """See `check_schema`."""

    def __call__(self, schema: Any, good: Sequence[Any], bad: Sequence[Any]) -> None: ...


@pytest.fixture
def check_schema() -> SchemaCheck:
    """Checks a schema by instances that `jsonschema` finds valid and invalid.

    The layout that accepts everything must tell them apart however they are spelled, and random
    texts of it and of the layout for writing must be valid. What is rare of a format is left out:
    `jsonschema` does not know it.
    """

    def check(schema: Any, good: Sequence[Any], bad: Sequence[Any]) -> None:
        known = jsonschema.Draft202012Validator
        kind = validator_for(schema, default=known)
        validator = kind(schema, format_checker=kind.FORMAT_CHECKER)
        grammars = [
            Grammar(compile_schema(schema, layout).rules)
            for layout in (replace(Layout.accepting(), rare_formats=False), Layout())
        ]
        for instance, is_valid in [*((i, True) for i in good), *((i, False) for i in bad)]:
            assert validator.is_valid(instance) == is_valid, f"the case is wrong: {instance!r}"
            for text in (
                json.dumps(instance),
                json.dumps(instance, ensure_ascii=False, indent=3, sort_keys=True),
                json.dumps(instance, separators=(",", ":")),
            ):
                assert grammars[0].accepts(text) == is_valid, text
            if not is_valid:
                assert not grammars[1].accepts(json.dumps(instance, ensure_ascii=False)), instance
        rng = random.Random(0)
        for grammar in grammars:
            for _ in range(8):
                text = random_text(grammar.rules, rng, max_depth=6)
                assert validator.is_valid(json.loads(text)), text

    return check


@pytest.fixture(scope="session")
def texts_of() -> Callable[[Automaton], set[str]]:
    """Every text of a finite grammar, if each of its configurations leads to one."""

    def texts(automaton: Automaton) -> set[str]:
        found: set[str] = set()
        pending = [(automaton.start, b"")]
        while pending:
            here, text = pending.pop()
            legal = automaton.next_bytes(here)
            assert here.accepting or legal, text
            if here.accepting:
                found.add(text.decode())
            for byte in legal:
                following = automaton.step(here, byte)
                assert following is not None
                pending.append((following, text + bytes((byte,))))
        return found

    return texts

"""Random schemas against jsonschema: a grammar holds the texts of the valid values and no others.

TREEGRAM_EXAMPLES sets how many schemas are drawn; by default it is a matter of seconds.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.errors import ConstraintError
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout
from treegram.runtime.loading import load_module

SCHEMAS = load_module(Path(__file__).with_name("described_schemas.py"))
EXAMPLES = int(os.environ.get("TREEGRAM_EXAMPLES", "100"))
SETTINGS = settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
MOST_REFUSED = 0.2
"""Some conjunctions have no exact grammar; were it many, the test here would say little."""

Json = Any


def random_end(automaton: Automaton, rng: random.Random, most: int = 250) -> str | None:
    """A random text of the automaton, or None if it has not come to an end after `most` bytes."""
    at, text = automaton.start, bytearray()
    for n in range(most):
        following = list(automaton.next_bytes(at))
        if at.accepting and (not following or rng.random() < 0.3):
            return text.decode()
        assert following, f"a dead end after {bytes(text)!r}"
        # the longer the text, the more it seeks an end
        weights = [1 + n if byte in b'"]}' else 1 for byte in following]
        byte = rng.choices(following, weights)[0]
        text.append(byte)
        after = automaton.step(at, byte)
        assert after is not None, "a byte that is said to be legal is"
        at = after
    return None


def near(value: Json, rng: random.Random) -> Json:
    """The value with something small changed somewhere, which may make it invalid."""
    if isinstance(value, (list, dict)) and value and rng.random() < 0.7:
        changed = value.copy()
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if rng.random() < 0.3:
            del changed[key]
        else:
            changed[key] = near(value[key], rng)
        return changed
    if rng.random() < 0.1:
        return rng.choice([None, True, 0, 1.5, "", "a", [], {}, [value], {"a": value}])
    match value:
        case bool() | None:
            return rng.choice([True, False, None, 0, ""])
        case int() | float():
            return rng.choice([value - 1, value + 1, value + 0.5, -value, int(value) * 10**20])
        case str():
            return rng.choice([value + "a", value[1:], value + "日", value.upper(), "0" + value])
        case list():
            return rng.choice([[*value, rng.choice([*value, None, 1])], value[::-1], 2 * value])
        case _:
            keys = rng.sample(list(value), len(value))
            exchanged = dict(zip(value, (value[key] for key in keys), strict=True))
            more = {**value, rng.choice(["a", "zz", "日本"]): rng.choice([None, 1, "a"])}
            renamed = {key + "x": below for key, below in value.items()}
            return rng.choice([exchanged, more, more, renamed])


def written(value: Json, rng: random.Random) -> str:
    """Any of the texts of a value."""
    if isinstance(value, dict):
        value = dict(rng.sample(list(value.items()), len(value)))
    indent = rng.choice([None, None, 1, 4])
    return json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=indent)


@pytest.mark.slow
def test_a_grammar_holds_the_texts_of_valid_values_and_no_others() -> None:
    tally: Counter[str] = Counter()

    @SETTINGS
    @given(SCHEMAS.described(), st.integers(0, 2**32), SCHEMAS.VALUES)
    def agree(drawn: tuple[dict[str, Json], Json], seed: int, other: Json) -> None:
        schema, value = drawn
        schema_text, rng = json.dumps(schema), random.Random(seed)
        tally["drawn"] += 1
        try:
            grammars = [Grammar.from_schema(schema), Grammar.from_schema(schema, Layout())]
        except ConstraintError:
            tally["refused"] += 1
            return
        for tried in (value, near(value, rng), near(value, rng), other):
            text = written(tried, rng)
            accepts, valid = grammars[0].accepts(text), SCHEMAS.valid(schema, tried)
            assert valid or not accepts, text
            # jsonschema lets more through than the RFCs: "0P1D" is no duration
            if '"format"' not in schema_text:
                assert accepts or not valid, text
        for grammar in grammars:
            if (walked := random_end(grammar.automaton, rng)) is not None:
                tally["walked"] += 1
                assert SCHEMAS.valid_text(schema, walked), walked
                assert grammars[0].accepts(walked)

    agree()
    assert tally["refused"] <= MOST_REFUSED * tally["drawn"], tally
    assert tally["walked"] >= tally["drawn"], tally

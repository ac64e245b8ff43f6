"""The entries that take user text: a function each, which may succeed or refuse."""

from __future__ import annotations

import json
import random
from contextlib import suppress

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.errors import ConstraintError, ParameterError
from treegram.lang.grammar import Grammar
from treegram.runtime.text import TextStream

REFUSALS = (ConstraintError, ParameterError)
STEPS = 100
PROBES = ("", "a", '{"a": 1}', "é日😀", "0" * 300, '"' + "x" * 300)


def regex(text: str) -> None:
    exercise(Grammar.from_regex(text))


def schema(text: str) -> None:
    exercise(Grammar.from_schema(json.loads(text)))


def gbnf(text: str) -> None:
    exercise(Grammar.from_gbnf(text))


def lark(text: str) -> None:
    exercise(Grammar.from_lark(text))


def substring(text: str) -> None:
    exercise(Grammar.from_substring(text, words=len(text) % 2 == 1))


def choices(text: str) -> None:
    exercise(Grammar.from_choices(json.loads(text)))


def stop(text: str) -> None:
    """Stop strings, separated by bars."""
    stream_through(TextStream(tuple(dict.fromkeys(s for s in text.split("|") if s))), text)


def stop_regex(text: str) -> None:
    stream_through(TextStream((), text), text)


def stream_through(stream: TextStream, text: str) -> None:
    """A text in pieces; none of it may be lost or doubled before the stop."""
    data = (text * 2).encode(errors="replace")
    out = "".join(stream.push(data[i : i + 3]) for i in range(0, len(data), 3)) + stream.finish()
    whole = data.decode(errors="replace")
    assert whole.startswith(out), "text came out that did not go in"
    assert out == whole or stream.stop_matched is not None, "text was lost"


def exercise(grammar: Grammar) -> None:
    """What is lazy in a grammar happens on first use, and may fail there."""
    for probe in PROBES:
        grammar.accepts(probe)
        grammar.accepts_prefix(probe)
    walk(grammar.automaton, random.Random(0))
    with suppress(*REFUSALS):
        grammar.to_gbnf()


def walk(automaton: Automaton, rng: random.Random) -> None:
    """Legal bytes at random, those that close something more and more often."""
    at = automaton.start
    for n in range(STEPS):
        following = list(automaton.next_bytes(at))
        if not following:
            assert at.accepting, "a dead end"
            return
        byte = rng.choices(following, [1 + n if b in b'"]})' else 1 for b in following])[0]
        after = automaton.step(at, byte)
        assert after is not None, "a legal byte has no next configuration"
        at = after

"""Random texts are in the language, and every kind of text comes out."""

from __future__ import annotations

import random

import pytest

from treegram.lang.automaton.reference import matches
from treegram.lang.errors import GrammarError
from treegram.lang.ir.dfa import Dfa
from treegram.lang.ir.nodes import (
    EMPTY,
    NEVER,
    Alt,
    CharClass,
    Element,
    Literal,
    Member,
    Members,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
    Substring,
    Terminal,
    Unique,
)
from treegram.lang.ir.random_text import random_text

A, B, COMMA = Literal("a"), Literal("b"), Literal(",")
SOME = Alt((Literal("1"), Literal("1.0"), Literal("2"), Literal("3")))


def declared(*keys: str, required: bool = False, rest: Node = EMPTY) -> tuple[Member, ...]:
    return tuple(Member(key, rest, required) for key in keys)


LANGUAGES: dict[str, tuple[Node, int]] = {
    "alternatives": (Alt((A, B, NEVER)), 2),
    "automaton": (Dfa((((97, 98, 1),), ((99, 99, 2),), (), ()), frozenset({1, 2})), 4),
    "terminal": (Terminal(Repeat(CharClass(((97, 98),)), 0, 2), frozenset({"", "ab"})), 5),
    "passage": (Substring("ab ba"), 13),
    "words": (Substring("ab ba", words=True), 3),
    "ordered": (Members((*declared("x", "y"), *declared("z", required=True)), None, COMMA), 4),
    "free": (Members((*declared("x"), *declared("z", required=True)), None, COMMA, 2, 2, False), 2),
    "extra": (Members(declared("x"), A, COMMA, 2, 3), 4),
    "unique": (Unique(Seq((Element(SOME), COMMA, Element(SOME)))), 10),
    "recursion": (Ref("nested"), 2),
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_text_of_a_small_language_comes_out(name: str) -> None:
    node, expected = LANGUAGES[name]
    rules = Rules(
        "r", {"r": node, "nested": Alt((Seq((Literal("("), Ref("nested"), Literal(")"))), A))}
    )
    rng = random.Random(1)
    texts = {random_text(rules, rng, max_depth=3) for _ in range(400)}
    assert [text for text in texts if not matches(rules, text)] == []
    assert len(texts) == expected


def test_long_lists_of_different_values_are_found() -> None:
    digit = CharClass(((48, 57),))
    rest = Repeat(Seq((COMMA, Element(digit))), 7, None)
    rules = Rules("r", {"r": Unique(Seq((Literal("["), Element(digit), rest, Literal("]"))))})
    for seed in range(5):
        assert matches(rules, random_text(rules, random.Random(seed)))


def test_what_chance_cannot_find_is_an_error() -> None:
    same = Element(Literal("1"))
    with pytest.raises(GrammarError, match="no random text"):
        random_text(Rules("r", {"r": Unique(Seq((same, COMMA, same)))}), random.Random(1))

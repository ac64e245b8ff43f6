"""Lengths of nodes, and languages cut to lengths, against brute force."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.ir.nodes import NEVER, Alt, CharClass, Literal, Node, Repeat, Seq
from treegram.lang.json_schema.lengths import lengths, with_length
from treegram.lang.json_schema.span import Span
from treegram.lang.regex.expressions import parse_fullmatch
from treegram.lang.regular.table import Table, combine

SETTINGS = settings(derandomize=True, deadline=None, max_examples=200)
LETTER = CharClass(((0x61, 0x7A),))
PATTERNS = [
    "a[ab]*-",
    "(https?|ftp)://.*",
    "[ab]{2,5}",
    "(ab|c){0,4}",
    "(a|bb)(-|--)?[ab]{1,}",
    "a?b?c?",
    "(ab)*",
    "",
    "a*b*",
    "(a{2,3}|b)*",
]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (Literal("abc"), (3, 3)),
        (Repeat(LETTER, 2, None), (2, None)),
        (Seq((LETTER, Repeat(LETTER, 0, 4))), (1, 5)),
        (Alt((Literal("a"), Literal("abcd"))), (1, 4)),
        (Repeat(Literal(""), 0, None), (0, 0)),
        (Repeat(NEVER, 0, 5), (0, 0)),
        (Seq((LETTER, NEVER)), None),
        (CharClass(()), None),
        (Table.of_node(parse_fullmatch("a{2,5}")).dfa, (2, 5)),
        (Table.of_node(parse_fullmatch("a{2,}")).dfa, (2, None)),
    ],
)
def test_lengths(node: Node, expected: tuple[int, int | None] | None) -> None:
    assert lengths(node) == expected


@SETTINGS
@given(st.sampled_from(PATTERNS), st.integers(0, 6), st.none() | st.integers(0, 9))
def test_with_length_is_the_intersection(pattern: str, low: int, high: int | None) -> None:
    node = parse_fullmatch(pattern)
    narrowed = with_length(node, Span(low, high))
    if narrowed is None:
        return
    if high is not None and high < low:
        assert narrowed == NEVER
        return
    exact = combine([Table.of_node(node), Table.of_lengths(low, high)])
    assert Table.of_node(narrowed).dfa == exact.dfa


@pytest.mark.parametrize(
    "pattern",
    [
        "^[a-z]+$",
        "^[a-z][a-z0-9-]*$",
        "^https?://.*$",
        "^(foo|quux)-[0-9]+$",
        "^data:image/(jpg|png|svg\\+xml);base64,[0-9A-Za-z+/=]*$",
    ],
)
def test_a_large_bound_stays_a_number(pattern: str) -> None:
    node = with_length(parse_fullmatch(pattern.strip("^$")), Span(1, 1_000_000))
    assert node is not None
    assert re.search("max=(999|1000000)", repr(node))


def test_two_varying_parts_are_left_to_automata() -> None:
    letters = Repeat(LETTER, 0, None)
    assert with_length(Seq((letters, Literal("-"), letters)), Span(0, 5)) is None

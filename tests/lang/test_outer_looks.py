"""Lookarounds at the ends of a text, and repetitions beside any text, against Python's `re`."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.errors import RegexError
from treegram.lang.ir.measured import Measured
from treegram.lang.ir.nodes import Node
from treegram.lang.regex.expressions import parse_fullmatch, parse_search
from treegram.lang.regular.algebra import from_node
from treegram.lang.regular.nfa import Nfa
from treegram.lang.regular.table import Table

SETTINGS = settings(derandomize=True, deadline=None, max_examples=150)

ASKED = [
    "a",
    ".*b",
    "[ab]{2,3}$",
    ".{3}",
    "^.{0,4}$",
    "^a",
    "(a|bb)*$",
    "a$|^b",
    "[^a]{2}",
    "$",
    "",
]
BEHIND = ["a", "b", "ab", "[ab]", "^a"]
BODIES = ["[ab-]{1,4}", "a*b*", "(a|bb)+", "a{2,3}|b", "", "-", "b?(a{1,3}-){0,2}"]
TEXTS = ["".join(letters) for n in range(6) for letters in product("ab-", repeat=n)]


def ahead() -> st.SearchStrategy[str]:
    return st.builds("(?{}{})".format, st.sampled_from("=!"), st.sampled_from(ASKED))


def behind() -> st.SearchStrategy[str]:
    return st.builds("(?<{}{})".format, st.sampled_from("=!"), st.sampled_from(BEHIND))


def pattern() -> st.SearchStrategy[str]:
    """Some lookaheads, a body and some lookbehinds, anchored or not."""
    return st.tuples(
        st.sampled_from(["", "^"]),
        st.lists(ahead(), max_size=2).map("".join),
        st.sampled_from(["", "^"]),
        st.sampled_from(BODIES).map("(?:{})".format),
        st.lists(behind(), max_size=2).map("".join),
        st.sampled_from(["", "$"]),
    ).map("".join)


def same(node: Node, texts: list[str]) -> None:
    nfa = Nfa.of(node)
    assert [text for text in TEXTS if nfa.accepts(text)] == texts


@SETTINGS
@given(pattern())
def test_they_mean_what_python_says(pattern: str) -> None:
    compiled = re.compile(pattern.replace("$", r"\Z"))
    same(parse_search(pattern), [text for text in TEXTS if compiled.search(text)])
    whole = re.compile(rf"(?:{pattern})|b".replace("$", r"\Z"))
    same(parse_fullmatch(f"(?:{pattern})|b"), [text for text in TEXTS if whole.fullmatch(text)])
    expected = [text for text in TEXTS if compiled.fullmatch(text)]
    try:
        same(parse_fullmatch(pattern), expected)
    except RegexError:
        assert not expected


@pytest.mark.parametrize(
    ("pattern", "low", "high"),
    [
        (r"(?=^.{0,265}$)[a-z._%+-]+@[a-z.-]+\.[a-z]{2,63}", 0, 265),
        (r"^(?=.{1,253}$)(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)+[a-z]{2,63}$", 1, 253),
        (r"^(?=[\s\S]{5,100000}$)(?!.*--)[a-z-]+(?<!-)$", 5, 100_000),
        (r"^a*-[ab]*(?<=^.{3,70000})$", 3, 70_000),
    ],
)
def test_one_that_asks_for_a_length_is_two_numbers(pattern: str, low: int, high: int) -> None:
    node = parse_search(pattern)
    assert isinstance(node, Measured)
    assert (node.min, node.max) == (low, high)


COUNTED = ["a{0,3}", "[ab]{2,4}", "(?:ab?){1,3}", "(?:a{0,2}b){0,3}", "a{2,}", "(?:ab|b){3,}", "-"]
ENDS = ["", "b", "[ab]?", "a{1,2}", "(?:b|-{0,3})"]


@SETTINGS
@given(
    st.sampled_from(["", "^", ".*"]),
    st.lists(st.sampled_from([*COUNTED, *ENDS]), max_size=4).map("".join),
    st.sampled_from(["", "$", ".*$"]),
)
def test_counts_at_unanchored_ends_and_behind_any_text(before: str, body: str, after: str) -> None:
    """There only the fewest repetitions matter, and copies of a repetition stand for others."""
    pattern = f"{before}(?:{body}|-{body}){after}"
    compiled = re.compile(pattern.replace("$", r"\Z"))
    node = parse_search(pattern)
    expected = [text for text in TEXTS if compiled.search(text)]
    same(node, expected)
    table = Table.of_node(node)
    assert [text for text in TEXTS if table.accepts(text)] == expected


@pytest.mark.parametrize(
    ("pattern", "most"),
    [
        ("[a-z][a-z-]{3,39}", 5),
        (r"(ab?){0,99}x{2,500}(y|z*)", 3),
        ("x[a-z]{0,75}-", 78),
        ("^(?:[a-z.]+/?){3,1016}$", 2050),
        ("[a-z]{60,}$", 61),
    ],
)
def test_long_counts_make_small_automata(pattern: str, most: int) -> None:
    assert len(from_node(parse_search(pattern)).edges) <= most

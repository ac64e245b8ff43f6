"""Automata against Python's `re`, plain set logic, and interegular's automata."""

from __future__ import annotations

import re
import time
from typing import Any

import interegular
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.ir.nodes import Literal
from treegram.lang.regex.expressions import parse_fullmatch
from treegram.lang.regular.algebra import TooLarge, complement, from_node, from_texts, intersect

SETTINGS = settings(derandomize=True, deadline=None, max_examples=120)
PATTERNS = ["a*b", "(ab|ba)+", "a{2,4}", "[^a]b?", "", "(a|b)*abb", "a(b|c)*", "x?y?z?", "[a-c]{3}"]
texts = st.text("abcxyz\n", max_size=7)


@SETTINGS
@given(st.sampled_from(PATTERNS), st.sampled_from(PATTERNS), texts)
def test_set_operations_mean_what_they_say(one: str, other: str, text: str) -> None:
    left, right = (from_node(parse_fullmatch(pattern)) for pattern in (one, other))
    in_left, in_right = (re.fullmatch(pattern, text) is not None for pattern in (one, other))
    assert left.accepts(text) == in_left
    assert intersect(left, right).accepts(text) == (in_left and in_right)
    assert complement(left).accepts(text) == (not in_left)


@pytest.mark.parametrize("one", PATTERNS)
def test_inclusion_of_whole_languages_agrees_with_interegular(one: str) -> None:
    """Emptiness of `one` and not `other`, for every pair: no text is left to chance."""
    ours = {pattern: from_node(parse_fullmatch(pattern)) for pattern in PATTERNS}
    theirs: dict[str, Any] = {p: interegular.parse_pattern(p).to_fsm() for p in PATTERNS}
    for other in PATTERNS:
        included = intersect(ours[one], complement(ours[other])).is_empty()
        assert included == theirs[one].issubset(theirs[other])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(a|b)*", "(a*b*)*"),
        ("[a-z]", "[a-mn-z]"),
        ("(ab|ac)d?", "a(b|c)(d|)"),
        ("[^é]|é", r"[\s\S]"),
        ("(a|aa){2,3}", "a{2,6}"),
        (r"\p{L}|\P{L}", r"(?s)."),
    ],
)
def test_equal_languages_are_equal_values(one: str, other: str) -> None:
    assert from_node(parse_fullmatch(one)) == from_node(parse_fullmatch(other))


@SETTINGS
@given(st.lists(st.text("abé😀", max_size=4), max_size=8), st.text("abé😀", max_size=5))
def test_a_list_of_texts_holds_exactly_its_texts(words: list[str], text: str) -> None:
    dfa = from_texts(words)
    assert dfa.accepts(text) == (text in words)
    assert all(dfa.accepts(word) for word in words)
    assert dfa.is_empty() == (not words)


def test_a_list_of_texts_is_as_small_as_its_language() -> None:
    words = [a + b + c for a in "abc" for b in "xyz" for c in "12"]
    assert len(from_texts(words).edges) == 4


def test_a_long_list_of_texts_takes_no_time() -> None:
    begun = time.thread_time()
    dfa = from_texts(f"key {number:06}" for number in range(20_000))
    assert time.thread_time() - begun < 5
    assert dfa.accepts("key 019999")
    assert not dfa.accepts("key 020000")


def test_nothing_is_left_of_disjoint_languages() -> None:
    assert intersect(from_node(Literal("a")), from_node(Literal("b"))).is_empty()


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("(a|aa){900,1000}", True),
        ("(a*)*", True),
        ("((a|b)*c|d){30}", True),
        ("(x+x+)+y", True),
        (".{0,100000}", False),
        ("(a|b)*a(a|b){18}", False),
        ("((a{0,50}){0,50}){0,50}", False),
        ("(a?){5000}", False),
    ],
)
def test_size_and_time_are_bounded(pattern: str, fits: bool) -> None:
    begun = time.thread_time()
    if fits:
        from_node(parse_fullmatch(pattern))
    else:
        with pytest.raises(TooLarge):
            from_node(parse_fullmatch(pattern))
    assert time.thread_time() - begun < 5

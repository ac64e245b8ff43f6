"""Automata against Python's `re`, plain set logic, and interegular's automata."""

from __future__ import annotations

import re
from typing import Any

import interegular
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.ir import Literal, Repeat, Rules
from treegram.lang.json_strings import any_text
from treegram.lang.reference import matches
from treegram.lang.regex import parse_fullmatch
from treegram.lang.regular import (
    Dfa,
    TooLarge,
    complement,
    from_node,
    from_texts,
    intersect,
    to_rules,
)

SETTINGS = settings(derandomize=True, deadline=None, max_examples=120)
PATTERNS = ["a*b", "(ab|ba)+", "a{2,4}", "[^a]b?", "", "(a|b)*abb", "a(b|c)*", "x?y?z?", "[a-c]{3}"]
texts = st.text("abcxyz\n", max_size=7)


def compiled(dfa: Dfa, text: str) -> bool:
    node, rules = to_rules(dfa, "state", lambda part: part)
    return matches(Rules("root", {"root": node, **rules}), text)


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


@SETTINGS
@given(st.sampled_from(PATTERNS), texts)
def test_rules_keep_the_language(pattern: str, text: str) -> None:
    dfa = from_node(parse_fullmatch(pattern))
    assert compiled(dfa, text) == dfa.accepts(text)
    assert compiled(complement(dfa), text) != dfa.accepts(text)


@SETTINGS
@given(st.lists(st.text("abé", max_size=4), max_size=8), st.text("abé", max_size=5))
def test_a_prefix_tree_holds_exactly_its_texts(words: list[str], text: str) -> None:
    dfa = from_texts(words)
    assert dfa.accepts(text) == (text in words)
    assert dfa.is_empty() == (not words)
    if words:
        assert compiled(dfa, text) == (text in words)


def test_nothing_is_left_of_disjoint_languages() -> None:
    both = intersect(from_node(Literal("a")), from_node(Literal("b")))
    assert both.is_empty()
    assert not compiled(both, "a")


def test_too_many_states_are_refused() -> None:
    with pytest.raises(TooLarge):
        from_node(any_text(0, 100_000))
    with pytest.raises(TooLarge):
        from_node(Repeat(parse_fullmatch("(a|b)*a(a|b){14}"), 1, 1))

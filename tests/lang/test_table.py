"""Tables: their lengths, and combinations of several languages at once, against plain Python."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.regex.expressions import parse_fullmatch
from treegram.lang.regular.alphabet import NO_CLASS, distinguish, join
from treegram.lang.regular.nfa import Nfa
from treegram.lang.regular.table import Table, combine, have_common_text

SETTINGS = settings(derandomize=True, deadline=None, max_examples=150)
PATTERNS = ["a*b", "(ab|ba)+", "a{2,4}", "[^a]b?", "", "(a|b)*abb", "(aa)*", "(aaa|b)*", "[ab]{3}"]
ALL_TEXTS = ["".join(chars) for n in range(6) for chars in product("abc", repeat=n)]


def table(pattern: str) -> Table:
    return Table.of_node(parse_fullmatch(pattern))


@SETTINGS
@given(
    st.lists(st.sampled_from(PATTERNS), max_size=3),
    st.lists(st.sampled_from(PATTERNS), max_size=2),
)
def test_combine_is_what_all_accept_and_none_forbids(
    required: list[str], banned: list[str]
) -> None:
    tables = [table(p) for p in required], [table(p) for p in banned]
    both = combine(*tables)
    assert have_common_text(*tables) == (not both.is_empty)
    for text in ALL_TEXTS:
        inside = all(re.fullmatch(p, text) for p in required)
        assert both.accepts(text) == (inside and not any(re.fullmatch(p, text) for p in banned))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_least_and_the_greatest_length(pattern: str) -> None:
    subject = table(pattern)
    found = {len(text) for text in ALL_TEXTS if re.fullmatch(pattern, text)}
    low, high = subject.lengths
    assert low == min(found, default=0)
    assert high is None or high == max(found)


@given(st.integers(0, 4), st.none() | st.integers(0, 6), st.text("aé😀", max_size=8))
def test_lengths_count_code_points(low: int, high: int | None, text: str) -> None:
    if high is None or high >= low:
        inside = low <= len(text) and (high is None or len(text) <= high)
        assert Table.of_lengths(low, high).accepts(text) == inside


@SETTINGS
@given(st.sampled_from(PATTERNS), st.text("abc\n", max_size=6))
def test_the_nondeterministic_automaton_accepts_the_same(pattern: str, text: str) -> None:
    assert Nfa.of(parse_fullmatch(pattern)).accepts(text) == table(pattern).accepts(text)


RANGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted), max_size=3).map(
    lambda pairs: tuple((2 * low, 2 * high) for low, high in pairs[:1])
)


@SETTINGS
@given(st.lists(RANGES, max_size=4), st.lists(RANGES, max_size=4))
def test_alphabets_tell_apart_exactly_what_their_sets_do(one: list, other: list) -> None:  # type: ignore[type-arg]
    alphabet, classes = distinguish(one)
    second, _ = distinguish(other)
    joint, keys = join([alphabet, second])
    for code in range(70):
        char = chr(code)
        for ranges, numbers in zip(one, classes, strict=True):
            inside = any(low <= code <= high for low, high in ranges)
            assert (alphabet.of(char) in numbers) == inside
        assert keys[joint.of(char)] == (alphabet.of(char), second.of(char))
    assert alphabet.of("\ud800") == alphabet.of("\udfff") == NO_CLASS

"""Exact quotes: every passage and nothing else, and where it stands."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from treegram.lang.automaton.substring import SubstringOf
from treegram.lang.constraint import constraint_from
from treegram.lang.errors import ParameterError
from treegram.lang.grammar import Grammar

TEXT = "The art of part-time work,\nsaid 漢字 Kant: «art»."


@given(st.text("abé漢", min_size=1, max_size=8), st.text("abé漢", max_size=5))
def test_the_grammar_is_every_passage(text: str, quote: str) -> None:
    grammar = Grammar.from_substring(text)
    assert grammar.accepts(quote) == (quote != "" and quote in text)
    assert grammar.accepts_prefix(quote) == (quote in text)


def test_with_words_no_word_is_quoted_in_half() -> None:
    grammar = Grammar.from_substring(TEXT, words=True)
    places = [(m.start(), m.end()) for m in re.finditer(r"\w+|[^\w\s]", TEXT)]
    passages = {TEXT[a:b] for a, _ in places for _, b in places if a < b}
    for start in range(len(TEXT)):
        for end in range(start + 1, len(TEXT) + 1):
            assert grammar.accepts(TEXT[start:end]) == (TEXT[start:end] in passages)


@given(st.data(), st.booleans())
def test_the_place_is_the_first_at_which_the_quote_is_a_passage(
    data: st.DataObject, words: bool
) -> None:
    start = data.draw(st.integers(0, len(TEXT) - 1))
    quote = TEXT[start : data.draw(st.integers(start + 1, len(TEXT)))]
    quoted = SubstringOf(TEXT, words=words)
    assume(Grammar.from_substring(TEXT, words=words).accepts(quote))
    place = quoted.place(quote)
    assert place is not None
    assert TEXT[place.start : place.end] == quote
    assert place.start <= start


def test_a_word_is_not_found_inside_another() -> None:
    assert SubstringOf("part art", words=True).place("art") == (5, 8)
    assert SubstringOf("part art").place("art") == (1, 4)
    assert SubstringOf("part").place("x") is None
    assert SubstringOf("part").place("") is None


def test_the_value_is_the_quote() -> None:
    for source in (TEXT, SubstringOf(TEXT, words=True)):
        constraint = constraint_from(substring_of=source)
        assert constraint is not None
        assert constraint.parse("part-time work") == "part-time work"
        assert constraint.quoted is not None
        assert constraint.quoted.place("part-time work") == (11, 25)


@pytest.mark.parametrize("text", ["", 3, "a\ud800", None])
def test_a_text_with_nothing_to_quote_is_refused(text: Any) -> None:
    with pytest.raises(ParameterError, match="substring_of"):
        SubstringOf(text)


def test_a_long_text_is_ready_at_once() -> None:
    text = " ".join(f"word{n}" for n in range(50_000))
    grammar = Grammar.from_substring(text, words=True)
    assert grammar.accepts("word49000 word49001")
    assert not grammar.accepts("word49000 word49002")

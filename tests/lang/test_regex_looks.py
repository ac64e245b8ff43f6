"""Lookarounds, boundaries and inner anchors against Python's `re`."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.ir.dfa import Dfa
from treegram.lang.regex.expressions import parse_fullmatch, parse_search
from treegram.lang.regular.nfa import Nfa

SETTINGS = settings(derandomize=True, deadline=None, max_examples=150)

ITEMS = ["a", "b", "[ab]", ".", "a?", "b*", "(?:a|bb)", "(?:ab)+", "^", r"\b", "-", r"\Z"]
LOOKS = ["(?={})", "(?!{})", "(?:{})*", "(?:{}|b)", "{}"]
BEHIND = ["(?<=a)", "(?<!b)", "(?<=-a)", "(?<![ab])", "(?<=^)"]


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(st.sampled_from(LOOKS), inner).map(lambda pair: pair[0].format(pair[1])),
    )


EXPRESSIONS = st.recursive(st.sampled_from(ITEMS + BEHIND), _nested, max_leaves=7)
TEXTS = st.text("ab-\n", max_size=6)


def compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern, re.ASCII)
    except re.error:  # such as a lookbehind of varying width, which we can do
        return None


@SETTINGS
@given(EXPRESSIONS, st.lists(TEXTS, max_size=10))
def test_places_agree_with_python_wherever_they_stand(body: str, texts: list[str]) -> None:
    expected = compiled(body)
    if expected is None:
        return
    search = Nfa.of(parse_search(body))
    whole = Nfa.of(parse_fullmatch(f"(?:{body})|b"))  # something is always left
    both = re.compile(f"(?:{body})|b", re.ASCII)
    for text in texts:
        assert search.accepts(text) == (expected.search(text) is not None), text
        assert whole.accepts(text) == (both.fullmatch(text) is not None), text


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("^(?!@@)[\\w@]+$", ["a", "@a", "a@@"], ["@@", "@@a", ""]),
        ("^(?=.*[A-Z])(?=.*\\d)[^\\s]{3,}$", ["A1b", "xx9Z"], ["ab1", "A1", "A 1x"]),
        ("^((?!--)[a-z-])+$", ["a-b", "-a-"], ["a--b", "--"]),
        (r"\bfoo\b", ["foo", "a foo b", "é foo中"], ["food", "_foo"]),
        (r"a\Bb", ["ab"], ["a b"]),
        ("x(^a|b)", ["xb"], ["xa", "a"]),
        ("(^a)*b", ["ab", "b"], ["a"]),
        ("(?<=^|,)a", ["a", "b,a"], ["ba"]),
        ("^(?!.*\\bsecret\\b).*$", ["", "secrets", "a\nb"[:1]], ["a secret", "secret"]),
        ("(?m)^a$", ["a", "b\na\nc", "x\na"], ["ab", "ba"]),
        ("^(?=(?!ab).*c)", ["c", "bac"], ["abc", "b"]),
        ("^(?!漢)\\p{L}+$", ["字漢", "مرحبا"], ["漢字", "1"]),
        ("(?<!(?<!a)b)c", ["c", "abc"], ["bc", "bbc"]),
    ],
)
def test_what_stands_around_a_place_counts(pattern: str, yes: list[str], no: list[str]) -> None:
    nfa = Nfa.of(parse_search(pattern))
    assert [text for text in yes if not nfa.accepts(text)] == []
    assert [text for text in no if nfa.accepts(text)] == []


def test_the_automaton_is_minimal() -> None:
    node = parse_search("^(?!io\\.x\\.)([a-z]+\\.)*[a-z]+$")
    assert isinstance(node, Dfa)
    assert len(node.edges) < 12


def test_time_is_bounded() -> None:
    begun = time.thread_time()
    with pytest.raises(ValueError, match="too large"):
        parse_search("(?=.*a.{30}b)(?=.*b.{30}a)(?=.*c.{30}a)")
    assert time.thread_time() - begun < 5

"""Sets of strings against Python's `re`, `json` and `len`."""

from __future__ import annotations

import json
import re
import time
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.errors import SchemaError
from treegram.lang.ir.nodes import NEVER, CharClass, Literal, Node, Repeat, Rules, Seq, Terminal
from treegram.lang.json_schema.span import Span
from treegram.lang.json_schema.string_set import StringSet
from treegram.lang.json_schema.strings import CHAR
from treegram.lang.regular.nfa import Nfa

SETTINGS = settings(derandomize=True, deadline=None, max_examples=250)
PATTERNS = [
    "^[a-z]+$",
    "^x-",
    "a.c",
    "^(?!ab)",
    "[0-9]{2}",
    "^.{0,3}$",
    "é|中",
    "^$",
    r"\bfoo\b",
    '["\\\\]',
    "^[^a]*$",
    "(?:ab)+$",
]
TEXTS = [
    *("", "a", "ab", "abc", "x-é", "x-1", "12", "中", "foo", "a foo b", "a c", "abab", "zzz"),
    *('a"c', "a\\c", "a\nc", "éééé", "😀", "foo12", "x-12ab", "مرحبا"),
]


def found(pattern: str, text: str) -> bool:
    return re.search(re.sub(r"\$$", r"\\Z", pattern), text, re.ASCII) is not None


def accepts(node: Node, text: str) -> bool:
    if not isinstance(node, Terminal):
        return False
    return text not in node.excluded and Nfa.of(node.node).accepts(text)


def some(of: list[str], most: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(of), max_size=most, unique=True).map(tuple)


SPANS = st.tuples(st.integers(0, 3), st.none() | st.integers(0, 5)).map(lambda pair: Span(*pair))
SETS = st.builds(
    StringSet,
    SPANS,
    some(PATTERNS, 2),
    some(PATTERNS, 1),
    excluded=some(TEXTS, 3).map(frozenset),
)


@SETTINGS
@given(SETS, st.booleans())
def test_a_set_is_what_its_fields_say(strings: StringSet, escapes: bool) -> None:
    node = strings.node(escapes=escapes)
    assert strings.is_empty() == (node == NEVER)
    others = strings.negated()
    for text in TEXTS:
        inside = (
            len(text) in strings.length
            and text not in strings.excluded
            and all(found(pattern, text) for pattern in strings.patterns)
            and not any(found(pattern, text) for pattern in strings.not_patterns)
        )
        assert strings.contains(text) == inside, text
        assert any(other.contains(text) for other in others) == (not inside), text
        plain, escaped = json.dumps(text, ensure_ascii=False), json.dumps(text)
        assert accepts(node, plain) == inside, text
        assert accepts(node, escaped) == (inside and (escapes or escaped == plain)), text


@SETTINGS
@given(SETS, SETS)
def test_and_is_the_intersection(one: StringSet, other: StringSet) -> None:
    both = one & other
    for text in TEXTS:
        assert both.contains(text) == (one.contains(text) and other.contains(text))


@pytest.mark.parametrize("high", [0, 1, 2])
def test_a_set_runs_empty_when_its_last_text_is_excluded(high: int) -> None:
    texts = ["", "a", "aa"][: high + 1]
    strings = StringSet(Span(0, high), ("^a*$",), excluded=frozenset(texts[:-1]))
    assert not strings.is_empty()
    assert (strings & StringSet(excluded=frozenset(texts))).is_empty()


def test_a_format_is_as_long_as_its_lengths_say() -> None:
    uris = StringSet(Span(200, 2083), formats=("uri",))
    yes = ["https://example.com/" + "a" * n for n in (180, 181, 2063)]
    no = ["https://example.com/" + "a" * n for n in (179, 2064)]
    node = uris.node()
    assert isinstance(node, Terminal)
    automaton = Automaton(Rules("root", {"root": node}))
    assert [text for text in yes if not automaton.accepts(json.dumps(text).encode())] == []
    assert [text for text in no if automaton.accepts(json.dumps(text).encode())] == []


def test_half_a_surrogate_pair_is_in_no_set() -> None:
    strings = StringSet(excluded=frozenset(("\ud800", "a")))
    [others] = strings.negated()
    assert others.contains("a")
    assert not accepts(strings.node(), '"a"')


def test_lengths_alone_are_counted_not_written_out() -> None:
    node = StringSet(Span(3, 100_000)).node()
    assert node == Terminal(Seq((Literal('"'), Repeat(CHAR, 3, 100_000), Literal('"'))))


def test_excluded_texts_alone_need_no_automaton() -> None:
    node = StringSet(excluded=frozenset(("a", "é\n"))).node()
    assert isinstance(node, Terminal)
    assert node.excluded == {'"a"', '"é\\n"'}


def test_an_excluded_text_that_cannot_be_in_the_set_changes_nothing() -> None:
    pattern = StringSet(patterns=("^x-",))
    assert (pattern & StringSet(excluded=frozenset(("name",)))).node() == pattern.node()


def test_one_pattern_stays_a_node() -> None:
    node = StringSet(patterns=("^[a-z]{1,4000}$",)).node()
    letters = Repeat(CharClass(((0x61, 0x7A),)), 1, 4000)
    assert node == Terminal(Seq((Literal('"'), letters, Literal('"'))))


@pytest.mark.parametrize(
    ("strings", "keyword", "message"),
    [
        (StringSet(patterns=("a(",), path="$.x"), "pattern", "unclosed"),
        (StringSet(not_patterns=(r"(a)\1",), path="$.x"), "pattern", "backreference"),
        (StringSet(not_patterns=("^(a|b)*a(a|b){20}$",), path="$.x"), "pattern", "too large"),
        (StringSet(not_formats=("regex",), path="$.x"), "format", "no grammar"),
    ],
)
def test_what_has_no_grammar_is_named(strings: StringSet, keyword: str, message: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(SchemaError, match=message) as caught:
        strings.node()
    assert (caught.value.path, caught.value.keyword) == ("$.x", keyword)
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(
    ("strings", "yes", "no"),
    [
        (
            StringSet(Span(0, 120), (r"^(?:\S+\s+){0,9}\S+$",)),
            ["a b c", "x" * 120, " ".join("abcdefghij")],
            ["x" * 121, " ".join("abcdefghijk"), " a"],
        ),
        (
            StringSet(Span(5, 255), (r"^\S+@\S+$",)),
            ["a@b.c", "é" * 253 + "@a"],
            ["a@bc", "é" * 254 + "@a"],
        ),
        (
            StringSet(Span(3, 80), (r"^(?:@[0-9a-z-_.]+\/)?[a-z][0-9a-z-_.]*$",)),
            ["@a/b", "treegram", "@a/" + "b" * 77],
            ["ab", "@a/" + "b" * 78, "A"],
        ),
        (
            StringSet(Span(1, 1024), (r"^[\w /-]+\.[0-9a-zA-Z]+$",)),
            ["a.b", "/" * 1022 + ".b"],
            ["a.", "/" * 1023 + ".b"],
        ),
        (
            StringSet(Span(0, 200), ("^https://",), formats=("uri",)),
            ["https://example.com/a?b=c"],
            ["http://example.com", "https://a b", "https://" + "a" * 200],
        ),
        (
            StringSet(Span(0, 100), formats=("email",)),
            ["first.last+tag@mail.example.com"],
            ["a@" + "b" * 99, "@b"],
        ),
    ],
)
def test_patterns_and_formats_with_lengths(
    strings: StringSet, yes: list[str], no: list[str]
) -> None:
    node = strings.node()
    assert isinstance(node, Terminal)
    automaton = Automaton(Rules("root", {"root": node}))
    spelled = partial(json.dumps, ensure_ascii=False)
    assert [text for text in yes if not automaton.accepts(spelled(text).encode())] == []
    assert [text for text in no if automaton.accepts(spelled(text).encode())] == []

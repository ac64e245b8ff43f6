"""The regex dialect means what Python's `re` means, and refuses by column what has no grammar."""

from __future__ import annotations

import re
import warnings
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.automaton.reference import matches
from treegram.lang.errors import RegexError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.nodes import Literal, Node, Repeat, Rules
from treegram.lang.regex.escapes import UNSUPPORTED_ESCAPES
from treegram.lang.regex.expressions import (
    escape,
    parse_fullmatch,
    parse_passage,
    parse_search,
)
from treegram.lang.regex.flags import UNSUPPORTED_FLAGS
from treegram.lang.regex.parser import MAX_OPEN_GROUPS, MAX_REPETITIONS, UNSUPPORTED_GROUPS
from treegram.lang.regex.sets import complement, union

ATOMS = ["a", "b", "A", "1", " ", "é", ".", r"\.", "-", "]", r"\n", r"\x61", r"\u00e9", r"\t"]
CLASSES = [r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", "[ab]", "[^a]", "[a-b1]", r"[\d\-.]", r"[^\w]"]
COUNTS = ["*", "+", "?", "{2}", "{1,}", "{0,2}", "{,1}", "{0}", "*?", "+?", "??", "{1,2}?"]
TEXTS = st.text("abA1 é.\n-]", max_size=6)


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.lists(inner | st.just(""), min_size=2, max_size=3).map(lambda xs: f"({'|'.join(xs)})"),
        st.tuples(inner, st.sampled_from(COUNTS)).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    )


BODIES = st.recursive(st.sampled_from(ATOMS + CLASSES), _compound, max_leaves=8)


def accepts(node: Node, text: str) -> bool:
    return matches(Rules("root", {"root": node}), text)


@settings(max_examples=300)
@given(BODIES, st.booleans(), st.lists(TEXTS, max_size=12))
def test_whole_match_agrees_with_python(body: str, ignore_case: bool, texts: list[str]) -> None:
    pattern = f"(?i){body}" if ignore_case and "é" not in body and "u00e9" not in body else body
    node = parse_fullmatch(pattern)
    grammar = Grammar.from_regex(pattern)
    for text in texts:
        expected = re.fullmatch(pattern, text, re.ASCII) is not None
        assert accepts(node, text) == expected, text
        assert grammar.accepts(text) == expected, text


ANCHORED = st.tuples(st.sampled_from(["", "^"]), BODIES, st.sampled_from(["", "$"])).map("".join)


@settings(max_examples=150)
@given(st.lists(ANCHORED, min_size=1, max_size=3).map("|".join), st.lists(TEXTS, max_size=8))
def test_search_agrees_with_python(pattern: str, texts: list[str]) -> None:
    node = parse_search(pattern)
    for text in texts:
        # ECMAScript's $ is the very end, Python's \Z
        expected = re.search(re.sub(r"\$(?=$|\|)", r"\\Z", pattern), text, re.ASCII) is not None
        assert accepts(node, text) == expected, text


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("^a|b$", ["a", "ax", "b", "xb"], ["xa", "bx", ""]),
        ("(^a|b)c", ["ac", "acx", "xbc", "bcx"], ["xac", "c"]),
        ("(?:^|,)a(?:,|$)", ["a", "x,a", "a,x", "x,a,x"], ["xa", "ax"]),
        ("^$", [""], ["a"]),
        ("", ["", "a\nb"], []),
        ("a.b", ["a.b", "x\na-b\n"], ["a\nb"]),
    ],
)
def test_each_alternative_keeps_its_own_anchors(
    pattern: str, yes: list[str], no: list[str]
) -> None:
    node = parse_search(pattern)
    assert [text for text in yes if not accepts(node, text)] == []
    assert [text for text in no if accepts(node, text)] == []


@settings(max_examples=600)
@given(st.text("ab()[]{}|*+?^$\\.,12-:<!=Pdwbsi#é\n", max_size=9), st.lists(TEXTS, max_size=4))
def test_any_text_is_refused_at_a_column_or_agrees_with_python(
    pattern: str, texts: list[str]
) -> None:
    try:
        node = parse_fullmatch(pattern)
    except RegexError as error:
        column = error.column
    else:
        _agrees_with_python(pattern, node, texts)
        return
    assert 0 <= column <= len(pattern)


def _agrees_with_python(pattern: str, node: Node, texts: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # sets inside sets, which Python may add
        try:
            compiled = re.compile(pattern, re.ASCII)
        except re.error:
            return
    for text in texts:
        assert accepts(node, text) == (compiled.fullmatch(text) is not None), text


MISTAKES = [
    ("[0-9+", 0, "unclosed '['"),
    ("ab(cd", 2, "unclosed '('"),
    ("a(b))", 4, "closes nothing"),
    ("*a", 0, "nothing to repeat"),
    ("a|+", 2, "nothing to repeat"),
    ("(?:*)", 3, "nothing to repeat"),
    ("^*", 1, "nothing to repeat"),
    ("a**", 2, "second repetition"),
    ("a{2}{3}", 4, "second repetition"),
    ("x[z-a]", 2, "runs backwards"),
    (r"[\w-z]", 1, "single characters"),
    (r"[a-\d]", 1, "single characters"),
    ("[]a]", 1, "']' first in a class"),
    ("[^]", 2, "']' first in a class"),
    ("a{3,1}", 1, "run backwards"),
    (f"a{{{MAX_REPETITIONS + 1}}}", 1, "repetitions"),
    (f"a{{{'9' * 5000}}}", 1, "repetitions"),
    ("ab\\", 2, "lone backslash"),
    (r"\xZ1", 0, "hexadecimal"),
    (r"\u{110000}", 0, "beyond Unicode"),
    (r"\uD800", 0, "surrogate"),
    (r"[\uD800-a]", 1, "surrogate"),
    ("a\ud800", 1, "surrogate"),
    (r"\p{Foo}", 0, "unknown property"),
    (r"\pL", 0, "with a property"),
    (r"\p{Script=Klingon}", 0, "unknown property"),
    (r"\01", 0, "octal"),
    (r"\c1", 0, "letter A-Z"),
    (r"\y", 0, "unknown escape"),
    ("a++", 2, "possessive"),
    ("a{2}+", 4, "possessive"),
    ("(?#x", 0, "unclosed comment"),
    ("(?~a)", 0, "unknown group"),
    ("(?<1a>b)", 0, "group name"),
    ("(?<n>a)(?<n>b)", 7, "second group"),
    ("a(?i)b", 1, "come first"),
    ("(?q)a", 0, "unknown flag"),
    ("(?-i)a", 0, "nothing to turn off"),
    ("a^b", 1, "leaves no text"),
    ("a$b", 1, "leaves no text"),
    ("(?<=a)b", 0, "leaves no text"),
    (r"a(?<=(?=b)a)", 1, "looks ahead"),
    (r"a(?=.*a.{30}b)(?=.*b.{30}a).*", 1, "too large"),
    ("(" * 100, MAX_OPEN_GROUPS, "groups inside each other"),
    ("(" * 100_000 + ")" * 100_000, MAX_OPEN_GROUPS, "groups inside each other"),
    *((f"a{group}b)", 1, message) for group, message in UNSUPPORTED_GROUPS.items()),
    *((f"a\\{letter}", 1, message) for letter, message in UNSUPPORTED_ESCAPES.items()),
    *((f"(?{flag})a", 0, message) for flag, message in UNSUPPORTED_FLAGS.items()),
]


@pytest.mark.parametrize(("pattern", "column", "message"), MISTAKES)
def test_a_mistake_is_named_at_its_column(pattern: str, column: int, message: str) -> None:
    with pytest.raises(RegexError) as caught:
        parse_fullmatch(pattern)
    assert caught.value.column == column
    assert caught.value.pattern == pattern
    assert message in str(caught.value)
    assert str(caught.value).splitlines()[-1] == "  " + " " * column + "^"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"\u{1F600}\U0001F600\uD83D\uDE00", "\U0001f600" * 3),
        (r"\p{Lu}\P{L}\p{Nd}", "É5٣"),
        (r"\cJ\0[\b]", "\n\0\b"),
        ("(?i)é", "É"),
        ("(?i:a)b", "Ab"),
        ("(?i)(?-i:a)B", "ab"),
        ("(?s)a.b", "a\nb"),
        ("(?P<x>a)(?<y>b)(?#note)+", "abb"),
        (r"^\Aa\Z\z$", "a"),
        ("{a}{}]", "{a}{}]"),
        (r"\/\-\ ", "/- "),
        ("(?x) a b # the rest\n  c", "abc"),
        (r"(?x)a\ b[ ]", "a b "),
        (r"(?m)^a$\n^b$", "a\nb"),
        (r"(?u)\w\d\s", "é٣\u3000"),
        (r"(?u:\w)\w", "éa"),
        (r"\p{Letter}\p{gc=Nd}\p{Script=Han}\p{sc=Hira}\p{ASCII}", "é٣漢あa"),
        (r"\p{Script=Arabic}+\P{Any}?\p{So}", "مرحبا\U0001f600"),
    ],
)
def test_syntax_beyond_pythons(pattern: str, text: str) -> None:
    assert accepts(parse_fullmatch(pattern), text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"\d", "٣"),
        (r"\w", "é"),
        (r"\s", "\u00a0"),
        ("(?i)s", "\u017f"),
        ("(?i)k", "\u212a"),
        ("(?i)[^a]", "A"),
        ("(?i)(?-i:a)", "A"),
    ],
)
def test_classes_are_ascii_and_case_pairs_are_one_to_one(pattern: str, text: str) -> None:
    assert not accepts(parse_fullmatch(pattern), text)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"^\s$", ["\u00a0", "\ufeff", "\u2028", "\u3000", "\n"], ["\x1c", "\x85", "x"]),
        ("^.$", ["\x85", "\u3000"], ["\n", "\r", "\u2028", "\u2029"]),
        ("^[^]$", ["\n", "x"], ["", "xx"]),
        ("a[]|b", ["b"], ["a"]),
        (r"^\p{Letter}+$", ["école", "中文", "مرحبا"], ["a1"]),
    ],
)
def test_the_pattern_of_a_schema_is_ecmascript(pattern: str, yes: list[str], no: list[str]) -> None:
    node = parse_search(pattern)
    assert [text for text in yes if not accepts(node, text)] == []
    assert [text for text in no if accepts(node, text)] == []


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_an_escaped_text_matches_itself_alone(text: str) -> None:
    node = parse_fullmatch(escape(text))
    assert accepts(node, text)
    assert not accepts(node, text + "a")


@pytest.mark.parametrize("pattern", ["^a", "a$", r"\ba", "a(?=b)", "(?<!a)b"])
def test_a_passage_has_no_surroundings(pattern: str) -> None:
    with pytest.raises(RegexError, match="looked for anywhere"):
        parse_passage(pattern)


def test_large_counts_stay_numbers() -> None:
    assert parse_fullmatch("a{3,1000000}") == Repeat(Literal("a"), 3, 1_000_000)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted).map(tuple)))
def test_range_algebra_agrees_with_sets(pairs: list[tuple[int, int]]) -> None:
    expected = {code for low, high in pairs for code in range(low, high + 1)}
    ranges = union(pairs)
    assert {code for low, high in ranges for code in range(low, high + 1)} == expected
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(ranges))
    assert complement(complement(ranges)) == ranges

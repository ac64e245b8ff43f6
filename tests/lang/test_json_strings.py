"""The encoding of strings against `json.dumps`."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.ir import Alt, CharClass, Literal, Node, Repeat, Rules, Seq
from treegram.lang.json_strings import (
    ANY_CHAR,
    STRING_RULES,
    any_text,
    encode,
    lengths,
    quote,
    quoted,
    subtract,
    with_length,
)
from treegram.lang.reference import matches

SETTINGS = settings(derandomize=True, deadline=None, max_examples=150)
LETTER = CharClass(((0x61, 0x7A),))


def accepts(node: Node, text: str) -> bool:
    return matches(Rules("root", {"root": node, **STRING_RULES}), text)


@settings(SETTINGS, max_examples=60)
@given(st.text(max_size=9), st.integers(0, 6), st.none() | st.integers(0, 8))
def test_length_counts_decoded_code_points(text: str, low: int, high: int | None) -> None:
    node = quoted(encode(any_text(low, high)))
    inside = low <= len(text) and (high is None or len(text) <= high)
    assert accepts(node, json.dumps(text, ensure_ascii=False)) == inside


@pytest.mark.parametrize("code", [*range(0x20), 0x22, 0x2F, 0x5C, 0x7F, 0xE9, 0x2028, 0x1F600])
def test_each_code_point_has_the_spelling_of_json_dumps_and_no_other(code: int) -> None:
    node = encode(ANY_CHAR)
    accepted = json.dumps(chr(code), ensure_ascii=False)[1:-1]
    assert accepts(node, accepted)
    others = {chr(code), f"\\u{code:04x}", f"\\u{code:04X}", "\\" + chr(code)} - {accepted}
    assert not any(accepts(node, other) for other in others)


@pytest.mark.parametrize("text", ['"', "\\", "\n", "\\x", "\\u00", "\ud800"])
def test_broken_strings_are_refused(text: str) -> None:
    assert not accepts(quoted(encode(any_text(0, None))), f'"{text}"')


@SETTINGS
@given(st.lists(st.integers(0, 0x60), min_size=1, max_size=8, unique=True), st.characters())
def test_a_class_is_encoded_code_point_by_code_point(codes: list[int], char: str) -> None:
    node = encode(CharClass(tuple((code, code) for code in sorted(codes))))
    for candidate in {*map(chr, codes), char}:
        encoded = json.dumps(candidate, ensure_ascii=False)[1:-1]
        assert accepts(node, encoded) == (ord(candidate) in codes)


def test_literals_are_escaped() -> None:
    assert encode(Literal('a"\n')) == Literal('a\\"\\n')


def test_a_surrogate_has_no_text() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        quote("\ud800")


def test_subtract_cuts_holes() -> None:
    assert subtract(((1, 5), (8, 8)), (3, 8)) == ((1, 2), (4, 5))


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (Literal("abc"), (3, 3)),
        (Repeat(LETTER, 2, None), (2, None)),
        (Seq((LETTER, Repeat(LETTER, 0, 4))), (1, 5)),
        (Alt((Literal("a"), Literal("abcd"))), (1, 4)),
        (Repeat(Literal(""), 0, None), (0, 0)),
    ],
)
def test_lengths(node: Node, expected: tuple[int, int | None]) -> None:
    assert lengths(node) == expected


@SETTINGS
@given(
    st.integers(0, 3),
    st.none() | st.integers(0, 7),
    st.integers(0, 6),
    st.none() | st.integers(0, 9),
    st.text("ab-", max_size=10),
)
def test_with_length_is_the_intersection(
    first: int, more: int | None, low: int, high: int | None, text: str
) -> None:
    top = None if more is None else first + more
    node = Seq((Literal("a"), Repeat(CharClass(((0x61, 0x62),)), first, top), Literal("-")))
    narrowed = with_length(node, low, high)
    assert narrowed is not None
    pattern = rf"a[ab]{{{first},{'' if top is None else top}}}-"
    inside = low <= len(text) and (high is None or len(text) <= high)
    assert accepts(narrowed, text) == (inside and re.fullmatch(pattern, text) is not None)


def test_two_varying_parts_are_left_to_automata() -> None:
    letters = Repeat(LETTER, 0, None)
    assert with_length(Seq((letters, Literal("-"), letters)), 0, 5) is None

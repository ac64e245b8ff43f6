"""The encoding of strings against `json.dumps`."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.automaton.reference import matches
from treegram.lang.ir.nodes import CharClass, Literal, Node, Repeat, Rules
from treegram.lang.json_schema.escapes import quote
from treegram.lang.json_schema.strings import encode, quoted
from treegram.lang.json_schema.strings_dfa import encode_dfa
from treegram.lang.regex.expressions import parse_fullmatch
from treegram.lang.regex.sets import ANY
from treegram.lang.regular.table import Table

SETTINGS = settings(derandomize=True, deadline=None, max_examples=150)
ANY_TEXT = Repeat(CharClass(ANY), 0, None)


def accepts(node: Node, text: str) -> bool:
    return matches(Rules("root", {"root": node}), text)


@settings(SETTINGS, max_examples=60)
@given(st.text(max_size=9), st.integers(0, 6), st.none() | st.integers(0, 8))
def test_length_counts_decoded_code_points(text: str, low: int, high: int | None) -> None:
    if high is not None and high < low:
        return
    node = quoted(encode(Repeat(CharClass(ANY), low, high)))
    inside = low <= len(text) and (high is None or len(text) <= high)
    assert accepts(node, json.dumps(text, ensure_ascii=False)) == inside


@pytest.mark.parametrize("code", [*range(0x20), 0x22, 0x2F, 0x5C, 0x7F, 0xE9, 0x2028, 0x1F600])
def test_each_code_point_has_the_spelling_of_json_dumps_and_no_other(code: int) -> None:
    node = encode(CharClass(ANY))
    accepted = json.dumps(chr(code), ensure_ascii=False)[1:-1]
    assert accepts(node, accepted)
    others = {chr(code), f"\\u{code:04x}", f"\\u{code:04X}", "\\" + chr(code)} - {accepted}
    assert not any(accepts(node, other) for other in others)


@pytest.mark.parametrize("text", ['"', "\\", "\n", "\\x", "\\u00", "\ud800"])
def test_broken_strings_are_refused(text: str) -> None:
    assert not accepts(quoted(encode(ANY_TEXT)), f'"{text}"')


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


PATTERNS = [
    "[^a]*",
    "(?s).*",
    r"\p{Script=Greek}+",
    "[é-中]*😀?",
    "[\\x00-é]{2}",
    "(?i)[a-zé]+b|中.",
    r"[\uffff\U00010000-\U0010ffff]*",
    r"[^\x00-\x1f\"]*",
    r"[\u{1F600}-\u{1F64F}]+|[\ud7f0-\ue010]",
]
CHARACTERS = st.sampled_from([*'abz09 é\n"\\/\x01\x1f\x7f\t中ب😀\U00010000\U0010ffff\uffff'])


def spellings(text: str) -> list[str]:
    """The text between quotes: as it is, escaped, and escaped with upper-case digits."""
    escaped = json.dumps(text)[1:-1]
    upper = re.sub(r"(?<=\\u)[0-9a-f]{4}", lambda found: found[0].upper(), escaped)
    return [json.dumps(text, ensure_ascii=False)[1:-1], escaped, upper]


@SETTINGS
@given(st.sampled_from(PATTERNS), st.text(CHARACTERS, max_size=4), st.booleans())
def test_both_encoders_accept_exactly_the_allowed_spellings(
    pattern: str, text: str, escapes: bool
) -> None:
    node = parse_fullmatch(pattern)
    table = Table.of_node(node)
    automaton = encode_dfa(table.dfa, escapes=escapes)
    inside = table.accepts(text)
    for spelled in spellings(text):
        try:
            same = json.loads(f'"{spelled}"') == text
        except ValueError:
            continue
        plain = spelled == json.dumps(text, ensure_ascii=False)[1:-1]
        if same and (plain or escapes):
            assert automaton.accepts(spelled) == inside
        elif same:
            assert not automaton.accepts(spelled)


@pytest.mark.parametrize("escapes", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_nodes_and_automata_are_encoded_alike(pattern: str, escapes: bool) -> None:
    """As whole languages: the smallest automata are equal."""
    node = parse_fullmatch(pattern)
    direct = encode_dfa(Table.of_node(node).dfa, escapes=escapes)
    assert Table.of_node(direct).dfa == Table.of_node(encode(node, escapes=escapes)).dfa


@pytest.mark.parametrize(
    ("spelled", "legal"),
    [
        (r"\u00e9", True),
        (r"\u00E9", True),
        (r"\ud83d\uDE00", True),
        (r"\u007f", True),
        (r"\u0041", False),
        (r"\ud83d", False),
        (r"\ude00\ud83d", False),
        (r"\u00", False),
        (r"\/", False),
    ],
)
def test_escapes_spell_what_ascii_cannot(spelled: str, legal: bool) -> None:
    assert accepts(encode(CharClass(ANY), escapes=True), spelled) == legal


def test_the_common_class_is_one_shared_node() -> None:
    first, second = (encode(CharClass(ANY), escapes=True) for _ in range(2))
    assert first is second

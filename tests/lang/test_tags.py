"""Structural tags: a begin marker opens its region and stands nowhere else; texts split back."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegram.lang.constraint import Constraint, constraint_from
from treegram.lang.errors import ParameterError, ProgramError, RegexError
from treegram.lang.ir.random_text import random_text
from treegram.lang.tags import Region, Tag, Tags
from treegram.lang.types.tools import ToolCall


def made(tags: Any) -> Constraint:
    constraint = constraint_from(tags=tags)
    assert constraint is not None
    return constraint


DIGITS = Tag("<n>", "</n>", regex="[0-9]+")
NOTE = Tag("<note>", "</note>")
OBJECT = Tag("<o>", "</o>", schema={"type": "object", "additionalProperties": {"type": "string"}})

# The same language, written as a regular expression for Python.
_FREE = r"(?:(?!<n>|<note>)[\s\S])*"
_REGION = r"(?:<n>[0-9]+</n>|<note>(?:(?!</note>)[\s\S])*</note>)"
TRUTH = {
    (False, False): rf"(?:{_FREE}{_REGION})*{_FREE}",
    (True, False): rf"(?:{_FREE}{_REGION})+{_FREE}",
    (False, True): rf"{_FREE}(?:{_REGION})?",
    (True, True): rf"{_FREE}{_REGION}",
}
PIECES = ["<n>", "</n>", "<note>", "</note>", "7", "42", "a", "<", "/", "n>", "<no", "漢", "\n"]


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), st.booleans(), st.booleans())
def test_the_grammar_is_the_language(text: str, at_least_one: bool, stop_after_first: bool) -> None:
    tags = Tags([DIGITS, NOTE], at_least_one=at_least_one, stop_after_first=stop_after_first)
    expected = re.fullmatch(TRUTH[at_least_one, stop_after_first], text)
    assert made(tags).grammar.accepts(text) == (expected is not None)


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_the_parts_spell_the_text(text: str) -> None:
    constraint = made([DIGITS, NOTE])
    if not constraint.grammar.accepts(text):
        with pytest.raises(ValueError, match="marker"):
            constraint.parse(text)
        return
    parts = constraint.parse(text)
    assert isinstance(parts, list)
    spelled = ""
    for part in parts:
        if isinstance(part, Region):
            assert part.tag in (DIGITS, NOTE)
            spelled += part.tag.begin + part.text + part.tag.end
        else:
            assert part
            assert "<n>" not in part
            assert "<note>" not in part
            spelled += part
    assert spelled == text


def test_regions_have_values() -> None:
    def add(a: int, b: int = 1) -> int:
        return a + b

    tool = Tag("<tool>", "</tool>", tools=[add])
    text = 'I add.<tool>{"name": "add", "arguments": {"a": 2}}</tool><n>12</n>!'
    parts = made([tool, DIGITS]).parse(text)
    assert isinstance(parts, list)
    assert [type(part) for part in parts] == [str, Region, Region, str]
    call = parts[1].value
    assert isinstance(call, ToolCall)
    assert call.call() == 3
    assert (parts[2].value, parts[2].text, parts[3]) == ("12", "12", "!")


def test_a_region_may_hold_its_own_end_marker() -> None:
    text = '<o>{"a": "</o>"}</o> and <o>{}</o>'
    constraint = made([OBJECT])
    assert constraint.grammar.accepts(text)
    parts = constraint.parse(text)
    assert isinstance(parts, list)
    assert [part.value if isinstance(part, Region) else part for part in parts] == [
        {"a": "</o>"},
        " and ",
        {},
    ]


def test_where_a_region_closes_depends_on_what_follows() -> None:
    """`x</x>` alone would fit too, but then `<y>` would open no region."""
    tags = [Tag("<x>", "</x>", regex="x(</x><y>)?"), Tag("<y>", "</y>", regex="y")]
    text = "<x>x</x><y></x>"
    constraint = made(tags)
    assert constraint.grammar.accepts(text)
    assert constraint.parse(text) == [Region(tags[0], "x</x><y>", "x</x><y>")]


def test_random_texts_split_back() -> None:
    constraint = made(Tags([OBJECT, DIGITS, NOTE], at_least_one=True))
    rng = random.Random(5)
    for _ in range(40):
        text = random_text(constraint.grammar.rules, rng)
        assert constraint.grammar.accepts(text)
        parts = constraint.parse(text)
        assert isinstance(parts, list)
        assert any(isinstance(part, Region) for part in parts)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ([], "one or more"),
        ("<a>", "one or more"),
        (["<a>"], "expected a Tag"),
        ([Tag("", "</a>")], "begin"),
        ([Tag("<a>", "")], "end"),
        ([Tag("<a>\ud800", "b")], "surrogate"),
        ([Tag("<" * 20_000, "b")], r"\[0\]: the markers have more than 5,000 characters"),
        ([Tag(f"{n:02}" * 20, "b") for n in range(60)], "overlap|beginnings of others"),
        ([Tag("<", "b" * 20_000)], r"\[0\]: the markers have more than 5,000 characters"),
        ([Tag("<a>", "</a>"), Tag("<a>", "</b>")], r"\[1\].*\[0\]"),
        ([Tag("<a>", "</a>"), Tag("x<a>", "</b>")], "one is in the other"),
    ],
)
def test_markers_that_say_nothing_are_refused(tags: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        made(tags)


def test_a_region_has_one_constraint() -> None:
    with pytest.raises(ProgramError, match="regex, choices"):
        made([Tag("<a>", "</a>", regex="a", choices=["a"])])
    with pytest.raises(RegexError):
        made([Tag("<a>", "</a>", regex="(")])


MARKERS = st.text("ab", min_size=1, max_size=3)


@given(st.lists(MARKERS, min_size=1, max_size=2), MARKERS, st.lists(st.text("abc", max_size=8)))
def test_markers_may_overlap(begins: list[str], end: str, texts: list[str]) -> None:
    if len(begins) == 2 and (begins[0] in begins[1] or begins[1] in begins[0]):
        return
    grammar = made([Tag(begin, end) for begin in begins]).grammar
    free = rf"(?:(?!{'|'.join(begins)})[\s\S])*"
    region = rf"(?:{'|'.join(begins)})(?:(?!{end})[\s\S])*{end}"
    for text in texts:
        expected = re.fullmatch(rf"(?:{free}{region})*{free}", text)
        assert grammar.accepts(text) == (expected is not None), text


def test_many_tags_compile_fast() -> None:
    tags = [Tag(f"<tag{number:03}>", "</tag>", regex="[0-9]+") for number in range(500)]
    grammar = made(tags).grammar
    assert grammar.accepts("so <tag007>12</tag>, and <tag199>3</tag>")
    assert not grammar.accepts("so <tag007>12</tag>, and <tag199>")


def test_flags_are_checked() -> None:
    wrong: list[dict[str, Any]] = [{"at_least_one": 5}, {"stop_after_first": "yes"}]
    for flags in wrong:
        with pytest.raises(ParameterError, match="expected True or False"):
            made(Tags([NOTE], **flags))


def test_gbnf_has_markers_as_texts() -> None:
    assert '"</note>"' in made([NOTE]).grammar.to_gbnf()

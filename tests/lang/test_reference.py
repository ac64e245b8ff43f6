"""The plain matcher says what the node's definitions say, worked out by enumeration."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.automaton.reference import matches, matches_prefix
from treegram.lang.automaton.reference_json import can_all_differ, json_value
from treegram.lang.ir.dfa import Dfa
from treegram.lang.ir.nodes import (
    EMPTY,
    NEVER,
    Alt,
    CharClass,
    Element,
    Literal,
    Member,
    Members,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
    Substring,
    Terminal,
    Unique,
)

A, B, C = Literal("a"), Literal("b"), Literal("c")
COMMA = Literal(",")
X_OR_YY = Alt((Literal("x"), Literal("yy")))
DIGIT = CharClass(((49, 57),))
SOME_STRING = Seq((Literal('"'), Repeat(CharClass(((97, 99),)), 0, None), Literal('"')))


def one(node: Node, **others: Node) -> Rules:
    return Rules("start", {"start": node, **others})


def is_language(rules: Rules, texts: Iterable[str], alphabet: str, longest: int) -> None:
    """`rules` match exactly `texts` among all words of `alphabet`, and begin exactly theirs."""
    language = set(texts)
    for length in range(longest + 1):
        for letters in itertools.product(alphabet, repeat=length):
            word = "".join(letters)
            assert matches(rules, word) == (word in language), word
            begins = any(text.startswith(word) for text in language)
            assert matches_prefix(rules, word) == begins, word


def test_an_automaton_is_its_texts() -> None:
    dead_end = ((97, 97, 1), (98, 98, 3)), ((98, 98, 2),), (), ((99, 99, 3),)
    dfa = Dfa(dead_end, frozenset({1, 2}))
    is_language(one(dfa), ["a", "ab"], "abc", 3)
    is_language(one(Seq((dfa, Repeat(C, 0, 1)))), ["a", "ab", "ac", "abc"], "abc", 4)


def test_a_terminal_lacks_what_is_excluded() -> None:
    word = Repeat(CharClass(((97, 98),)), 0, 3)
    texts = ["".join(p) + "c" for n in range(4) for p in itertools.product("ab", repeat=n)]
    excluded = frozenset({"ab", "", "bbb", "bb", "zz"})
    left = [text for text in texts if text[:-1] not in excluded]
    is_language(one(Seq((Terminal(word, excluded), C))), left, "abc", 4)
    is_language(one(Terminal(SOME_STRING, frozenset({'"', '"a"', '"ab"'}))), SPELLED, '"abc', 4)


SPELLED = [
    f'"{text}"'
    for n in range(5)
    for text in map("".join, itertools.product("abc", repeat=n))
    if text not in ("a", "ab")
]


def test_a_substring_is_any_passage() -> None:
    text = "ab ba"
    passages = [text[i:j] for i in range(5) for j in range(i + 1, 6)]
    is_language(one(Substring(text)), passages, "ab ", 5)
    is_language(one(Substring(text, words=True)), ["ab", "ab ba", "ba"], "ab ", 5)
    marked = one(Substring(" a. .b", words=True))
    is_language(marked, ["a", "a.", "a. .", "a. .b", ".", ". .", ". .b", ".b", "b"], "ab. ", 5)
    assert not matches_prefix(one(Substring("  ", words=True)), "")


def test_keys_that_are_not_declared_can_be_made_to_differ() -> None:
    key = Element(Seq((Literal('"'), Alt((A, B, Repeat(C, 0, 1))), Literal('"'))))
    rules = one(Unique(Members((Member("x", EMPTY, True),), key, COMMA, min=4, ordered=False)))
    assert matches(rules, '"a",x,"b",""')
    assert not matches(rules, '"a",x,"b","a"')
    assert not matches(rules, '"a","b",""')
    assert matches_prefix(rules, '"a",x,"b"')
    assert not matches_prefix(rules, '"a",x,"b","b')
    fewer = one(Unique(Members((), Element(Alt((Literal("1"), Literal("2")))), COMMA, min=3)))
    assert not matches_prefix(fewer, "")


@st.composite
def members(draw: st.DrawFn) -> Members:
    keys = draw(st.sets(st.sampled_from("abc"), max_size=3))
    declared = tuple(Member(key, EMPTY, draw(st.booleans())) for key in sorted(keys))
    low = draw(st.integers(0, 3))
    high = draw(st.none() | st.integers(low, 4))
    extra = draw(st.sampled_from([None, Literal("x"), X_OR_YY, NEVER]))
    return Members(declared, extra, COMMA, low, high, draw(st.booleans()))


def member_texts(node: Members, longest: int) -> set[str]:
    """All texts of up to `longest` characters, from the definition."""
    listed: dict[Node | None, list[str]] = {
        None: [],
        NEVER: [],
        Literal("x"): ["x"],
        X_OR_YY: ["x", "yy"],
    }
    extras = listed[node.extra]
    keys = [member.key for member in node.members]
    needed = {member.key for member in node.members if member.required}
    found = set()
    for count in range(longest // 2 + 2):
        for chosen in itertools.product([*keys, *extras], repeat=count):
            declared = [key for key in chosen if key in keys]
            in_order = declared == sorted(declared) and list(chosen[: len(declared)]) == declared
            if (
                needed <= set(declared)
                and len(declared) == len(set(declared))
                and node.min <= count
                and (node.max is None or count <= node.max)
                and (in_order or not node.ordered)
            ):
                found.add(",".join(chosen))
    return found


@settings(max_examples=15)
@given(members())
def test_members_are_in_order_or_free_and_counted(node: Members) -> None:
    texts = member_texts(node, 9)
    beginnings = {text[:end] for text in texts for end in range(4)}
    rules = one(node)
    for text in random.Random(1).sample(sorted(texts), min(len(texts), 30)):
        assert matches(rules, text), text
        for end in range(len(text)):
            assert matches_prefix(rules, text[:end]), text[:end]
    for length in range(4):
        for letters in itertools.product("abxy,", repeat=length):
            word = "".join(letters)
            assert matches(rules, word) == (word in texts), word
            assert matches_prefix(rules, word) == (word in beginnings), word


def listed(element: Node, low: int, high: int | None) -> Node:
    rest = Repeat(
        Seq((COMMA, Element(element))), max(low - 1, 0), None if high is None else high - 1
    )
    return Unique(Seq((Literal("["), Element(element), rest, Literal("]"))))


@pytest.mark.parametrize("low", [1, 2, 3])
def test_elements_of_few_values_all_differ(low: int) -> None:
    rules = one(listed(Alt((Literal("1"), Literal("1.0"), Literal("2"))), low, None))
    texts = {
        f"[{','.join(chosen)}]"
        for count in range(low, 4)
        for chosen in itertools.product(["1", "1.0", "2"], repeat=count)
        if len(set(map(float, chosen))) == count
    }
    if texts:
        is_language(rules, texts, "[12,.0]", 4)
        for text in texts:
            assert matches(rules, text)
            assert all(matches_prefix(rules, text[:end]) for end in range(len(text)))
    else:
        assert not matches_prefix(rules, "")
    assert not matches_prefix(rules, "[1,1.0")
    assert not matches(rules, "[1,2,1]")


def test_an_unfinished_element_must_still_be_able_to_differ() -> None:
    rules = one(listed(SOME_STRING, 1, None))
    assert matches_prefix(rules, '["ab","ab')
    assert not matches_prefix(rules, '["ab","ab"')
    assert matches(rules, '["ab","abc",""]')
    numbers = one(listed(DIGIT, 9, 9))
    assert matches_prefix(numbers, "[1,2,3,4,5,6,7,8,")
    assert not matches_prefix(numbers, "[1,2,3,4,5,6,7,8,1")
    assert not matches_prefix(one(listed(DIGIT, 10, 10)), "")
    assert matches_prefix(one(listed(Repeat(DIGIT, 1, 3), 10, 10)), "[")


def test_later_elements_can_leave_no_value_for_earlier_ones() -> None:
    low, high = Alt((Literal("1"), Literal("2"))), Alt((Literal("2"), Literal("3")))

    def of(*nodes: Node) -> Rules:
        return one(Unique(Seq(tuple(map(Element, nodes)))))

    assert matches_prefix(of(low, high), "")
    assert matches_prefix(of(low, Literal("2")), "")
    assert not matches_prefix(of(low, Literal("2")), "2")
    assert not matches_prefix(of(low, low, low), "")
    assert not matches_prefix(of(low, low, Literal("1")), "")
    assert matches_prefix(of(low, low, high), "")
    assert not matches_prefix(of(low, low, high, high), "")


def test_an_element_belongs_to_the_innermost_unique_through_references() -> None:
    more = Repeat(Seq((COMMA, Ref("item"))), 0, None)
    rules = one(
        Ref("list"),
        list=Unique(Seq((Literal("["), Repeat(Seq((Ref("item"), more)), 0, 1), Literal("]")))),
        item=Element(Alt((Literal("1"), Ref("list")))),
    )
    for text in ["[]", "[1]", "[1,[1],[]]", "[[[1]],[1],1,[]]", "[[1,[]],[[],1]]"]:
        assert matches(rules, text), text
    for text in ["[1,1]", "[[],[]]", "[[1,1]]", "[1,[1],[],[1]]", "[[1,[]],[1,[]]]"]:
        assert not matches(rules, text), text
        assert not matches_prefix(rules, text), text
    assert matches_prefix(rules, "[[1],[1")
    assert not matches_prefix(rules, "[[1],[1]")


@pytest.mark.parametrize(
    ("same", "other"),
    [
        (["1", "1.0", "10e-1", "0.1E+1", "100e-2"], "-1"),
        (["0", "-0", "0.0", "0e9"], "1e-999999999999"),
        (["1e999999999999", "10e999999999998"], "1e999999999998"),
        (['"é"', r'"\u00e9"'], '"e"'),
        (['{"a":1,"b":[2]}', '{"b":[2.0],"a":1}', '{"a":0,"a":1,"b":[2]}'], '{"a":1,"b":[1]}'),
        (["true"], "1"),
        (["null"], '"None"'),
        (["[1,2]"], "[2,1]"),
    ],
)
def test_equality_is_that_of_json(same: list[str], other: str) -> None:
    assert len({json_value(text) for text in same}) == 1
    assert json_value(other) != json_value(same[0])


@given(st.lists(st.sets(st.integers(0, 3), max_size=3), max_size=5))
def test_values_are_found_that_all_differ(choices: list[set[int]]) -> None:
    expected = any(len(set(taken)) == len(choices) for taken in itertools.product(*choices))
    assert can_all_differ(choices) == expected


def test_what_is_no_json_stands_for_itself() -> None:
    rules = one(Unique(Seq((Element(Alt((A, B))), Element(Alt((A, B)))))))
    is_language(rules, ["ab", "ba"], "ab", 3)

"""What GBNF has no syntax for is printed as rules of the same language, or refused."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.automaton.reference import matches, matches_prefix
from treegram.lang.errors import GrammarError
from treegram.lang.gbnf.automata import substring_dfa
from treegram.lang.gbnf.lowering import MAX_BOUND, lower
from treegram.lang.gbnf.members import MAX_FREE_MEMBERS
from treegram.lang.gbnf.parser import gbnf_to_rules
from treegram.lang.gbnf.plain import MAX_PASSAGE
from treegram.lang.gbnf.printer import rules_to_gbnf
from treegram.lang.ir.dfa import Dfa
from treegram.lang.ir.nodes import (
    EMPTY,
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
from treegram.lang.ir.random_text import random_text
from treegram.lang.ir.walk import walk

A, B, COMMA = Literal("a"), Literal("b"), Literal(",")
LETTER = CharClass(((97, 99),))
STRING = Terminal(Seq((Literal('"'), Repeat(LETTER, 0, None), Literal('"'))))
FEW = Alt((Literal("1"), Literal("1.0"), Literal("2"), Literal("3")))


def one(node: Node, **others: Node) -> Rules:
    return Rules("start", {"start": node, **others})


def printed(rules: Rules) -> Rules:
    return gbnf_to_rules(rules_to_gbnf(rules))


def listed(element: Node, low: int, high: int | None) -> Node:
    rest = Repeat(Seq((COMMA, Element(element))), low - 1, None if high is None else high - 1)
    return Unique(Seq((Literal("["), Element(element), rest, Literal("]"))))


def keyed(rest: Node, *keys: str, required: bool = False) -> tuple[Member, ...]:
    return tuple(Member(key, Seq((Literal(":"), rest)), required) for key in keys)


NODES: dict[str, Node] = {
    "automaton": Dfa(
        (
            ((97, 97, 1), (98, 99, 2)),
            ((97, 97, 1), (98, 98, 3)),
            ((99, 99, 4),),
            (),
            ((97, 97, 0),),
        ),
        frozenset({1, 3, 4}),
    ),
    "dead states": Dfa((((97, 97, 1), (98, 98, 2)), (), ((98, 98, 2),)), frozenset({1})),
    "terminal twice": Seq((STRING, COMMA, STRING)),
    "terminal without": Seq((Terminal(STRING.node, frozenset({'"ab"', '"a"', '""'})), COMMA)),
    "passage": Substring("abcab ca"),
    "passage of words": Seq((Literal("<"), Substring("ab, ca b", words=True), Literal(">"))),
    "ordered": Members((*keyed(A, "p", "q"), *keyed(B, "r", required=True)), None, COMMA),
    "ordered, counted": Members(keyed(A, "p", "q", "r"), Seq((LETTER, B)), COMMA, 2, 3),
    "ordered, extra": Members(keyed(STRING, "p", "q"), Seq((LETTER, B)), Literal(", ")),
    "ordered, full": Members(keyed(A, "p", "q", required=True), B, COMMA, 2, 2),
    "free": Members(
        (*keyed(A, "p", "q"), *keyed(B, "r", required=True)), None, COMMA, ordered=False
    ),
    "free, counted": Members(keyed(A, "p", "q"), Seq((LETTER, B)), COMMA, 1, 3, ordered=False),
    "unique": listed(FEW, 1, None),
    "unique, counted": listed(FEW, 2, 2),
    "unique pair": Unique(Seq((Element(FEW), Literal("-"), Element(Alt((A, Literal("2"))))))),
    "unique, maybe": Unique(Repeat(Alt((Seq((Element(FEW), COMMA)), A)), 0, 4)),
    "unique by rule": Unique(Seq((Ref("item"), Repeat(Seq((COMMA, Ref("item"))), 0, None)))),
    "unique in unique": listed(Alt((Literal("1"), listed(Literal("1"), 1, 1))), 1, None),
}


@pytest.mark.parametrize("name", NODES)
def test_printing_keeps_the_language(name: str) -> None:
    rules = one(NODES[name], item=Element(FEW), string=A, part=B)
    back = printed(rules)
    rng = random.Random(name)
    texts = {random_text(source, rng) for source in (rules, back) for _ in range(40)}
    for text in sorted(texts):
        assert matches(rules, text), text
        assert matches(back, text), text
        for _ in range(6):
            at = rng.randrange(len(text) + 1)
            other = text[:at] + rng.choice(["", rng.choice(text or "a")]) + text[at + 1 :]
            assert matches(back, other) == matches(rules, other), other
            assert matches_prefix(back, other) == matches_prefix(rules, other), other


@settings(max_examples=50)
@given(st.text("ab ,", max_size=7), st.booleans(), st.text("ab ,", max_size=4))
def test_a_passage_is_an_automaton_of_linear_size(text: str, words: bool, other: str) -> None:
    node = Substring(text, words)
    dfa = substring_dfa(node)
    assert len(dfa.edges) <= 2 * len(text) + 1
    for begin, end in itertools.combinations(range(len(text) + 1), 2):
        assert dfa.accepts(text[begin:end]) == matches(one(node), text[begin:end])
    assert dfa.accepts(other) == matches(one(node), other)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0, 2001),
        (0, 32767),
        (2001, None),
        (5000, 5000),
        (2500, 2700),
        (100, 2600),
        (3000, 100_000),
    ],
)
def test_bounds_above_the_limit_are_split(low: int, high: int | None) -> None:
    lowered = lower(one(Repeat(A, low, high)))
    for node, _ in walk(lowered.rules["start"]):
        assert not isinstance(node, Repeat) or max(node.min, node.max or 0) <= MAX_BOUND
    lengths = {n + d for n in (0, low, high or low) for d in (-1, 0, 1) if n + d < 33_000}
    for length in lengths - {-1}:
        inside = low <= length and (high is None or length <= high)
        assert _length_in(lowered.rules["start"], length) == inside, length


def _length_in(node: Node, length: int) -> bool:
    """Whether a^length matches: the lengths of a node are ranges, worked out in numbers."""
    return any(low <= length and (high is None or length <= high) for low, high in _lengths(node))


def _lengths(node: Node) -> list[tuple[int, int | None]]:
    match node:
        case Literal(text):
            return [(len(text), len(text))]
        case Alt(options):
            return [found for option in options for found in _lengths(option)]
        case Seq(items):
            found: list[tuple[int, int | None]] = [(0, 0)]
            for item in items:
                found = [_added(a, b) for a in found for b in _lengths(item)]
            return _merged(found)
        case Repeat(item, low, high):
            [(size, same)] = _lengths(item)
            assert size == same
            if high is None:
                assert size == 1
                return [(low, None)]
            return _merged([(size * n, size * n) for n in range(low, high + 1)])
        case _:
            raise AssertionError(node)


def _added(a: tuple[int, int | None], b: tuple[int, int | None]) -> tuple[int, int | None]:
    return a[0] + b[0], None if a[1] is None or b[1] is None else a[1] + b[1]


def _merged(ranges: list[tuple[int, int | None]]) -> list[tuple[int, int | None]]:
    merged: list[tuple[int, int | None]] = []
    for low, high in sorted(ranges, key=lambda found: found[0]):
        last = merged[-1][1] if merged else -2
        if last is not None and low <= last + 1:
            merged[-1] = (merged[-1][0], None if high is None else max(last, high))
        elif last is not None:
            merged.append((low, high))
    return merged


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (Members(keyed(A, *"abcdefg"), None, COMMA, ordered=False), "key_order='schema'"),
        (Members(keyed(A, "p"), B, COMMA, 0, 50_000, ordered=False), "key_order='schema'"),
        (Members(keyed(A, *map(chr, range(200, 600))), B, COMMA, 0, 300), "counting 400 members"),
        (listed(CharClass(((48, 57),)), 1, None), "elements with 10 values"),
        (listed(STRING, 1, None), "elements with endless values"),
        (Unique(Members((), Seq((Element(STRING), A)), COMMA)), "elements with endless values"),
        (Unique(Ref("again")), "elements in a rule that uses itself"),
        (Substring("a" * (MAX_PASSAGE + 1)), "a passage of a text of 2,001 characters"),
    ],
)
def test_what_gets_too_large_is_refused(node: Node, message: str) -> None:
    again = Alt((Seq((Element(FEW), COMMA, Ref("again"))), EMPTY))
    with pytest.raises(GrammarError, match=message):
        rules_to_gbnf(one(node, again=again))


@pytest.mark.slow
def test_a_long_object_costs_no_recursion() -> None:
    members = keyed(STRING, *(f"<{n}>" for n in range(1_500)))
    text = rules_to_gbnf(one(Members(members, None, COMMA)))
    assert text.count("\n") < 5_000


def test_what_llama_cpp_would_hang_on_is_refused() -> None:
    deep = {f"r{i}": Alt((Seq((Ref(f"r{i + 1}"), B)), A)) for i in range(700)}
    wide = {f"r{i}": Alt((Seq((Ref(f"r{i + 1}"), A)), Ref(f"r{i + 1}"))) for i in range(700)}
    for rules in (deep, wide):
        with pytest.raises(GrammarError, match=r"llama\.cpp would hang"):
            rules_to_gbnf(Rules("r0", {**rules, "r700": B}))
        assert rules_to_gbnf(Rules("r690", {**rules, "r700": B}))


def test_equal_terminals_are_one_rule() -> None:
    text = rules_to_gbnf(one(Members(keyed(STRING, *"abcdef"), None, COMMA)))
    assert text.count("[a-c]*") == 1


def test_six_members_in_any_order_are_printed() -> None:
    members = keyed(A, *"abcdef"[:MAX_FREE_MEMBERS])
    back = printed(one(Members(members, None, COMMA, ordered=False)))
    assert matches(back, "c:a,a:a,f:a")
    assert not matches(back, "c:a,a:a,c:a")

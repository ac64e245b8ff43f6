"""What is no grammar is refused by name; what rules match at all is worked out exactly."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.automaton.reference import matches, matches_prefix
from treegram.lang.errors import GrammarError
from treegram.lang.ir.beginnings import leading_references, nullable
from treegram.lang.ir.check import check
from treegram.lang.ir.dfa import Dfa
from treegram.lang.ir.facts import rule_facts
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

A, COMMA = Literal("a"), Literal(",")
CHAIN = (((97, 97, 1),), ((98, 98, 0),))


def one(node: Node, **others: Node) -> Rules:
    return Rules("r", {"r": node, **others})


def members(*keys: str, required: bool = False, low: int = 0, high: int | None = None) -> Node:
    declared = tuple(Member(key, A, required) for key in keys)
    return Members(declared, None, COMMA, low, high)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (one(Terminal(Seq((A, Ref("r"))))), "a terminal uses the rule 'r'"),
        (one(Substring("")), "a passage of the empty text"),
        (one(Substring("a\ud800")), "half of a surrogate pair"),
        (one(Substring(" \n", words=True)), "matches no text at all"),
        (one(members("a", "b", low=2, high=1)), "members of 2 to 1 times"),
        (one(members("a", low=-1)), "members of -1 to None times"),
        (one(members("")), "a member with an empty key"),
        (one(members("x\udc00")), "half of a surrogate pair"),
        (one(members("b", '"a"', "b")), "the member key 'b' is a prefix of 'b'"),
        (one(members("bc", "a", "b")), "the member key 'b' is a prefix of 'bc'"),
        (one(members("a", low=2)), "matches no text at all"),
        (one(members("a", "b", required=True, high=1)), "matches no text at all"),
        (one(Members((Member("a", NEVER, True),), A, COMMA)), "matches no text at all"),
        (one(Members((), NEVER, COMMA, 1)), "matches no text at all"),
        (one(Members((), A, NEVER, 2)), "matches no text at all"),
        (one(Element(A)), "rule 'r': an element with no Unique around it"),
        (one(Seq((Unique(Ref("s")), Ref("s"))), s=Element(A)), "rule 's': an element with no"),
        (one(Dfa((), frozenset())), "outside its 0 states"),
        (one(Dfa(CHAIN, frozenset({2}))), "accepts in a state outside its 2 states"),
        (one(Dfa((((97, 97, 5),),), frozenset({0}))), "to state 5 is empty, out of order"),
        (one(Dfa((((98, 98, 0), (97, 97, 0)),), frozenset({0}))), "out of order"),
        (one(Dfa((((97, 99, 0), (99, 99, 0)),), frozenset({0}))), "overlapping"),
        (one(Dfa((((99, 97, 0),),), frozenset({0}))), "is empty"),
        (one(Dfa((((0xD000, 0xE000, 0),),), frozenset({0}))), "holds surrogates"),
        (one(Dfa((((97, 97, 0),),), frozenset())), "matches no text at all"),
        (one(Terminal(CharClass(()))), "matches no text at all"),
        (one(Alt((A, Members((), Ref("r"), COMMA)))), "left recursion: r -> r"),
        (one(Alt((A, Seq((Members((), A, COMMA), Ref("r")))))), "left recursion: r -> r"),
        (one(Alt((A, Unique(Element(Ref("r")))))), "left recursion: r -> r"),
        (one(Alt((A, Seq((Dfa(CHAIN, frozenset({0})), Ref("r")))))), "left recursion: r -> r"),
    ],
)
def test_malformed_nodes_are_refused(rules: Rules, message: str) -> None:
    with pytest.raises(GrammarError) as caught:
        check(rules)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "rules",
    [
        one(members("a", "bc", "bd", '"x"')),
        one(Unique(Seq((Ref("s"), COMMA, Ref("s")))), s=Element(A)),
        one(Alt((A, Seq((Members((Member("k", A, True),), None, COMMA), Ref("r")))))),
        one(Alt((A, Seq((Terminal(Repeat(A, 0, None), frozenset({""})), Ref("r")))))),
        one(Alt((A, Seq((Substring("ab"), Ref("r")))))),
        one(Terminal(Dfa(CHAIN, frozenset({1})))),
    ],
)
def test_well_formed_nodes_pass(rules: Rules) -> None:
    check(rules)


LEAVES: st.SearchStrategy[Node] = st.sampled_from(
    [
        *(A, EMPTY, NEVER, CharClass(((97, 98),)), CharClass(()), Ref("s"), Ref("t"), Ref("loop")),
        *(Dfa(CHAIN, frozenset({0})), Dfa(CHAIN, frozenset({1})), Dfa(CHAIN, frozenset())),
        *(Substring("ab"), Terminal(A), Terminal(Repeat(A, 0, None), frozenset({""}))),
    ]
)


def _compound(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    many = st.lists(inner, max_size=3).map(tuple)
    counts = st.sampled_from([(0, None), (1, None), (0, 1), (2, 2), (0, 0)])
    object_ = st.builds(
        lambda rests, required, extra, separator, low, room: Members(
            tuple(Member(f"{n}:", rest, required) for n, rest in enumerate(rests)),
            extra,
            separator,
            low,
            None if room is None else low + room,
            ordered=len(rests) < 2,
        ),
        many,
        st.booleans(),
        st.none() | inner.map(lambda node: Seq((Literal("x"), node))),
        inner,
        st.integers(0, 2),
        st.none() | st.integers(0, 1),
    )
    return st.one_of(
        many.map(Seq),
        many.map(Alt),
        st.tuples(inner, counts).map(lambda pair: Repeat(pair[0], *pair[1])),
        object_,
    )


NODES = st.recursive(LEAVES, _compound, max_leaves=8)
OTHERS: dict[str, Node] = {
    "s": Alt((Seq((A, Ref("t"))), EMPTY)),
    "t": Alt((Seq((Literal("("), Ref("s"))), Seq((A, Ref("loop"))))),
    "loop": Seq((A, Ref("loop"))),
}


@settings(max_examples=300)
@given(NODES)
def test_the_facts_are_those_of_the_language(node: Node) -> None:
    rules = one(node, **OTHERS)
    facts = rule_facts(rules)
    assert facts["r"].nullable == matches(rules, "")
    assert facts["r"].productive == matches_prefix(rules, "")
    assert nullable(node, {name for name, known in facts.items() if known.nullable}) == (
        facts["r"].nullable
    )


def test_facts_take_no_longer_for_rules_in_any_order() -> None:
    """Each waits for the one before or after it, and all are known only at one end."""
    count = 3_000
    chain: dict[str, Node] = {f"r{i}": Alt((Ref(f"r{i + 1}"), NEVER)) for i in range(count)}
    chain[f"r{count}"] = A
    backwards = dict(reversed(chain.items()))
    assert all(facts.productive for facts in rule_facts(Rules("r0", chain)).values())
    assert all(facts.productive for facts in rule_facts(Rules("r0", backwards)).values())


def test_what_a_body_can_begin_with_is_counted() -> None:
    body = Alt((Seq((Ref("s"), Ref("t"))), Seq((Repeat(A, 0, 1), Ref("t"), Ref("u"))), Ref("s")))
    assert leading_references(body, {"s"}) == {"s": 2, "t": 2}

"""What each rule can match is found exactly, in any alphabet, in time linear in the grammar."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegram.lang.automaton.reference import matches
from treegram.lang.errors import GrammarError
from treegram.lang.ir.alphabet import ALL_BYTES, effective
from treegram.lang.ir.dfa import Dfa
from treegram.lang.ir.facts import Facts, Survey, rule_facts
from treegram.lang.ir.measured import Measured
from treegram.lang.ir.nodes import (
    EMPTY,
    NEVER,
    Alt,
    CharClass,
    ControlToken,
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

A, B = Literal("a"), Literal("b")
NOTHING, ONLY_EMPTY, ONLY_TEXT = Facts(False, False), Facts(True, False), Facts(False, True)

leaves: st.SearchStrategy[Node] = st.sampled_from(
    [EMPTY, NEVER, A, CharClass(()), Ref("s"), Ref("t"), Ref("endless"), Terminal(A)]
)
nodes = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: Seq(tuple(items))),
        st.lists(inner, max_size=3).map(lambda items: Alt(tuple(items))),
        st.builds(
            lambda item, low, more: Repeat(item, low, low + more), inner, *[st.integers(0, 2)] * 2
        ),
    ),
    max_leaves=6,
)


@pytest.mark.slow
@given(nodes, nodes)
def test_nullable_and_has_text_are_exact(root: Node, other: Node) -> None:
    """The only letter is `a`, so a text of at most 64 of them shows whether there is any."""
    rules = Rules(
        "root",
        {
            "root": Seq((root, other)),
            "s": Alt((Seq((A, Ref("s"))), EMPTY)),
            "t": Seq((A, Ref("s"))),
            "endless": Seq((A, Ref("endless"))),
        },
    )
    survey = Survey(rules)
    facts = survey.rule("root")
    assert facts == survey.node(rules.rules["root"])
    assert facts.nullable == matches(rules, "")
    assert facts.has_text == any(matches(rules, "a" * n) for n in range(1, 65))


ANY_OF_TWO = (((97, 97, 1), (98, 98, 2)), (), ())


@pytest.mark.parametrize(
    ("node", "facts"),
    [
        (A, ONLY_TEXT),
        (B, NOTHING),
        (Literal("ab"), NOTHING),
        (CharClass(((98, 122),)), NOTHING),
        (CharClass(((97, 122),)), ONLY_TEXT),
        (CharClass(((0x100, 0x10FFFF),)), NOTHING),
        (Repeat(B, 0, None), ONLY_EMPTY),
        (Terminal(Repeat(B, 0, None)), ONLY_EMPTY),
        (Terminal(Repeat(B, 0, None), frozenset(("",))), NOTHING),
        (Terminal(Seq((A, Repeat(B, 0, 1)))), ONLY_TEXT),
        (Substring("ba"), ONLY_TEXT),
        (Substring("b b"), NOTHING),
        (Dfa(ANY_OF_TWO, frozenset((1,))), ONLY_TEXT),
        (Dfa(ANY_OF_TWO, frozenset((0, 2))), ONLY_EMPTY),
        (Measured(Dfa((((97, 98, 0),),), frozenset((0,))), 1, 2, 2), ONLY_TEXT),
        (Measured(Dfa((((98, 98, 0),),), frozenset((0,))), 1, 2, 2), NOTHING),
        (Members((Member("a", A, True),), None, A), ONLY_TEXT),
        (Members((Member("b", A, True),), None, A), NOTHING),
        (Members((Member("b", A, False),), None, A), ONLY_EMPTY),
        (Members((Member("a", A, False), Member("b", A, False)), None, A, 2), NOTHING),
        (Members((Member("a", EMPTY, False), Member("b", A, False)), A, B, 1), ONLY_TEXT),
        (Members((Member("a", EMPTY, False), Member("b", A, False)), A, B, 2), NOTHING),
    ],
)
def test_what_needs_a_missing_byte_is_no_text(node: Node, facts: Facts) -> None:
    rules = Rules("r", {"r": node})
    assert Survey(rules, frozenset(b"a")).rule("r") == facts


def test_an_alphabet_that_has_all_bytes_of_text_is_the_whole_one() -> None:
    assert effective(ALL_BYTES - {0xC0, 0xFF}) is ALL_BYTES
    assert effective(ALL_BYTES - {0xF1}) == ALL_BYTES - {0xF1}


def test_what_runs_beside_the_stack_is_found_outside_terminals() -> None:
    plain = Survey(Rules("r", {"r": Terminal(Repeat(A, 0, 500))}))
    assert (plain.largest_count, plain.has_distinct, plain.has_controls) == (0, False, False)
    counted = Alt(
        (Repeat(A, 3, None), Repeat(Unique(Seq((Element(A), ControlToken("<x>")))), 0, 9))
    )
    found = Survey(Rules("r", {"r": counted}))
    assert (found.largest_count, found.has_distinct, found.has_controls) == (9, True, True)


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(GrammarError, match="rule 'gone' is used and not defined"):
        rule_facts(Rules("r", {"r": Seq((A, Ref("gone")))}))


@pytest.mark.parametrize("order", [1, -1])
def test_a_long_chain_of_rules_is_linear_in_any_order(order: int) -> None:
    count = 4000
    rules: dict[str, Node] = {f"r{i}": Seq((A, Ref(f"r{i + 1}"))) for i in range(count)}
    rules[f"r{count}"] = B
    rules["root"] = Alt(tuple(Ref(f"r{i}") for i in range(count))[::order])
    began = time.process_time()
    assert set(rule_facts(Rules("root", rules)).values()) == {ONLY_TEXT}
    assert time.process_time() - began < 2

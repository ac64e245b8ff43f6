"""The byte automaton accepts exactly what the grammar's definition, and `re`, say it does."""

from __future__ import annotations

import re
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.automaton import configuration_table
from treegram.lang.automaton.automaton import Automaton
from treegram.lang.automaton.configuration import Configuration
from treegram.lang.automaton.reference import matches, matches_prefix
from treegram.lang.errors import GrammarError
from treegram.lang.ir.check import MAX_DEPTH
from treegram.lang.ir.nodes import (
    EMPTY,
    MAX_CODE_POINT,
    NEVER,
    Alt,
    CharClass,
    Literal,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
)

ANY = CharClass(((0, 0xD7FF), (0xE000, MAX_CODE_POINT)))
DIGIT = CharClass(((48, 57),))


def build(root: Node, **rules: Node) -> Automaton:
    return Automaton(Rules("root", {"root": root, **rules}))


def alive(node: Configuration | None) -> Configuration:
    assert node is not None
    return node


leaves: st.SearchStrategy[Node] = st.sampled_from(
    [
        EMPTY,
        Literal("a"),
        Literal("ab"),
        Literal("é"),
        CharClass(((97, 98),)),
        CharClass(((0xE8, 0xEA), (0x4E00, 0x9FFF))),
        NEVER,
        Ref("word"),
        Ref("nest"),
        Ref("dead"),
    ]
)


def _compound(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(inner, min_size=1, max_size=3).map(tuple)
    bounds = st.sampled_from([(0, 1), (0, None), (1, None), (2, 3), (0, 12), (9, 11), (2, None)])
    return st.one_of(
        several.map(Seq),
        several.map(Alt),
        st.builds(lambda item, b: Repeat(item, b[0], b[1]), inner, bounds),
    )


nodes = st.recursive(leaves, _compound, max_leaves=8)
RULES: dict[str, Node] = {
    "word": Seq((Literal("a"), Repeat(CharClass(((98, 98),)), 0, None))),
    "nest": Alt((Seq((Literal("a"), Ref("nest"), Literal("b"))), EMPTY)),
    "dead": Seq((Literal("a"), Ref("dead"))),
}
texts = st.text(alphabet="abé日", max_size=14)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=300)
@given(nodes, st.lists(texts, min_size=1, max_size=8))
def test_accepts_what_the_definition_says(root: Node, samples: list[str]) -> None:
    rules = Rules("root", {"root": Alt((root, Literal("!"))), **RULES})
    automaton = Automaton(rules)
    for text in [*samples, "", "a", "ab", "a" * 10, "é", "aabb"]:
        data = text.encode()
        assert automaton.accepts(data) == matches(rules, text), text
        assert automaton.accepts_prefix(data) == matches_prefix(rules, text), text


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=150)
@given(nodes, st.data())
def test_every_reachable_configuration_can_be_completed(root: Node, data: st.DataObject) -> None:
    """Walking at random, the legal bytes lead on, all others to nothing, and an end is reached."""
    automaton = build(Alt((root, Literal("!"))), **RULES)
    here = automaton.start
    for _ in range(10):
        legal = automaton.next_bytes(here)
        assert legal or here.accepting
        classes, targets = automaton.successors(here)
        for byte in range(256):
            assert automaton.step(here, byte) is targets[classes[byte]]
            assert (targets[classes[byte]] is not None) == (byte in legal)
        if not legal:
            break
        here = alive(automaton.step(here, data.draw(st.sampled_from(list(legal)))))


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=150)
@given(nodes, st.integers(1, 6), st.data())
def test_within_a_horizon_an_adopted_configuration_agrees(
    root: Node, horizon: int, data: st.DataObject
) -> None:
    exact = build(Repeat(Alt((root, Literal("!"))), 1, 40), **RULES)
    local = exact.within(horizon)
    here = exact.start
    for _ in range(data.draw(st.integers(0, 12))):
        legal = exact.next_bytes(here)
        if not legal:
            break
        here = alive(exact.step(here, data.draw(st.sampled_from(list(legal)))))
    there = local.adopt(here)
    for _ in range(horizon):
        assert here.accepting == there.accepting
        legal = exact.next_bytes(here)
        assert legal == local.next_bytes(there)
        if not legal:
            break
        byte = data.draw(st.sampled_from(list(legal)))
        here, there = alive(exact.step(here, byte)), alive(local.step(there, byte))


@pytest.mark.parametrize(
    ("root", "pattern"),
    [
        (Repeat(Repeat(Literal("a"), 0, None), 0, None), "(a*)*"),
        (
            Repeat(Seq((Repeat(Literal("a"), 0, 1), Repeat(Literal("b"), 0, 1))), 3, 9),
            "(a?b?){3,9}",
        ),
        (Repeat(Alt((Literal("a"), Literal("ab"))), 2, 9), "(a|ab){2,9}"),
        (Repeat(Repeat(Literal("ab"), 2, 9), 3, 5), "((ab){2,9}){3,5}"),
        (Seq((Repeat(ANY, 5, 30), Literal("b"))), "(?s).{5,30}b"),
    ],
)
def test_agrees_with_re(root: Node, pattern: str) -> None:
    automaton = build(root)
    for text in ["", *("a" * n for n in range(45)), *("ab" * n for n in range(60)), "ba" * 9]:
        assert automaton.accepts(text.encode()) == bool(re.fullmatch(pattern, text)), text


def test_a_large_bound_is_exact_and_costs_no_states() -> None:
    automaton = build(Seq((Literal('"'), Repeat(ANY, 3, 5000), Literal('"'))))
    assert automaton.accepts(b'"' + b"a" * 5000 + b'"')
    assert not automaton.accepts_prefix(b'"' + b"a" * 5001)
    assert not automaton.accepts(b'"aa"')


def test_counts_of_an_ambiguous_body_collapse() -> None:
    automaton = build(Repeat(Alt((Literal("a"), Literal("aa"))), 0, 1000))
    here = alive(automaton.run(automaton.start, b"a" * 1000))
    assert len(here.places) <= 4
    assert automaton.accepts(b"a" * 2000)
    assert not automaton.accepts(b"a" * 2001)


def test_right_recursion_runs_in_constant_stack() -> None:
    automaton = build(Alt((Seq((Literal("a"), Ref("root"))), Literal("b"))))
    assert automaton.run(automaton.start, b"a" * 10_000) is automaton.start


def test_a_body_may_nest_as_deep_as_a_grammar_may() -> None:
    root: Node = Literal("x")
    for _ in range(MAX_DEPTH // 2):
        root = Seq((Literal("("), Repeat(root, 0, 1), Literal(")")))
    automaton = build(root)
    assert automaton.accepts(b"(" * 100 + b"x" + b")" * 100)
    assert not automaton.accepts(b"(" * 100 + b"x" + b")" * 99)


def test_left_recursion_and_hopeless_ambiguity_are_refused_not_followed() -> None:
    with pytest.raises(GrammarError, match="left-recursive or too ambiguous"):
        build(Alt((Seq((Ref("root"), Literal("a"))), Literal("a"))))


@pytest.mark.parametrize(
    "root", [NEVER, Seq((Literal("a"), NEVER)), CharClass(()), Seq((Literal("a"), Ref("root")))]
)
def test_a_grammar_without_a_text_is_refused(root: Node) -> None:
    with pytest.raises(GrammarError, match="no text satisfies"):
        build(root)


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(GrammarError, match="'nope' is used and not defined"):
        build(Seq((Literal("a"), Ref("nope"))))


def test_a_dead_branch_is_never_entered() -> None:
    automaton = build(Alt((Seq((Literal("ab"), NEVER)), Literal("ac"))))
    assert automaton.forced_run(automaton.start).text == b"ac"


def test_bytes_outside_the_alphabet_are_not_in_the_language() -> None:
    rules = Rules("root", {"root": Alt((Literal("a\x04"), Literal("ab"), CharClass(((1, 9),))))})
    automaton = Automaton(rules, alphabet=frozenset(range(256)) - {4})
    assert not automaton.accepts_prefix(b"a\x04")
    assert automaton.accepts(b"ab")
    assert automaton.next_bytes(automaton.start) == b"\x01\x02\x03\x05\x06\x07\x08\ta"
    with pytest.raises(GrammarError, match="no text satisfies"):
        Automaton(rules, alphabet=frozenset(b"\x00"))


def test_forced_run_stops_where_stopping_or_choosing_is_possible() -> None:
    automaton = build(Seq((Literal('{"a": '), DIGIT, Literal("}"), Repeat(Literal("!"), 0, 1))))
    run = automaton.forced_run(automaton.start)
    assert run.text == b'{"a": '
    after_digit = alive(automaton.step(run.end, ord("7")))
    run = automaton.forced_run(after_digit)
    assert run.text == b"}"
    assert run.end.accepting
    assert automaton.forced_run(run.end).text == b""
    assert automaton.forced_byte(run.end) is None


def test_dropping_the_memo_leaves_running_walks_intact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration_table, "MAX_CONFIGURATIONS", 50)
    automaton = build(Seq((Repeat(ANY, 3, 400), Literal("."))))
    here = automaton.start
    for byte in b"a" * 399:
        here = alive(automaton.step(here, byte))
        assert len(automaton._table) <= 50
    assert automaton.accepts(b"a" * 400 + b".")
    end = alive(automaton.run(here, b"a."))
    assert end.accepting
    assert not end.places


def test_one_automaton_serves_several_threads() -> None:
    automaton = build(Repeat(Alt((Literal("é"), Repeat(DIGIT, 2, 30))), 1, 50))
    found: list[bool] = []

    def walk(start: int) -> None:
        found.extend(automaton.accepts(("é" * n + "12").encode()) for n in range(start, 50, 4))

    threads = [threading.Thread(target=walk, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 50


def test_a_thousand_choices_lower_and_run_fast() -> None:
    choices = tuple(Literal(f"choice number {n}") for n in range(1000))
    began = time.process_time()
    automaton = build(Alt(choices))
    assert all(automaton.accepts(choice.text.encode()) for choice in choices)
    assert time.process_time() - began < 2

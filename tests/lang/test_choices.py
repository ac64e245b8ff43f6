"""A choices grammar matches the choices, all of them and nothing else."""

from __future__ import annotations

import itertools
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.automaton.reference import matches, matches_prefix
from treegram.lang.choices import MAX_CHOICES, choices_to_rules
from treegram.lang.errors import ParameterError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.check import check
from treegram.lang.ir.nodes import Alt, Literal, Repeat, Seq

WORDS = st.text("abé", min_size=1, max_size=5)


@given(st.lists(WORDS, min_size=1, max_size=30, unique=True), st.lists(WORDS))
def test_exactly_the_choices_match(choices: list[str], others: list[str]) -> None:
    rules = choices_to_rules(choices)
    for text in {*choices, *others, ""}:
        assert matches(rules, text) == (text in choices)
        assert matches_prefix(rules, text) == any(choice.startswith(text) for choice in choices)
    grammar = Grammar.from_choices(choices)
    assert [c for c in {*choices, *others} if grammar.accepts(c) != (c in choices)] == []


def test_shared_beginnings_are_written_once() -> None:
    assert choices_to_rules(["car", "cart", "dog", "care"]).rules["root"] == Alt(
        (
            Seq((Literal("car"), Repeat(Alt((Literal("e"), Literal("t"))), 0, 1))),
            Literal("dog"),
        )
    )


def test_one_choice_is_its_text() -> None:
    assert choices_to_rules(["only"]).rules["root"] == Literal("only")


def test_many_choices_compile_fast_and_deep_trees_are_split() -> None:
    many = [f"item {number} of {number % 7}" for number in range(5_000)]
    deep = ["a" * length for length in range(1, 1_500)]
    before = time.perf_counter()
    grammar = Grammar.from_choices(many)
    chain = Grammar.from_choices(deep)
    assert time.perf_counter() - before < 5
    assert grammar.accepts(many[4_321])
    assert not grammar.accepts("item 5000 of 2")
    assert chain.accepts("a" * 1_499)
    assert not chain.accepts("a" * 1_500)


@pytest.mark.slow
def test_long_lists_keep_their_words_and_nothing_else() -> None:
    every = ["".join(word) for n in range(1, 8) for word in itertools.product("abé", repeat=n)]
    chosen = random.Random(1).sample(every, 2_000)
    rules = choices_to_rules(chosen)
    inside = set(chosen)
    for word in every[::40]:
        assert matches(rules, word) == (word in inside), word
    for word in chosen[:40]:
        assert matches(rules, word)
        assert matches_prefix(rules, word[:-1])


@pytest.mark.slow
def test_a_hundred_thousand_choices_are_run_as_they_are() -> None:
    many = [f"{number:x} of {number % 7}, né {number // 3}" for number in range(100_000)]
    rules = choices_to_rules(many)
    check(rules)
    automaton = Automaton(rules)
    for choice in many[::997]:
        assert automaton.accepts(choice.encode())
        assert automaton.accepts_prefix(choice[:-1].encode())
        assert not automaton.accepts(f"{choice}x".encode())


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (list(map(str, range(MAX_CHOICES + 1))), "200,001 strings; at most 200,000"),
        ([], "the list is empty"),
        ((), "the list is empty"),
        ("yes", "expected a list of strings, got str"),
        (None, "expected a list of strings, got NoneType"),
        ({"a": 1}, "expected a list of strings, got dict"),
        (["a", 1], "[1] is int 1"),
        ([True], "[0] is bool True"),
        ([["a"]], "[0] is list"),
        (["a", ""], "[1] is the empty string"),
        (["a", "b", "a"], "[2] 'a' is already at [0]"),
        (["\ud800"], "[0] '\\ud800' holds half of a surrogate pair"),
    ],
)
def test_bad_choices_are_named_with_their_place(choices: object, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Grammar.from_choices(choices)  # type: ignore[arg-type]  # what a user may pass
    assert caught.value.parameter == "choices"
    assert message in str(caught.value)

"""Pruning keeps the language and leaves no dead end; loops are found."""

from __future__ import annotations

import random

import pytest

from treegram.lang.ir.facts import Survey
from treegram.lang.ir.nodes import (
    EMPTY,
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
from treegram.lang.ir.prune import first_unproductive, prune
from treegram.lang.ir.random_text import random_text

A, B = Literal("a"), Literal("b")


@pytest.mark.parametrize(
    ("rules", "pruned"),
    [
        ({"root": Alt((A, Ref("dead"))), "dead": Seq((B, Ref("dead")))}, {"root": A}),
        ({"root": A, "unused": B}, {"root": A}),
        ({"root": Seq((A, Repeat(Ref("no"), 0, 5))), "no": NEVER}, {"root": Seq((A, EMPTY))}),
        ({"root": Alt((Repeat(CharClass(()), 1, 2), B))}, {"root": B}),
        ({"root": Ref("x"), "x": B}, {"root": Ref("x"), "x": B}),
    ],
)
def test_dead_branches_and_unused_rules_go(rules: dict[str, Node], pruned: dict[str, Node]) -> None:
    assert prune(Survey(Rules("root", rules))).rules == pruned


def test_the_rule_to_blame_is_named() -> None:
    dead: dict[str, Node] = {"root": Seq((A, Ref("x"))), "x": Alt((Ref("y"), Ref("y"))), "y": NEVER}
    others: list[dict[str, Node]] = [{"root": A, "y": NEVER}, {"root": Seq((A, Ref("root")))}]
    found = [Rules("root", rules) for rules in (dead, *others)]
    blamed = [first_unproductive(Survey(rules)) for rules in found]
    assert blamed == ["y", None, "root"]


def test_random_texts_end_even_in_deep_recursion() -> None:
    body = Alt((Seq((Literal("("), Repeat(Ref("root"), 1, None), Literal(")"))), A))
    rules = Rules("root", {"root": body})
    texts = {random_text(rules, random.Random(seed), max_depth=3) for seed in range(50)}
    assert {"a", "(a)"} <= texts
    assert all(text.count("(") == text.count(")") for text in texts)

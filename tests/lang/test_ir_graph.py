"""What each node can match is found exactly, in time linear in the grammar."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegram.lang.automaton.reference import matches
from treegram.lang.ir.graph import IrGraph
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

leaves: st.SearchStrategy[Node] = st.sampled_from(
    [EMPTY, NEVER, Literal("a"), CharClass(()), Ref("s"), Ref("t"), Ref("endless")]
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
            "s": Alt((Seq((Literal("a"), Ref("s"))), EMPTY)),
            "t": Seq((Literal("a"), Ref("s"))),
            "endless": Seq((Literal("a"), Ref("endless"))),
        },
    )
    graph = IrGraph(rules)
    top = graph.roots["root"]
    assert graph.nullable[top] == matches(rules, "")
    assert graph.has_text[top] == any(matches(rules, "a" * n) for n in range(1, 65))


@pytest.mark.parametrize("order", [1, -1])
def test_a_long_chain_of_rules_is_linear_in_any_order(order: int) -> None:
    count = 4000
    rules: dict[str, Node] = {f"r{i}": Seq((Literal("a"), Ref(f"r{i + 1}"))) for i in range(count)}
    rules[f"r{count}"] = Literal("b")
    rules["root"] = Alt(tuple(Ref(f"r{i}") for i in range(count))[::order])
    began = time.process_time()
    graph = IrGraph(Rules("root", rules))
    assert all(graph.has_text)
    assert time.process_time() - began < 2

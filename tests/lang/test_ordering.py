"""Orders of interchangeable blocks: permutations, and more shared prefixes than as given."""

from __future__ import annotations

import random
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treegram as tg
from treegram.lang import ordering
from treegram.lang.base import GenRequest, Text
from treegram.lang.conversation import text_of
from treegram.lang.ordering import OrderPlanner, OrderPlanners
from treegram.lang.scripted import ScriptedBackend

BLOCKS = ["alpha", "beta", "gamma", "delta", "epsilon"]
LISTS = st.lists(st.lists(st.sampled_from(BLOCKS), max_size=5), max_size=12)


def trie_size(lists: list[list[str]]) -> int:
    """Characters of the trie of all lists."""
    prefixes = {tuple(blocks[: n + 1]) for blocks in lists for n in range(len(blocks))}
    return sum(len(prefix[-1]) for prefix in prefixes)


@settings(derandomize=True, deadline=None)
@given(LISTS)
def test_orders_are_permutations_and_the_report_is_the_tries(lists: list[list[str]]) -> None:
    planner = OrderPlanner()
    planned = []
    for blocks in lists:
        order = planner.order(blocks)
        assert sorted(order) == list(range(len(blocks)))
        planned.append([blocks[i] for i in order])
    report = planner.report()
    total = sum(len(block) for blocks in lists for block in blocks)
    assert (report.prompts, report.total) == (len(lists), total)
    assert report.saved == total - trie_size(planned)
    assert report.saved_as_given == total - trie_size(lists)


def test_foreseen_rows_come_near_the_best_of_all_orders() -> None:
    """Against every combination of orders, on lists small enough to try them all."""
    rng = random.Random(3)
    worst = 0.0
    for _ in range(30):
        lists = [rng.sample(BLOCKS[:4], 3) for _ in range(3)]
        planner = OrderPlanner()
        planner.foresee({"docs": blocks} for blocks in lists)
        planned = [[blocks[i] for i in planner.order(blocks)] for blocks in lists]
        best = min(
            trie_size([list(order) for order in orders])
            for orders in product(*(permutations(blocks) for blocks in lists))
        )
        worst = max(worst, trie_size(planned) / best)
    assert worst <= 1.35


def test_an_order_that_was_used_is_used_again() -> None:
    planner = OrderPlanner()
    first = [["b", "a", "c"][i] for i in planner.order(["b", "a", "c"])]
    for _ in range(5):
        planner.order(["c"])
    again = ["c", "b", "a"]
    assert [again[i] for i in planner.order(again)] == first


def test_counts_do_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "MAX_NODES", 100)
    planner = OrderPlanner()
    for i in range(200):
        planner.foresee([{"docs": [f"foreseen {i} {k}" for k in range(10)]}])
        planner.order([f"doc {i} {k}" for k in range(10)])
        assert len(planner._counts) <= 110
        assert len(planner._foreseen) <= 110
    assert planner.report().prompts == 200


def test_a_batch_reads_its_documents_in_one_order() -> None:
    @tg.function
    def answer(s: tg.State, docs: list[str], question: str) -> None:
        s += "Documents:\n"
        s += tg.unordered(docs, name="order")
        s += f"\n\n{question}"
        s += tg.gen("answer", max_tokens=4)

    backend = ScriptedBackend("x")
    rows = [
        {"docs": docs, "question": f"q{i}?"}
        for i, docs in enumerate([["one", "two", "three"], ["two", "one"], ["four", "one", "two"]])
    ]
    states = answer.run_batch(rows, model=backend)
    texts = [state.text() for state in states]
    for state, row in zip(states, rows, strict=True):
        shown = [row["docs"][i] for i in state["order"]]
        assert "Documents:\n" + "\n\n".join(shown) + "\n\n" in state.text()
    assert texts[0].startswith("Documents:\none\n\ntwo\n\n")
    assert texts[1].startswith("Documents:\none\n\ntwo\n\n")
    assert texts[2].startswith("Documents:\none\n\ntwo\n\nfour")
    report = answer.order_report()
    assert report.saved > report.saved_as_given
    requests = [r for r in backend.requests if isinstance(r, GenRequest)]
    assert all(isinstance(span, Text) for r in requests for span in r.prompt)
    assert text_of(requests[0].prompt).startswith("Documents:\n")


def test_one_tenants_order_says_nothing_of_another() -> None:
    @tg.function
    def answer(s: tg.State, docs: list[str]) -> None:
        s += tg.unordered(docs, name="order")
        s += tg.gen("answer", max_tokens=4)

    def order(docs: list[str], namespace: str) -> list[str]:
        state = answer.run(docs, model=ScriptedBackend("x"), namespace=namespace)
        return [docs[i] for i in state["order"]]

    order(["c"], "one")
    order(["c", "a"], "one")
    assert order(["a", "c"], "one") == ["c", "a"], "as it was used before"
    assert order(["a", "c"], "two") == ["a", "c"], "as if nobody had asked before"
    assert answer.order_report().prompts == 4


def test_tenants_do_not_grow_for_ever() -> None:
    planners = OrderPlanners()
    for i in range(200):
        planners.of("", str(i)).order(["a"])
    assert len(planners._planners) == OrderPlanners.MOST
    assert planners.report().prompts == 200


def test_wrong_blocks_are_named() -> None:
    for wrong, message in (("text", "one str"), ([1], r"\[0\] is int 1"), (3, "int")):
        with pytest.raises(tg.ParameterError, match=message):
            tg.unordered(wrong)  # type: ignore[arg-type]  # the mistake under test

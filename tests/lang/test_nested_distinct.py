"""Lists of distinct lists of distinct values: no text runs into a dead end, and none is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import permutations, product
from random import Random

import pytest

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.automaton.reference import matches_prefix
from treegram.lang.grammar import Grammar
from treegram.lang.ir.nodes import Alt, Element, Literal, Node, Rules, Seq, Unique
from treegram.lang.json_schema.layout import Layout

MANY = 300


def lists_of(items: object, sizes: tuple[int, int], *, distinct: bool = True) -> dict[str, object]:
    return {
        "type": "array",
        "items": items,
        "minItems": sizes[0],
        "maxItems": sizes[1],
        "uniqueItems": distinct,
    }


def every_list(values: list[object], sizes: tuple[int, int], *, distinct: bool) -> list[object]:
    found: list[object] = []
    for size in range(sizes[0], sizes[1] + 1):
        ways = permutations(values, size) if distinct else product(values, repeat=size)
        found += [list(way) for way in ways]
    return found


def described(seed: int, depth: int) -> tuple[dict[str, object], list[object]]:
    """A schema of lists in lists of few values, and all that it allows: some, not too many."""
    random = Random(seed)
    while True:
        values: list[object] = random.sample([1, 2, 12, "a", "ab", True], random.randint(1, 3))
        schema: dict[str, object] = {"enum": values}
        for _ in range(depth):
            least = random.randint(0, 3)
            sizes, distinct = (least, least + random.randint(0, 2)), random.random() < 0.85
            if len(values) ** sizes[1] > 10 * MANY:
                break
            schema = lists_of(schema, sizes, distinct=distinct)
            values = every_list(values, sizes, distinct=distinct)
            if not 0 < len(values) <= MANY:
                break
        else:
            return schema, values


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("seed", range(12))
def test_the_texts_are_all_lists_of_distinct_lists(
    seed: int, depth: int, texts_of: Callable[[Automaton], set[str]]
) -> None:
    schema, values = described(100 * depth + seed, depth)
    automaton = Grammar.from_schema(schema, Layout()).automaton
    assert texts_of(automaton) == {json.dumps(value) for value in values}


PAIRS = lists_of(lists_of({"enum": [1, 2]}, (2, 2)), (2, 2))
TRIPLES = lists_of(lists_of(lists_of({"enum": [1, 2]}, (1, 2)), (2, 2)), (2, 3))


@pytest.mark.parametrize("text", ["[[1, 2], [1", "[[1.0,2],[1.00", "[ [2,1], [ 2e0 ", "[[1,2],[1,"])
def test_an_inner_list_that_can_only_be_repeated_is_not_begun(text: str) -> None:
    grammar = Grammar.from_schema(PAIRS, Layout.accepting())
    assert not grammar.accepts_prefix(text)
    assert grammar.accepts("[[1.0,2],[2.0, 1]]")


@pytest.mark.parametrize("schema", [PAIRS, TRIPLES], ids=["two deep", "three deep"])
def test_random_legal_bytes_are_always_completed(schema: object) -> None:
    automaton = Grammar.from_schema(schema, Layout.accepting()).automaton
    for seed in range(6):
        random = Random(seed)
        here, text = automaton.start, bytearray()
        while not here.accepting:
            legal = automaton.next_bytes(here)
            assert legal, bytes(text)
            # white space and zeros could go on for ever
            likely = [byte for byte in legal if byte not in b" \t\n\r0"] or list(legal)
            byte = random.choice(likely if random.random() < 0.8 or len(text) > 90 else list(legal))
            following = automaton.step(here, byte)
            assert following is not None
            text.append(byte)
            here = following


def test_the_reference_calls_the_same_prefixes_live() -> None:
    def pair(item: Node) -> Node:
        body = Seq((Element(item), Literal(","), Element(item)))
        return Seq((Literal("["), Unique(body), Literal("]")))

    rules = Rules("root", {"root": pair(pair(Alt((Literal("1"), Literal("2")))))})
    automaton = Automaton(rules)
    pending = ["["]
    while pending:
        text = pending.pop()
        assert automaton.accepts_prefix(text.encode()) == matches_prefix(rules, text), text
        if automaton.accepts_prefix(text.encode()):
            pending += [text + following for following in "[12,]"]

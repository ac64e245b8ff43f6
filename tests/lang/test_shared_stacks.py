"""Alternatives that differ in what they return to share their stacks, and mean what they meant."""

from __future__ import annotations

import itertools
import json
import re
from random import Random

import jsonschema
import pytest

from treegram.lang.automaton import configuration_table, joining
from treegram.lang.automaton.automaton import Automaton
from treegram.lang.automaton.configuration import Configuration, Place
from treegram.lang.automaton.frames import FrameTable, frames_of
from treegram.lang.automaton.reference import matches, matches_prefix
from treegram.lang.automaton.scopes import Scope
from treegram.lang.errors import GrammarError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.nodes import (
    Alt,
    Element,
    Literal,
    Member,
    Members,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
    Terminal,
    Unique,
)
from treegram.lang.ir.random_text import random_text
from treegram.lang.json_schema.layout import Layout

INTEGER = {"type": "integer"}
CHILD = {"$ref": "#/$defs/node"}


def recursive(node: dict[str, object]) -> dict[str, object]:
    return {**CHILD, "$defs": {"node": node}}


DEPENDENT = recursive(
    {
        "type": "object",
        "properties": {"child": CHILD, "a": INTEGER, "b": INTEGER, "c": INTEGER},
        "dependentRequired": {"a": ["b"], "b": ["c"]},
    }
)
DISCRIMINATED = recursive(
    {
        "oneOf": [
            {
                "type": "object",
                "properties": {"child": CHILD, "kind": {"const": kind}, kind: INTEGER},
                "required": ["kind"],
                "additionalProperties": False,
            }
            for kind in ("x", "y", "z")
        ]
    }
)
IN_LISTS = recursive(
    {
        "type": "object",
        "properties": {
            "children": {"type": "array", "items": CHILD, "uniqueItems": True},
            "a": INTEGER,
            "b": INTEGER,
        },
        "dependentRequired": {"a": ["b"], "b": ["a"]},
        "additionalProperties": False,
    }
)


def nested(before: str, inner: str, after: str, depth: int) -> str:
    return before * depth + inner + after * depth


def walk(automaton: Automaton, text: str) -> tuple[Configuration, int]:
    """Where a text leads byte by byte, and the most places on the way."""
    at, most = automaton.start, 0
    for byte in text.encode():
        following = automaton.step(at, byte)
        assert following is not None
        at = following
        most = max(most, len(at.places))
    return at, most


def stack_size(configuration: Configuration) -> int:
    """How many frames the stacks of all places have together."""
    return len({frame for _, stack in configuration.places for frame in frames_of(stack)})


CASES = [
    (DEPENDENT, '{"child": ', "{}", [', "b": 1, "c": 2}', "}"], [', "b": 1}']),
    (DISCRIMINATED, '{"child": ', '{"kind": "z"}', [', "kind": "x", "x": 1}'], ["}"]),
    (DISCRIMINATED, '{"child": ', '{"kind": "z"}', [', "kind": "y"}'], [', "kind": "y", "x": 1}']),
    (IN_LISTS, '{"children": [', "{}", ['], "a": 1, "b": 2}', "]}"], ['], "a": 1}']),
]


@pytest.mark.slow
@pytest.mark.parametrize(("schema", "before", "inner", "right", "wrong"), CASES)
@pytest.mark.parametrize("layout", [Layout(), Layout.accepting()], ids=["writing", "accepting"])
def test_texts_of_any_depth_are_read(
    schema: dict[str, object],
    before: str,
    inner: str,
    right: list[str],
    wrong: list[str],
    layout: Layout,
) -> None:
    grammar = Grammar.from_schema(schema, layout)
    for depth in (*range(1, 9), 100):
        for after in right:
            text = nested(before, inner, after, depth)
            assert grammar.accepts(text), (depth, after)
            assert not grammar.accepts(text[:-1])
            assert grammar.accepts_prefix(text[:-1])
            if depth <= 4:  # jsonschema tries all alternatives at each level
                jsonschema.validate(json.loads(text), schema)
        for after in wrong:
            bad = nested(before, inner, right[0], depth - 1).replace(inner, before + inner + after)
            assert not grammar.accepts(bad), (depth, after)
            if depth <= 4:
                with pytest.raises(jsonschema.ValidationError):
                    jsonschema.validate(json.loads(bad), schema)


@pytest.mark.slow
@pytest.mark.parametrize(("schema", "before", "inner", "right", "wrong"), CASES)
def test_places_do_not_multiply_and_frames_grow_with_depth(
    schema: dict[str, object], before: str, inner: str, right: list[str], wrong: list[str]
) -> None:
    rules = Grammar.from_schema(schema, Layout.accepting()).rules
    sizes: list[tuple[int, int]] = []
    for depth in (20, 40, 80):
        automaton = Automaton(rules)
        deepest, most = walk(automaton, before * depth + inner)
        end = automaton.run(deepest, (right[0] * depth).encode())
        assert end is not None
        assert end.accepting
        sizes.append((most, stack_size(deepest)))
    (few, small), (same, middle), (again, large) = sizes
    assert few == same == again <= 20
    assert (large - middle) == 2 * (middle - small) > 0


@pytest.mark.slow
def test_ten_thousand_levels_are_no_recursion() -> None:
    """Two readings of each level, told apart on the way out."""
    node = Alt(
        (
            Seq((Literal("("), Repeat(Ref("node"), 0, 1), Literal(")"))),
            Seq((Literal("("), Repeat(Ref("node"), 0, 1), Literal("]"))),
        )
    )
    automaton = Automaton(Rules("node", {"node": node}))
    assert automaton.accepts(b"(" * 10_000 + b")]" * 5_000)
    assert not automaton.accepts(b"(" * 1_000 + b")]" * 499 + b")")
    local = Automaton(Rules("node", {"node": Repeat(node, 0, 300)})).within(5)
    assert local.accepts(b"(" * 1_000 + b"])" * 500)


def test_counts_collapse_above_several_stacks() -> None:
    few = Repeat(Alt((Literal("a"), Literal("aa"))), 0, 300)
    node = Alt((Seq((Literal("("), few, Literal(")"))), Seq((Literal("("), few, Literal("]")))))
    automaton = Automaton(Rules("root", {"root": Seq((Literal("!"), Alt((few, node)))), "n": few}))
    at = automaton.run(automaton.start, b"!(" + b"a" * 300)
    assert at is not None
    assert len(at.places) <= 8
    assert automaton.accepts(b"!(" + b"a" * 600 + b"]")
    assert not automaton.accepts(b"!(" + b"a" * 601 + b"]")


def test_of_counts_above_several_stacks_each_keeps_its_own_largest() -> None:
    few = Repeat(Alt((Literal("a"), Literal("aa"))), 3, 9)
    begun = {"]": 0, ")": 1, "!": 3}
    options = [Seq((Literal("a" * n), Ref("few"), Literal(end))) for end, n in begun.items()]
    automaton = Automaton(Rules("root", {"root": Alt(tuple(options)), "few": few}))
    for size in range(25):
        for end, before in begun.items():
            is_right = 3 <= size - before <= 18
            assert automaton.accepts(b"a" * size + end.encode()) == is_right, (size, end)


def test_stacks_stay_joined_when_the_table_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration_table, "MAX_CONFIGURATIONS", 40)
    for schema, before, inner, (after, *_), _ in CASES:
        automaton = Automaton(Grammar.from_schema(schema, Layout.accepting()).rules)
        text = nested(before, inner, after, 30)
        end, most = walk(automaton, text)
        assert end.accepting
        assert most <= 20
        assert len(automaton._table) <= 40


LOOP, C = Repeat(Literal("a"), 1, 9), Literal("c")


@pytest.mark.parametrize(
    ("item", "pattern"),
    [
        (Seq((LOOP, Literal("b"))), "a{1,9}b"),
        (Seq((Repeat(Seq((LOOP, Literal("b"))), 2, 9), Literal("c"))), "(a{1,9}b){2,9}c"),
        (Repeat(Seq((LOOP, Repeat(Literal("b"), 0, 1))), 2, 9), "(a{1,9}b?){2,9}"),
        (Alt((LOOP, Seq((LOOP, Literal("c"))))), "(a{1,9}|a{1,9}c)"),
        (
            Seq((Repeat(Repeat(Seq((LOOP, Repeat(Literal("b"), 0, 1))), 2, 9), 1, None), C)),
            "((a{1,9}b?){2,9})+c",
        ),
    ],
)
def test_items_that_overlap_are_not_counted_as_if_told_apart(item: Node, pattern: str) -> None:
    """A counted terminal asks whether a place inside an item is also one between two items."""
    node = Terminal(Seq((Literal("<"), Repeat(item, 2, 3), Literal(">"))))
    automaton = Automaton(Rules("root", {"root": node}))
    wanted = re.compile(f"<({pattern}){{2,3}}>")
    for size in range(7):
        for letters in itertools.product("abc", repeat=size):
            text = f"<{''.join(letters)}>"
            assert automaton.accepts(text.encode()) == bool(wanted.fullmatch(text)), text


def test_ambiguity_without_end_is_still_refused() -> None:
    with pytest.raises(GrammarError, match="left-recursive or too ambiguous"):
        Automaton(Rules("n", {"n": Alt((Seq((Ref("n"), Literal("a"))), Literal("a")))}))


def object_of(random: Random, keys: str, ordered: bool) -> Node:
    members = tuple(
        Member(key, Ref(random.choice(("node", "node", "leaf"))), random.random() < 0.3)
        for key in keys
    )
    high = random.choice((None, None, 2))
    return Seq((Literal("{"), Members(members, None, Literal(","), 0, high, ordered), Literal("}")))


def list_of(random: Random, unique: bool) -> Node:
    item: Node = Ref("node")
    item = Element(item) if unique else item
    low = random.choice((0, 1, 2))
    more = Repeat(Seq((Literal(","), item)), max(low - 1, 0), random.choice((None, 1, 3)))
    body: Node = Seq((item, more))
    body = Unique(body) if unique else body
    if random.random() < 0.3:  # its first item may be one of the others, too
        body = Seq((Ref("node"), Literal(","), body))
    return Seq((Literal("["), body, Literal(random.choice(("]", "]", "!")))))


def recursive_rules(random: Random, unique: bool) -> Rules:
    """A rule whose alternatives begin alike, hold the rule itself and end differently."""
    ordered = random.random() < 0.5
    options: list[Node] = [Ref("leaf")]
    for _ in range(random.randint(2, 4)):
        kind = random.random()
        if kind < 0.5:
            keys = "".join(random.sample("abc", random.randint(1, 3)))
            options.append(object_of(random, keys, ordered))
        elif kind < 0.8:
            options.append(list_of(random, unique))
        else:
            rest = Literal(random.choice(")]"))
            options.append(Seq((Literal("("), Repeat(Ref("node"), 0, 2), rest)))
    leaf = Alt((Literal("1"), Literal("2"))) if unique else Literal("1")
    return Rules("node", {"node": Alt(tuple(options)), "leaf": leaf})


def stray(random: Random, text: str) -> str:
    """The text with one character more, less or another."""
    at = random.randrange(len(text) + 1)
    return text[:at] + random.choice(("", random.choice("{}[](),!abc12"))) + text[at + 1 :]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_recursive_alternatives_are_what_the_plain_matcher_says(seed: int) -> None:
    random = Random(seed)
    rules = recursive_rules(random, unique=False)
    automaton = Automaton(rules)
    for _ in range(6):
        text = random_text(rules, random, max_depth=3)[:30]
        for variant in (text, text[:-1], stray(random, text), stray(random, text)):
            data = variant.encode()
            assert automaton.accepts(data) == matches(rules, variant), variant
            assert automaton.accepts_prefix(data) == matches_prefix(rules, variant), variant


def test_lists_that_have_seen_other_values_stay_apart() -> None:
    """In one reading of the list the first value counts, in the other it does not."""
    value = Alt((Literal("1"), Literal("2"), Seq((Literal("("), Ref("value"), Literal(")")))))
    item = Element(Ref("value"))
    pair = Unique(Seq((item, Literal(","), item)))
    options = (
        Seq((pair, Literal("]"))),
        Seq((Ref("value"), Literal(","), Unique(item), Literal("!"))),
    )
    rules = Rules("root", {"root": Alt(options), "value": value})
    automaton = Automaton(rules)
    for one, other in itertools.product(("1", "2", "(1)", "(2)", "((1))", "((2))"), repeat=2):
        for end in "]!":
            text = f"{one},{other}{end}"
            assert automaton.accepts(text.encode()) == (end == "!" or one != other), text
            assert automaton.accepts(text.encode()) == matches(rules, text), text


def test_a_value_is_seen_by_each_list_that_it_may_belong_to() -> None:
    more = Seq((Literal(","), Ref("item")))
    rules = Rules(
        "root",
        {
            "root": Alt(
                (
                    Seq((Unique(Seq((Ref("item"), more))), Literal("]"))),
                    Seq((Unique(Seq((Ref("item"), Repeat(more, 0, 2)))), Literal("!"))),
                )
            ),
            "item": Element(Alt((Literal("1"), Literal("2"), Literal("3")))),
        },
    )
    automaton = Automaton(rules)
    for size in (1, 2, 3, 4):
        for values in itertools.product("123", repeat=size):
            differ = len(set(values)) == size
            text = ",".join(values)
            assert automaton.accepts(f"{text}]".encode()) == (differ and size == 2), text
            assert automaton.accepts(f"{text}!".encode()) == (differ and size <= 3), text


@pytest.mark.slow
@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("seed", range(24))
def test_joining_stacks_changes_no_legal_byte(
    seed: int, unique: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside an automaton in which each place keeps a stack of its own."""
    random = Random(seed)
    rules = recursive_rules(random, unique)
    shared, apart = Automaton(rules), Automaton(rules)

    def joined(
        places: frozenset[Place], scopes: list[Scope], frames: FrameTable
    ) -> frozenset[Place]:
        return places if frames is apart._frames else joining.joined(places, scopes, frames)

    monkeypatch.setattr(configuration_table, "joined", joined)
    for _ in range(1 if unique else 9):
        here, there = shared.start, apart.start
        for _ in range(12 if unique else 25):
            legal = shared.next_bytes(here)
            assert apart.next_bytes(there) == legal
            assert apart.forced_byte(there) == shared.forced_byte(here)
            texts = {value.text for value in shared.values_in_writing(here)}
            assert {value.text for value in apart.values_in_writing(there)} == texts
            assert here.accepting == there.accepting
            if not legal or len(there.places) > 300:
                break
            byte = random.choice(legal)
            following, other = shared.step(here, byte), apart.step(there, byte)
            assert following is not None
            assert other is not None
            here, there = following, other

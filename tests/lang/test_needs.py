"""Members that come only with others: the node against its definition, and schemas that need it."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.automaton.reference import matches, matches_prefix
from treegram.lang.errors import GrammarError, SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.check import check
from treegram.lang.ir.needs import companions
from treegram.lang.ir.nodes import EMPTY, Literal, Member, Members, Rules
from treegram.lang.ir.rules_format import Compiled, decode, encode
from treegram.lang.json_schema.compile import compile_schema
from treegram.lang.json_schema.layout import Layout

COMMA = Literal(",")
SETTINGS = settings(
    derandomize=True,
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)
LAYOUTS = {"ordered": Layout(), "free": Layout(key_order="free"), "any": Layout.accepting()}


@st.composite
def members(draw: st.DrawFn) -> Members:
    keys = "abcd"[: draw(st.integers(2, 4))]
    place = st.integers(0, len(keys) - 1)
    pairs = draw(st.lists(st.tuples(place, place), min_size=1, max_size=4))
    required = draw(st.frozensets(place, max_size=1))
    for i, j in pairs * len(keys):
        required |= {j} if i in required else set()
    return Members(
        tuple(Member(key, EMPTY, i in required) for i, key in enumerate(keys)),
        draw(st.sampled_from([None, Literal("x")])) if len(keys) < 4 else None,
        COMMA,
        draw(st.integers(0, 3)),
        draw(st.none() | st.integers(1, 4)),
        draw(st.booleans()),
        tuple(pair for pair in pairs if pair[0] != pair[1]),
    )


def texts_of(node: Members, longest: int) -> set[str]:
    """All texts of up to `longest` members, from the definition."""
    keys = [member.key for member in node.members]
    extras = ["x"] if node.extra else []
    found = set()
    for count in range(longest + 1):
        for chosen in itertools.product([*keys, *extras], repeat=count):
            declared = [key for key in chosen if key != "x"]
            in_order = declared == sorted(declared) and list(chosen[: len(declared)]) == declared
            if (
                all(m.key in declared for m in node.members if m.required)
                and len(declared) == len(set(declared))
                and node.min <= count
                and (node.max is None or count <= node.max)
                and (in_order or not node.ordered)
                and all(keys[j] in declared for i, j in node.needs if keys[i] in declared)
            ):
                found.add(",".join(chosen))
    return found


@SETTINGS
@given(members())
def test_the_automaton_holds_what_the_definition_says_and_no_dead_end(node: Members) -> None:
    rules = Rules("root", {"root": node})
    texts = texts_of(node, 4 if node.extra is None else 6)
    try:
        check(rules)
    except GrammarError as error:
        if "no text" in str(error):
            assert not texts
        return
    automaton = Automaton(rules)
    chars = ",x" + "".join(member.key for member in node.members)
    beginnings = {text[:end] for text in texts for end in range(len(text) + 1)}
    todo = [""]
    for text in todo:
        assert automaton.accepts(text.encode()) == (text in texts), text
        assert automaton.accepts_prefix(text.encode()) == (text in beginnings), text
        if len(text) < 6 and text in beginnings:
            todo += [text + char for char in chars]
    for text in random.Random(1).sample(todo, min(len(todo), 15)):
        assert matches(rules, text) == (text in texts), text
        assert matches_prefix(rules, text) == (text in beginnings), text


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    """Objects of a few keys that need each other, under all that may count or refuse them."""
    key = st.sampled_from("abcde")
    value = st.sampled_from([{"const": 1}, {"const": 2}, False, {"$ref": "#/$defs/endless"}])
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": {"enum": [1, 2]},
        "dependentRequired": draw(
            st.dictionaries(key, st.lists(key, max_size=2, unique=True), min_size=1, max_size=4)
        ),
    }
    optional: dict[str, st.SearchStrategy[Any]] = {
        "properties": st.dictionaries(key, value, max_size=4),
        "required": st.lists(key, max_size=1),
        "minProperties": st.integers(0, 4),
        "maxProperties": st.integers(1, 4),
        "additionalProperties": st.sampled_from([False, {"const": 1}]),
        "patternProperties": st.just({"^[cd]$": {"const": 1}}),
        "allOf": st.just([{"dependentRequired": {"c": ["a"], "f": ["g"]}}]),
        "not": st.sampled_from([{"required": ["b"]}, {"dependentRequired": {"a": ["b"]}}]),
        "anyOf": st.just([{"dependentRequired": {"a": ["d"]}}, {"required": ["e"]}]),
    }
    for keyword in draw(st.frozensets(st.sampled_from(sorted(optional)), max_size=4)):
        schema[keyword] = draw(optional[keyword])
    endless = {"type": "array", "items": {"$ref": "#/$defs/endless"}, "minItems": 1}
    return {**schema, "$defs": {"endless": endless}}


OBJECTS = [
    dict(zip(keys, values, strict=True))
    for size in range(5)
    for keys in itertools.combinations("abcdex", size)
    for values in itertools.product((1, 2), repeat=min(size, 1))
    for values in [(*values, *[1] * (size - len(values)))]
]


def random_end(automaton: Automaton, rng: random.Random) -> str | None:
    """A random text, or None if it has not come to an end after some bytes; never a dead end."""
    at, text = automaton.start, bytearray()
    for n in range(150):
        legal = list(automaton.next_bytes(at))
        if at.accepting and (not legal or rng.random() < 0.4):
            return text.decode()
        assert legal, f"a dead end after {bytes(text)!r}"
        # the longer the text, the more it seeks an end
        weights = [1 + n if byte in b'"]}1' else 1 + 9 * (byte in b"abcde") for byte in legal]
        byte = rng.choices(legal, weights)[0]
        text.append(byte)
        after = automaton.step(at, byte)
        assert after is not None
        at = after
    return None


@SETTINGS
@given(schemas(), st.integers(0, 2**32))
def test_schemas_agree_with_jsonschema(schema: dict[str, Any], seed: int) -> None:
    is_valid, rng = Draft202012Validator(schema).is_valid, random.Random(seed)
    valid = [value for value in OBJECTS if is_valid(value)]
    for name, layout in LAYOUTS.items():
        try:
            grammar = Grammar(compile_schema(schema, layout).rules)
        except SchemaError:
            assert not valid, "it is refused only where nothing satisfies it"
            continue
        for value in [*rng.sample(OBJECTS, 12), *rng.sample(valid, min(len(valid), 4))]:
            orders = list(itertools.permutations(value.items()))
            orders = orders if name == "ordered" else rng.sample(orders, min(len(orders), 2))
            accepted = {grammar.accepts(json.dumps(dict(order))) for order in orders}
            assert any(accepted) == is_valid(value), (name, value)
            assert name == "ordered" or len(accepted) == 1, "any order is as good"
        for _ in range(3):
            text = random_end(grammar.automaton, rng)
            assert text is None or is_valid(json.loads(text)), (name, text)


PAIRS = {f"from{i}": [f"to{i}"] for i in range(20)}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("keyword", ["dependentRequired", "dependencies"])
def test_many_independent_needs_are_one_object(layout: Layout, keyword: str) -> None:
    names = [name for i in range(20) for name in (f"to{i}", f"from{i}")]
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {name: {"type": "integer"} for name in names},
        keyword: PAIRS,
        "required": ["from3"],
        "maxProperties": 5,
        "type": "object",
        "additionalProperties": False,
    }
    if keyword == "dependentRequired":
        del schema["$schema"]
    rules = compile_schema(schema, layout).rules
    assert decode(encode(Compiled(rules))).rules == rules
    grammar = Grammar(rules)
    assert grammar.accepts('{"to3": 1, "from3": 1, "to5": 1, "from5": 1, "to7": 1}')
    assert not grammar.accepts('{"to3": 1, "from3": 1, "from5": 1}')
    assert not grammar.accepts('{"to3": 1}')
    prefix = b'{"to1": 1, "to2": 1, "to3": 1, "from3": 1, "'
    at = grammar.automaton.run(grammar.automaton.start, prefix)
    assert at is not None
    assert not grammar.accepts_prefix(prefix.decode() + "from4"), (
        "there is no room for what it needs"
    )


def test_few_needs_print_as_gbnf_and_many_say_why_not() -> None:
    few = Grammar.from_schema({"dependentRequired": {"a": ["b"]}, "type": "object"}, Layout())
    assert Grammar.from_gbnf(few.to_gbnf()).accepts('{"a": 1, "b": 2}')
    assert not Grammar.from_gbnf(few.to_gbnf()).accepts('{"a": 1}')
    many = Grammar.from_schema({"dependentRequired": PAIRS, "type": "object"}, Layout())
    with pytest.raises(GrammarError, match="members that need others"):
        many.to_gbnf()


@given(st.integers(1, 7), st.data())
def test_companions_are_all_that_can_be_reached(count: int, data: st.DataObject) -> None:
    """Circles included."""
    members = st.integers(0, count - 1)
    needs = tuple(data.draw(st.lists(st.tuples(members, members), max_size=12)))
    reached = np.eye(count, dtype=bool)
    for i, j in needs:
        reached[i, j] = True
    for _ in range(count):
        reached |= reached @ reached
    expected = [sum(1 << int(j) for j in np.flatnonzero(row)) for row in reached]
    assert companions(count, needs) == expected


def test_a_long_chain_is_walked_once_in_either_direction() -> None:
    n = 3000
    down = companions(n, tuple((i + 1, i) for i in range(n - 1)))
    assert down == [(1 << i + 1) - 1 for i in range(n)]
    up = companions(n, tuple((i, i + 1) for i in range(n - 1)))
    assert up == [(1 << n) - (1 << i) for i in range(n)]

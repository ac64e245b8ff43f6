"""Automata with lengths, kept apart from their product, against the product and brute force."""

from __future__ import annotations

import json
import re
import time
from itertools import product
from random import Random

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.automaton.reference import matches, matches_prefix
from treegram.lang.errors import GrammarError
from treegram.lang.gbnf.parser import gbnf_to_rules
from treegram.lang.gbnf.printer import rules_to_gbnf
from treegram.lang.grammar import Grammar
from treegram.lang.ir.alphabet import ALL_BYTES
from treegram.lang.ir.check import check
from treegram.lang.ir.dfa import Dfa, Edge
from treegram.lang.ir.measured import Measured
from treegram.lang.ir.nodes import Literal, Node, Rules, Seq, Terminal
from treegram.lang.ir.random_text import random_text
from treegram.lang.ir.remainders import Remainders
from treegram.lang.ir.rules_format import Compiled, decode, encode
from treegram.lang.json_schema.layout import Layout
from treegram.lang.regex.expressions import parse_fullmatch
from treegram.lang.regular.bounded import bounded
from treegram.lang.regular.nfa import TooLarge
from treegram.lang.regular.table import Table

SETTINGS = settings(derandomize=True, deadline=None, max_examples=80)
PATTERNS = [
    "(aa|bbb)*",
    "a*b*",
    "(ab?)*é",
    "(a{3}|b{5})*(é|)",
    "[aé]+(b[aé]+){0,2}",
    "(a|b)*a(a|b)",
    "a{2,4}",
]
SCHEMA_PATTERNS = [
    *(r"^\S+( \S+)*$", r"^(\S+\s+){0,3}\S+$", "^[^a]*\\\\$", '"b'),
    *("^[a-b]{0,20}$|é b", "(?=^.{2,4}$)a", "^(?!.*aa)[^b]{0,30}(?<!é)$", "^(?=.{1,3}$)(?!b)"),
]
BOUNDS = st.tuples(st.integers(0, 4), st.none() | st.integers(0, 7))


def rules(node: Node) -> Rules:
    return Rules("root", {"root": node})


def measured(pattern: str, low: int, high: int | None) -> Measured:
    table = Table.of_node(parse_fullmatch(pattern))
    return Measured(table.dfa, len(table.rows), low, high)


def random_dfa(random: Random) -> tuple[Dfa, int]:
    """An automaton, and how many of its states complete a unit."""
    count = random.randrange(1, 7)
    edges: list[tuple[Edge, ...]] = []
    for _ in range(count):
        letters = random.sample(range(97, 100), random.randrange(3))
        edges.append(tuple((c, c, random.randrange(count)) for c in sorted(letters)))
    accepting = frozenset(state for state in range(count) if random.random() < 0.3)
    return Dfa(tuple(edges), accepting), random.randrange(1, count + 1)


def lengths(dfa: Dfa, units: int, state: int, longest: int) -> set[int]:
    """The lengths of the rests from `state`, by walking there."""
    seen = {(state, 0)}
    for here, count in (todo := [(state, 0)]):  # grows while it is walked
        for *_, to in dfa.edges[here]:
            place = (to, count + (to < units))
            if place not in seen and place[1] <= longest:
                seen.add(place)
                todo.append(place)
    return {count for here, count in seen if here in dfa.accepting}


@pytest.mark.parametrize("seed", range(40))
def test_remainders_are_the_lengths_that_walks_find(seed: int) -> None:
    random = Random(seed)
    for _ in range(15):
        dfa, units = random_dfa(random)
        longest = random.choice([None, random.randrange(12)])
        remainders = Remainders(dfa, units, longest)
        for state in range(len(dfa.edges)):
            found = lengths(dfa, units, state, 60)
            for _ in range(6):
                low, high = random.randrange(-2, 25), random.choice([None, random.randrange(30)])
                if longest is not None:
                    high = longest if high is None else min(high, longest)
                fits = any(low <= n and (high is None or n <= high) for n in found)
                assert remainders.has(state, low, high) == fits


@pytest.mark.parametrize(("pattern", "step"), [("(aa)*", 2), ("(aaa|b{6})*", 3), ("a(a{5})*", 5)])
def test_lengths_far_away_are_found_without_walking_there(pattern: str, step: int) -> None:
    node = measured(pattern, 0, None)
    remainders = node.remainders()
    far = remainders.least(0, 0) + 10**12 // step * step
    assert remainders.has(0, far, far)
    assert not remainders.has(0, far + 1, far + step - 1)
    assert remainders.has(0, far + 1, None)


@SETTINGS
@given(st.sampled_from(PATTERNS), BOUNDS)
def test_every_text_and_every_beginning_of_one(
    pattern: str, bounds: tuple[int, int | None]
) -> None:
    """Bare, and as the content of a terminal; nothing begun is a dead end."""
    low, high = bounds
    node = measured(pattern, low, high)
    texts = ["".join(chars) for n in range(5) for chars in product("abé", repeat=n)]
    inside = [
        text
        for text in texts
        if re.fullmatch(pattern, text) and low <= len(text) and (high is None or len(text) <= high)
    ]
    written = node.written()
    assert written is not None
    assert [text for text in texts if written.accepts(text)] == inside
    if not node.fits(node.remainders(), 0, 0):
        assert not inside
        return
    quoted = Terminal(Seq((Literal('"'), node, Literal('"'))))
    bare, closed = Automaton(rules(node)), Automaton(rules(quoted))
    assert [text for text in texts if bare.accepts(text.encode())] == inside
    assert [text for text in texts if closed.accepts(f'"{text}"'.encode())] == inside
    for text in texts:
        begun = matches_prefix(rules(node), text)
        assert matches(rules(node), text) == (text in inside)
        assert bare.accepts_prefix(text.encode()) == begun, text
        assert closed.accepts_prefix(f'"{text}'.encode()) == begun, text


@pytest.mark.parametrize("seed", range(30))
def test_units_of_several_characters(seed: int) -> None:
    """As in the spellings of a JSON string, where an escape is one character of the value."""
    random = Random(seed)
    dfa, units = random_dfa(random)
    low = random.randrange(4)
    node = Measured(dfa, units, low, random.choice([None, low + random.randrange(4)]))
    if not node.fits(node.remainders(), 0, 0):
        assert not any(
            low <= n and (node.max is None or n <= node.max) for n in lengths(dfa, units, 0, 40)
        )
        return
    automaton = Automaton(rules(node))
    for n in range(7):
        for chars in product("abc", repeat=n):
            text = "".join(chars)
            assert automaton.accepts(text.encode()) == matches(rules(node), text), text
            assert automaton.accepts_prefix(text.encode()) == matches_prefix(rules(node), text)
    for _ in range(5):
        assert automaton.accepts(random_text(rules(node), random).encode())


@SETTINGS
@given(
    st.sampled_from([*PATTERNS, *SCHEMA_PATTERNS]),
    BOUNDS,
    st.text('ab\\" é😀\n', max_size=9),
    st.booleans(),
)
def test_a_pattern_with_lengths_is_what_jsonschema_says(
    pattern: str, bounds: tuple[int, int | None], text: str, accepting: bool
) -> None:
    low, high = bounds
    schema: dict[str, object] = {"type": "string", "pattern": pattern, "minLength": low}
    if high is not None:
        schema["maxLength"] = high = max(low, high)
    layout = Layout.accepting() if accepting else Layout()
    grammar = Grammar.from_schema({"anyOf": [schema, {"type": "null"}]}, layout)
    valid = jsonschema.Draft202012Validator(schema).is_valid(text)
    assert grammar.accepts(json.dumps(text, ensure_ascii=False)) == valid
    assert grammar.accepts(json.dumps(text)) == (valid and (accepting or text.isascii()))


def test_a_missing_byte_leaves_no_dead_end() -> None:
    """An alphabet without `b` leaves `(aa|bbb)*` only the even lengths."""
    alphabet = ALL_BYTES - {ord("b")}
    automaton = Automaton(rules(measured("(aa|bbb)*", 3, 5)), alphabet=alphabet)
    assert automaton.accepts(b"aaaa")
    assert not automaton.accepts(b"aabbb")
    assert not automaton.accepts_prefix(b"b")
    with pytest.raises(GrammarError, match="no text satisfies"):
        Automaton(rules(measured("(aa|bbb)*", 3, 3)), alphabet=alphabet)


@pytest.mark.parametrize(
    ("cycles", "fits"), [((2, 3, 5, 7, 11), True), ((7, 11, 13, 17, 19), False)]
)
def test_lengths_that_do_not_repeat_soon_are_refused_in_time(
    cycles: tuple[int, ...], fits: bool
) -> None:
    pattern = "|".join(f"{chr(98 + i)}(a{{{n}}})*" for i, n in enumerate(cycles))
    node = measured(pattern, 3, 10**9)
    begun = time.perf_counter()
    if fits:
        assert node.remainders().has(0, 7 * 10**6 + 1, 7 * 10**6 + 1)
    else:
        with pytest.raises(ValueError, match="do not repeat soon"):
            node.remainders()
        with pytest.raises(TooLarge):
            bounded(Table.of_node(parse_fullmatch(pattern)), 3, 10**9)
    assert time.perf_counter() - begun < 5


def test_a_large_bound_costs_nothing() -> None:
    schema = {"type": "string", "pattern": r"^(\S+\s+){0,49}\S+$", "maxLength": 10**12}
    grammar = Grammar.from_schema(schema)
    assert grammar.accepts(json.dumps(" ".join(["word"] * 50)))
    assert not grammar.accepts(json.dumps(" ".join(["word"] * 51)))


def test_it_survives_the_disk() -> None:
    compiled = Compiled(rules(Terminal(measured("(ab|é)*", 2, 7))))
    assert decode(encode(compiled)) == compiled
    with pytest.raises(ValueError, match="not a node"):
        decode(encode(compiled).replace(b'"meas",', b'"meas","x",'))


def test_gbnf_writes_the_product_out_while_it_is_small() -> None:
    node = measured("(aa|bbb)*é?", 3, 7)
    printed = Automaton(gbnf_to_rules(rules_to_gbnf(rules(Terminal(node)))))
    for n in range(8):
        for chars in product("abé", repeat=n):
            text = "".join(chars)
            assert printed.accepts(text.encode()) == matches(rules(node), text)
    with pytest.raises(GrammarError, match="greatest length smaller"):
        rules_to_gbnf(rules(Terminal(measured("(a|bb)*a(a|b)", 0, 100_000))))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (Measured(Dfa(((),), frozenset({0})), 2, 0, 1), "2 of the automaton's 1 states"),
        (Measured(Dfa(((),), frozenset({0})), 1, 3, 1), "3 to 1"),
        (Measured(Dfa(((),), frozenset({3})), 1, 0, 1), "outside its 1 states"),
        (Measured(Dfa(((),), frozenset({0})), 1, 1, 1), "no text at all"),
    ],
)
def test_malformed_nodes_are_refused(node: Measured, message: str) -> None:
    with pytest.raises(GrammarError, match=message):
        check(rules(node))

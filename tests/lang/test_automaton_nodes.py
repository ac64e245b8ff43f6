"""The automaton reads every kind of node as the plain matcher does."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.automaton.reference import matches, matches_prefix
from treegram.lang.ir.nodes import (
    Alt,
    CharClass,
    Element,
    Literal,
    Member,
    Members,
    Node,
    Repeat,
    Rules,
    Seq,
    Substring,
    Terminal,
    Unique,
)
from treegram.lang.ir.random_grammar import random_rules, string

NUMBER = Terminal(Repeat(CharClass(((48, 57),)), 1, None))


def build(root: Node) -> Automaton:
    return Automaton(Rules("root", {"root": root}))


def accepted(automaton: Automaton, texts: list[str]) -> list[str]:
    return [text for text in texts if automaton.accepts(text.encode())]


def walk(automaton: Automaton, random: Random) -> str:
    """A random text or beginning of one, along bytes that the automaton says are legal."""
    at, text = automaton.start, bytearray()
    for _ in range(random.randrange(25)):
        forced = automaton.forced_run(at, limit=64)
        text += forced.text
        at = forced.end
        legal = automaton.next_bytes(at)
        if not legal:
            break
        likely = [byte for byte in legal if byte in b'ab"1, ]}{[:name'] or list(legal)
        byte = random.choice(likely if random.random() < 0.8 else list(legal))
        following = automaton.step(at, byte)
        assert following is not None, "a byte that next_bytes names is legal"
        text.append(byte)
        at = following
    return text.decode(errors="ignore")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_the_automaton_agrees_with_the_plain_matcher(seed: int) -> None:
    """Small grammars and short texts: the plain matcher takes exponential time on others."""
    random = Random(seed)
    rules = random_rules(random, depth=1)
    automaton = Automaton(rules)
    for _ in range(4):
        text = walk(automaton, random)[:12]
        cut = random.randrange(len(text) + 1)
        for variant in (text, text[:-1], text[:cut] + random.choice('ab"1, ]}') + text[cut:]):
            read = automaton.run(automaton.start, variant.encode())
            assert (read is not None and read.accepting) == matches(rules, variant), variant
            assert (read is not None) == matches_prefix(rules, variant), variant


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_running_a_text_is_stepping_through_its_bytes(seed: int) -> None:
    random = Random(seed)
    automaton = Automaton(random_rules(random))
    data = walk(automaton, random).encode()
    for cut in range(0, len(data), 3):
        at = automaton.run(automaton.start, data[:cut])
        assert at is not None
        by_steps = at
        for byte in data[cut : cut + 9]:
            following = automaton.step(by_steps, byte)
            assert following is not None
            by_steps = following
        assert automaton.run(at, data[cut : cut + 9]) is by_steps


def members(*, ordered: bool, low: int = 0, high: int | None = None, extra: bool = True) -> Node:
    declared = (
        Member('"a"', Seq((Literal(":"), NUMBER)), required=True),
        Member('"ab"', Seq((Literal(":"), NUMBER)), required=False),
        Member('"b"', Seq((Literal(":"), NUMBER)), required=True),
    )
    undeclared = Seq((string(0, None, ('"a"', '"ab"', '"b"')), Literal(":"), NUMBER))
    body = Members(declared, undeclared if extra else None, Literal(","), low, high, ordered)
    return Seq((Literal("{"), body, Literal("}")))


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("extra", [True, False])
@pytest.mark.parametrize(("low", "high"), [(0, None), (3, None), (0, 2), (3, 3)])
def test_members_are_what_their_definition_says(
    ordered: bool, extra: bool, low: int, high: int | None
) -> None:
    automaton = build(members(ordered=ordered, low=low, high=high, extra=extra))
    keys = ["a", "ab", "b", "x"]
    for size in range(5):
        for chosen in itertools.product(keys, repeat=size):
            declared = [key for key in chosen if key != "x"]
            legal = {"a", "b"} <= set(chosen) and len(declared) == len(set(declared))
            legal = legal and (extra or "x" not in chosen)
            legal = legal and low <= size and (high is None or size <= high)
            if ordered:
                legal = legal and [*declared, *["x"] * (size - len(declared))] == list(chosen)
                legal = legal and declared == sorted(declared, key=keys.index)
            text = "{" + ",".join(f'"{key}":1' for key in chosen) + "}"
            assert automaton.accepts(text.encode()) == legal, text


@pytest.mark.parametrize("ordered", [True, False])
def test_no_key_is_begun_that_the_object_has_no_room_for(ordered: bool) -> None:
    automaton = build(members(ordered=ordered, high=2))
    at = automaton.run(automaton.start, b'{"a":1,"')
    assert at is not None
    assert automaton.forced_run(at).text == b'b":'


def test_the_last_fresh_value_is_forced_and_no_other_is_begun() -> None:
    item = Element(Alt((Literal("red"), Literal("green"), Literal("1"), Literal("1.0"))))
    automaton = build(
        Unique(Seq((Literal("["), item, Repeat(Seq((Literal(", "), item)), 0, None), Literal("]"))))
    )
    at = automaton.run(automaton.start, b"[red, 1,")
    assert at is not None
    assert automaton.forced_run(at).text == b" green]", "1.0 is 1"
    assert not automaton.accepts_prefix(b"[red, 1, green,")


def test_values_differ_as_json_values_and_in_their_own_list_only() -> None:
    inner = Unique(
        Seq(
            (
                Literal("["),
                Element(NUMBER),
                Repeat(Seq((Literal(","), Element(NUMBER))), 0, None),
                Literal("]"),
            )
        )
    )
    outer = build(
        Unique(Seq((Element(inner), Repeat(Seq((Literal(";"), Element(inner))), 0, None))))
    )
    texts = ["[1]", "[1,1]", "[1,2];[1,3]", "[1];[1]", "[1,2];[2,1]", "[1,2];[3,3]"]
    assert accepted(outer, texts) == ["[1]", "[1,2];[1,3]", "[1,2];[2,1]"]


def test_lengths_of_any_size_cost_no_states() -> None:
    automaton = build(string(3, 20_000))
    assert accepted(automaton, ['"ab"', '"abc"', '"日本é"', '"\\"\\\\x"', '"\\"a"']) == [
        '"abc"',
        '"日本é"',
        '"\\"\\\\x"',
    ]
    full = '"' + "日" * 20_000
    assert automaton.accepts(f'{full}"'.encode())
    assert not automaton.accepts_prefix(f"{full}x".encode())


def test_a_passage_is_a_passage() -> None:
    text = "the lazy dog, the quick 狐"
    everything = build(Substring(text))
    words = build(Substring(text, words=True))
    for start, stop in itertools.combinations(range(len(text) + 1), 2):
        passage = text[start:stop].encode()
        assert everything.accepts(passage)
        begins = not text[start].isspace() and not text[max(start - 1, 0) : start + 1].isalnum()
        ends = not text[stop - 1].isspace() and not text[stop - 1 : stop + 1].isalnum()
        begins, ends = begins or start == 0, ends or stop == len(text)
        assert words.accepts(passage) == (begins and ends), passage
    assert not everything.accepts(b"")
    assert not everything.accepts_prefix(b"dogs")


def test_nothing_is_forced_where_the_text_may_end() -> None:
    automaton = build(Alt((Literal("a"), Literal("abc"))))
    at = automaton.run(automaton.start, b"a")
    assert at is not None
    assert automaton.forced_run(at).text == b""

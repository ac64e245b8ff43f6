"""A text is followed along exactly the values that it can still become."""

from __future__ import annotations

import json
from random import Random

import pytest

from treegram.lang.automaton.distinct import SeenValues, value_of
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout

VALUES: list[object] = [
    *(None, True, False, 0, 1, 12, -0.5, "", "a", "ab", 'é"\\', "\N{GRINNING FACE}", "\ud83d"),
    *([], [1], [1, 2], [[1], "a"], {}, {"a": 1}, {"a": 1, "b": [2]}, {"ab": {}}, {"b": [2]}),
]
SEEN = [value_of(json.dumps(value).encode()) for value in VALUES]


def spelled(random: Random, value: object) -> str:
    """The value in one of its spellings."""

    def space() -> str:
        return random.choice(["", "", "", " ", "\n"])

    match value:
        case dict():
            members = [f"{spelled(random, key)}{space()}:{item}" for key, item in value.items()]
            return "{" + f"{space()},".join(random.sample(members, len(members))) + space() + "}"
        case list():
            return "[" + ",".join(spelled(random, item) for item in value) + space() + "]"
        case str():
            return space() + json.dumps(
                value, ensure_ascii="\ud83d" in value or random.random() < 0.5
            )
        case float() | int() if not isinstance(value, bool):
            return space() + random.choice(["{}", "{}e0", "{}E+00"]).format(value)
        case _:
            return space() + json.dumps(value)


def after(text: bytes) -> SeenValues:
    values = SeenValues.begin(SEEN)
    for byte in text:
        values = values.step(byte)
    return values


@pytest.mark.parametrize("seed", range(20))
def test_a_value_is_possible_until_its_spelling_is_left(seed: int) -> None:
    random = Random(seed)
    for value, seen in zip(VALUES, SEEN, strict=True):
        text = spelled(random, value).encode()
        assert value_of(text) == seen, text
        for size in range(len(text)):
            assert after(text[:size]), text[:size]
        assert after(text).is_whole, text


def test_texts_that_are_no_value_seen_leave_them_all() -> None:
    texts = ['"b', '"aba', '"a"x', "2 ", "[2,", "[1,3,", "[1,2,", '{"c', '{"a":2,', '{"a":1,"ab"']
    texts += ["[1}", "tx", '"\\u0062', '"\\x', "1 1", "{1", '{"a" "', "01 ", "1- "]
    for text in texts:
        assert not after(text.encode()), text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1,"b":[2]', '{ "b": [2], "a": 1 '),
        ('"\\u0061', '"a'),
        ("[[1.0", "[ [1.00"),
        ("1e", "1e+0"),
    ],
)
def test_texts_that_differ_in_spelling_stand_at_the_same_place(one: str, other: str) -> None:
    ended = "," if one.startswith("{") else ""
    assert after((one + ended).encode()).place == after((other + ended).encode()).place


def test_a_text_that_is_no_json_is_followed_as_it_is() -> None:
    values = SeenValues.begin([value_of(b"red"), value_of(b"1;2"), value_of(b"1")])
    assert values.step(ord("r")).step(ord("e"))
    assert values.step(ord("r")).step(ord("e")).step(ord("d")).is_whole
    assert values.step(ord("1")).is_whole
    assert values.step(ord("1")).step(ord(";"))
    assert not values.step(ord("g"))


ITEMS: list[object] = [
    {"enum": [1, 2, 12]},
    {"enum": [[1], [1, 2], {"a": 1}]},
    {"enum": ["a", "ab", "b"]},
    {"type": "boolean"},
    {
        "type": "object",
        "properties": {"a": {"type": "boolean"}, "b": {"const": 0}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
]


@pytest.mark.parametrize("items", ITEMS, ids=range(len(ITEMS)))
@pytest.mark.parametrize("layout", [Layout(), Layout.accepting()], ids=["generating", "accepting"])
def test_no_text_runs_into_a_dead_end(items: object, layout: Layout) -> None:
    """Random legal bytes are always completed by more of them, to values that differ."""
    schema = {"type": "array", "uniqueItems": True, "minItems": 2, "items": items}
    automaton = Grammar.from_schema(schema, layout).automaton
    for seed in range(15):
        random = Random(seed)
        at, text = automaton.start, bytearray()
        while not (at.accepting and random.random() < 0.3):
            legal = automaton.next_bytes(at)
            if not legal:
                break
            # white space and zeros could go on for ever
            likely = [byte for byte in legal if byte not in b" \t\n\r0"] or list(legal)
            byte = random.choice(likely if random.random() < 0.8 or len(text) > 90 else list(legal))
            following = automaton.step(at, byte)
            assert following is not None
            text.append(byte)
            at = following
        assert at.accepting, bytes(text)
        values = [value_of(json.dumps(value).encode()) for value in json.loads(text)]
        assert len(set(values)) == len(values)


def test_zeros_make_no_other_number() -> None:
    schema = {"type": "array", "uniqueItems": True, "items": {"enum": [1, 2]}}
    grammar = Grammar.from_schema(schema, Layout.accepting())
    assert grammar.accepts("[2.0, 1]")
    for text in ("[1, 1", "[1, 1.0", "[1.00, 1.", "[2, 2e", "[1, 2,"):
        assert not grammar.accepts_prefix(text), text
    numbers = {"type": "array", "uniqueItems": True, "items": {"type": "number"}}
    grammar = Grammar.from_schema(numbers, Layout.accepting())
    assert grammar.accepts_prefix("[0, 0.0")
    assert not grammar.accepts_prefix("[0, 0e")
    assert grammar.accepts_prefix("[1, 1e")

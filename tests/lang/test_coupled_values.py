"""Items and keys with few values between them: each must leave enough for those after it."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import permutations, product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.automaton.reference import matches_prefix
from treegram.lang.automaton.value_search import all_differ
from treegram.lang.errors import GrammarError, SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.nodes import Alt, Element, Literal, Node, Ref, Repeat, Rules, Seq, Unique
from treegram.lang.ir.walk import walk
from treegram.lang.json_schema.layout import Layout

MANY = 400
VALUES = [1, 2, 12, "a", "ab", "b", True]
INTEGERS = {"type": "integer", "minimum": 0, "maximum": 99}
STRING = {"type": "string"}
FRACTIONS = {"type": "number", "multipleOf": 0.25, "exclusiveMinimum": 0, "maximum": 10}


def distinct(**keywords: object) -> dict[str, object]:
    return {"type": "array", "uniqueItems": True, **keywords}


def positions(*items: object, **keywords: object) -> dict[str, object]:
    return distinct(prefixItems=list(items), minItems=len(items), **keywords)


def enum(*values: object) -> dict[str, object]:
    return {"enum": list(values)}


def described(random: Random, depth: int) -> tuple[dict[str, object], list[str]] | None:
    """A schema of lists with items of several kinds, and all its texts; None if they are many."""
    if not depth:
        values = random.sample(VALUES, random.randint(1, 3))
        return enum(*values), [json.dumps(value) for value in values]
    below = [
        described(random, random.choice((depth - 1, depth - 1, 0)))
        for _ in range(random.randint(1, 4))
    ]
    kinds = [kind for kind in below if kind is not None]
    if len(kinds) < len(below):
        return None
    *prefix, rest = kinds
    low = random.randint(0, 3)
    high = low + random.randint(0, 2)
    unique = random.random() < 0.85
    schema: dict[str, object] = {"type": "array", "prefixItems": [kind for kind, _ in prefix]}
    schema |= {"items": rest[0], "minItems": low, "maxItems": high, "uniqueItems": unique}
    found: list[str] = []
    for size in range(low, high + 1):
        texts = [text for _, text in (*prefix, *[rest] * size)][:size]
        for chosen in product(*texts):
            if not unique or len(set(chosen)) == size:
                found.append(f"[{', '.join(chosen)}]")
            if len(found) > MANY:
                return None
    return schema, found


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("seed", range(16))
def test_the_texts_are_all_lists_that_differ(
    seed: int, depth: int, texts_of: Callable[[Automaton], set[str]]
) -> None:
    """By brute force; a schema without any is refused."""
    random = Random(f"{depth} {seed}")
    while (found := described(random, depth)) is None:
        pass
    schema, texts = found
    if not texts:
        with pytest.raises(SchemaError):
            Grammar.from_schema(schema, Layout())
    else:
        assert texts_of(Grammar.from_schema(schema, Layout()).automaton) == set(texts)


@pytest.mark.parametrize(
    ("schema", "dead", "alive"),
    [
        (positions(enum("a", "b"), enum("a")), '["a', '["b", "a"]'),
        (positions({"type": "string"}, enum("a")), '["a"', '["ab", "a"]'),
        (positions(enum(1, 2), enum(2, 3), enum(3, 1), enum(1)), "[2, 3", None),
        (positions(enum(1, 2), {"type": "integer"}, enum(2)), "[1, 2,", "[1, 3, 2]"),
        (positions(enum(1, 2), items=enum(1, 2)), "[1, 2,", "[1, 2]"),
        (positions(enum(1, 2, 3), items=enum(1, 2, 3)) | {"minItems": 3}, "[1, 1", "[3, 2, 1]"),
        (
            distinct(items=enum(1, 2, 3), contains=enum(1, 2), minContains=2, minItems=3),
            "[3, 3",
            "[3, 2, 1]",
        ),
        (distinct(items=enum(1, 2), contains=enum(1), minItems=2), "[1, 1", "[2, 1]"),
        (
            positions(distinct(items=enum(1, 2), minItems=1), enum([1], [1, 2]), enum([1])),
            "[[1]",
            "[[2], [1, 2], [1]]",
        ),
        (
            positions(distinct(items=enum(1, 2), minItems=1), enum([1], [1, 2]), enum([1])),
            "[[1, ",
            "[[2, 1], [1, 2], [1]]",
        ),
    ],
)
def test_a_value_that_a_later_position_needs_is_not_taken(
    schema: object, dead: str, alive: str | None
) -> None:
    if alive is None:
        with pytest.raises(SchemaError):
            Grammar.from_schema(schema, Layout())
        return
    for layout in (Layout(), Layout.accepting()):
        grammar = Grammar.from_schema(schema, layout)
        assert grammar.accepts(alive)
        assert not grammar.accepts_prefix(dead)


def test_a_value_that_a_far_position_needs_is_not_taken() -> None:
    grammar = Grammar.from_schema(positions(*[INTEGERS] * 34, enum(5)), Layout())
    assert grammar.accepts(json.dumps([*range(10, 44), 5]))
    assert not grammar.accepts_prefix("[5,")


FLAGS = {
    "type": "object",
    "properties": {"a": {"type": "boolean"}},
    "required": ["a"],
    "additionalProperties": False,
}
TOO_FEW = [
    distinct(items=enum("a", "b"), minItems=3),
    distinct(items={"type": "integer", "minimum": 1, "maximum": 900}, minItems=901),
    distinct(items=INTEGERS | {"multipleOf": 2}, minItems=51),
    distinct(items=FRACTIONS, minItems=41),
    distinct(items=STRING | {"pattern": "^[a-f]{2}$"}, minItems=37),
    distinct(items={"pattern": "^[a-f]{1,2}$", "not": {"const": "a"}} | STRING, minItems=42),
    distinct(items={"type": ["boolean", "null"]}, minItems=4),
    distinct(items=FLAGS, minItems=3),
    distinct(items=distinct(items=enum(1, 2)), minItems=6),
    distinct(items=distinct(items=distinct(items=enum(1), minItems=2), minItems=1), minItems=1),
    positions(enum(1), enum(2, 1), enum(1, 2)),
    distinct(items=True, contains=enum(1, 1.0), minContains=2),
    distinct(prefixItems=[enum(1), enum(1)], contains=enum(2), minItems=2),
]


@pytest.mark.parametrize("schema", TOO_FEW, ids=range(len(TOO_FEW)))
@pytest.mark.parametrize("layout", [Layout(), Layout.accepting()], ids=["generating", "accepting"])
def test_a_list_that_cannot_be_long_enough_is_refused(schema: object, layout: Layout) -> None:
    nested = {"type": "object", "properties": {"list": schema}, "required": ["list"]}
    with pytest.raises(SchemaError, match=r"too few values|no finite JSON value") as caught:
        Grammar.from_schema(nested, layout)
    assert caught.value.path.startswith("$.properties.list")
    option = Grammar.from_schema({"anyOf": [schema, {"const": [7]}]}, layout)
    assert option.accepts("[7]")
    for text in ("[1", "[7,", '["', "[t", "[{", "[["):
        assert not option.accepts_prefix(text), text
    left_out = Grammar.from_schema({"type": "object", "properties": {"list": schema}}, layout)
    assert not left_out.accepts_prefix('{"list":')


@pytest.mark.parametrize("layout", [Layout(), Layout(key_order="free")], ids=["ordered", "free"])
@pytest.mark.parametrize("low", [2, 3, 4, 5])
@pytest.mark.parametrize("pattern", ["^x$", "^[xy]$"])
@pytest.mark.parametrize("declared", ["", "a", "ab"])
def test_the_texts_are_all_objects_of_enough_keys(
    declared: str,
    pattern: str,
    low: int,
    layout: Layout,
    texts_of: Callable[[Automaton], set[str]],
) -> None:
    """By brute force; keys that are passed over must not be missing later."""
    schema = {
        "type": "object",
        "properties": {key: {"const": 1} for key in declared},
        "patternProperties": {pattern: {"const": 1}},
        "additionalProperties": False,
        "minProperties": low,
    }
    others = [key for key in "xy" if key in pattern]
    texts: set[str] = set()
    for size in range(low, len(declared) + len(others) + 1):
        for keys in permutations([*declared, *others], size):
            first = [key for key in declared if key in keys]
            if layout.key_order == "free" or list(keys[: len(first)]) == first:
                texts.add(json.dumps(dict.fromkeys(keys, 1)))
    if not texts:
        with pytest.raises(SchemaError, match=r"too few values|no finite JSON value"):
            Grammar.from_schema(schema, layout)
    else:
        assert texts_of(Grammar.from_schema(schema, layout).automaton) == texts


def test_an_automaton_of_a_list_that_is_too_long_has_no_text() -> None:
    item = Element(Literal("1"))
    with pytest.raises(GrammarError, match="no text"):
        Automaton(Rules("list", {"list": Unique(Seq((item, Literal(","), item)))}))


def test_far_counts_of_values_that_never_run_out_cost_nothing() -> None:
    schema = positions(enum(1, 2), enum(1), items={"type": "integer"}) | {"minItems": 30_000}
    grammar = Grammar.from_schema(schema, Layout())
    assert grammar.accepts_prefix("[2, 1, 7, 8")
    assert not grammar.accepts_prefix("[1")
    assert not grammar.accepts_prefix("[2, 1, 7, 7,")


PARENTHESISED: dict[str, Node] = {
    "digits": Alt((Literal("12"), Literal("13"))),
    "value": Seq((Literal("("), Ref("digits"), Literal(")"))),
    "comma": Literal(",~"),
    "separator": Seq((Ref("comma"), Literal(" "))),
}


@pytest.mark.parametrize("at", range(5))
def test_one_of_several_lists_with_a_common_place_is_enough(at: int) -> None:
    """The others would die of the value, which they need later; the place in it is the same."""
    value, needed = Element(Ref("value")), Element(Literal("(12)"))
    options: list[Node] = [
        Seq((Unique(Seq((value, Ref("separator"), needed))), Literal(str(number))))
        for number in range(5)
    ]
    options.insert(at, Seq((Unique(Seq((value, Ref("separator"), value))), Literal("!"))))
    automaton = Automaton(Rules("root", {"root": Alt(tuple(options)), **PARENTHESISED}))
    for text in (b"(12", b"(12),", b"(12),~ (13)!", b"(13),~ (12)!", b"(13),~ (12)3"):
        assert automaton.accepts_prefix(text), text
    for text in (b"(12),~ (12", b"(12),~ (13)3", b"(13),~ (13"):
        assert not automaton.accepts_prefix(text), text


def random_lists(random: Random) -> Rules:
    """Lists that begin alike, share kinds and elements, and need different values later."""
    digits = ("1", "2", "3", "12")
    rules: dict[str, Node] = {"comma": Literal(",")}
    for i in range(3):
        rules[f"digits{i}"] = Alt(tuple(map(Literal, random.sample(digits, random.randint(1, 3)))))
        in_brackets = Seq((Literal("("), Ref(f"digits{i}"), Literal(")")))
        rules[f"kind{i}"] = in_brackets if random.random() < 0.7 else Ref(f"digits{i}")
        rules[f"element{i}"] = Element(Ref(random.choice((f"kind{i}", "inner"))))

    def element(kinds: tuple[str, ...]) -> Node:
        if random.random() < 0.4 and "inner" in kinds:
            return Ref(f"element{random.randrange(3)}")
        return Element(Ref(random.choice(kinds)))

    def items(kinds: tuple[str, ...]) -> Node:
        size = random.randint(1, 4)
        low = random.randint(1, size)
        node = element(kinds)
        for number in range(size - 1, 0, -1):
            more = Seq((Ref("comma"), node))
            node = Seq((element(kinds), more if number < low else Repeat(more, 0, 1)))
        return Unique(node)

    inner = [Seq((Literal("["), items(("kind0", "kind1")), Literal(end))) for end in "])"]
    rules["inner"] = Alt(tuple(inner))
    outer = [items(("kind0", "kind1", "kind2", "inner")) for _ in range(random.randint(1, 3))]
    rules["root"] = Alt(tuple(Seq((node, Literal(random.choice(";!")))) for node in outer))
    return Rules("root", rules)


def is_possible(rules: Rules) -> bool:
    """Whether all its lists have a text, as those of a schema have."""
    lists = [n for body in rules.rules.values() for n, _ in walk(body) if isinstance(n, Unique)]
    try:
        for node in lists:
            Automaton(Rules("list", {**rules.rules, "list": node}))
    except GrammarError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16))
def test_the_reference_calls_the_same_prefixes_live(seed: int) -> None:
    random = Random(seed)
    while not is_possible(rules := random_lists(random)):
        pass
    automaton = Automaton(rules)
    pending = [""]
    for _ in range(120):
        if not pending:
            break
        text = pending.pop(random.randrange(len(pending)))
        is_live = automaton.accepts_prefix(text.encode())
        assert is_live == matches_prefix(rules, text), text
        if is_live:
            pending += [text + character for character in "123,;![]()"]


def test_readings_of_lists_in_lists_do_not_multiply() -> None:
    """Two kinds of objects that begin with a list of distinct objects of both kinds."""

    def node(tag: int) -> dict[str, object]:
        children = distinct(items={"$ref": "#/$defs/node"})
        return {
            "type": "object",
            "properties": {"children": children, "tag": {"const": tag}},
            "required": ["children", "tag"],
            "additionalProperties": False,
        }

    both = {"anyOf": [{"type": "integer"}, node(1), node(2)]}
    schema = {"$ref": "#/$defs/node", "$defs": {"node": both}}
    automaton = Grammar.from_schema(schema, Layout()).automaton
    here, sizes = automaton.start, []
    for _ in range(8):
        following = automaton.run(here, b'{"children": [1, ')
        assert following is not None
        here = following
        sizes.append(len(here.places))
    assert sizes[1:] == [sizes[1]] * 7
    repeated = automaton.run(here, b'{"children": [], "tag": 2}, {"children": [], "tag":')
    assert repeated is not None
    assert automaton.next_bytes(repeated) == b" "
    assert automaton.run(repeated, b" 2") is None
    assert automaton.run(repeated, b" 1}]") is not None


@given(st.lists(st.sets(st.integers(0, 3), max_size=3), max_size=5))
def test_values_are_taken_that_all_differ(choices: list[set[int]]) -> None:
    expected = any(len(set(taken)) == len(choices) for taken in product(*choices))
    assert all_differ(choices) == expected

"""A Grammar is a checked, immutable value: equal by content, the same however often it is made."""

from __future__ import annotations

import pickle

import pytest
from pydantic import BaseModel

from treegram.lang.errors import GrammarError, RegexError, SchemaError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.check import MAX_DEPTH, MAX_NODES
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
from treegram.lang.json_schema.layout import Layout

A = Literal("a")


def test_equal_rules_are_equal_grammars() -> None:
    one = Grammar(Rules("r", {"r": Seq((Ref("s"), A)), "s": A}))
    two = Grammar(Rules("r", {"s": Literal("a"), "r": Seq((Ref("s"), Literal("a")))}))
    assert one == two
    assert one.key == two.key
    assert len({one, two}) == 1
    assert one != Grammar.from_regex("aa")
    assert one != "aa"


def test_keys_tell_structures_apart() -> None:
    nodes: list[Node] = [
        Seq((A, A, Alt((A,)))),
        Seq((A, Seq((A, Alt((A,)))))),
        Alt((A, A)),
        Literal("aa"),
        Repeat(A, 0, 1),
        Repeat(A, 0, None),
        CharClass(((97, 97),)),
        EMPTY,
        Literal("\n"),
        Literal("\\n"),
    ]
    keys = {Grammar(Rules("r", {"r": node})).key for node in nodes}
    assert len(keys) == len(nodes)


def test_the_same_constraint_compiles_once() -> None:
    assert Grammar.from_regex("a+b") is Grammar.from_regex("a+b")
    assert Grammar.from_choices(["x", "y"]) is Grammar.from_choices(("x", "y"))
    assert Grammar.from_gbnf('root ::= "a"') is Grammar.from_gbnf('root ::= "a"')
    schema = {"type": "object", "properties": {"b": {"type": "null"}, "a": {"type": "null"}}}
    assert Grammar.from_schema(schema) is Grammar.from_schema(dict(schema))
    assert Grammar.from_regex("a+b").automaton is Grammar.from_regex("a+b").automaton


def test_acceptance_of_texts_and_beginnings() -> None:
    grammar = Grammar.from_regex("é{2}x?")
    assert grammar.accepts("éé")
    assert not grammar.accepts("é")
    assert grammar.accepts_prefix("é")
    assert not grammar.accepts_prefix("x")
    assert not grammar.accepts_prefix("\ud800")


def test_a_grammar_can_cross_processes() -> None:
    node: Node = A
    for _ in range(MAX_DEPTH // 2 - 1):
        node = Repeat(Seq((node, A)), 0, 1)
    grammar = Grammar(Rules("r", {"r": node}))
    grammar.accepts("a")
    assert pickle.loads(pickle.dumps(grammar)) == grammar


def rule(body: Node, **others: Node) -> Rules:
    return Rules("r", {"r": body, **others})


BROKEN = [
    (Rules("x", {"r": A}), "start rule 'x' is not defined"),
    (Rules("R", {"R": A}), "rule name 'R'"),
    (Rules("a_b", {"a_b": A}), "rule name 'a_b'"),
    (rule(Ref("gone")), "rule 'r': uses 'gone', which is not defined"),
    (rule(CharClass(((98, 97),))), "class range 0x62-0x61"),
    (rule(CharClass(((97, 99), (98, 100)))), "class range 0x62-0x64"),
    (rule(CharClass(((100, 101), (97, 98)))), "class range 0x61-0x62"),
    (rule(CharClass(((0, 0x110000),))), "beyond Unicode"),
    (rule(CharClass(((0xD7FF, 0xD800),))), "surrogates"),
    (rule(Literal("x\udfff")), "surrogate"),
    (rule(Repeat(A, 2, 1)), "2 to 1 times"),
    (rule(Repeat(A, -1, None)), "-1 to None times"),
    (rule(NEVER), "matches no text at all"),
    (rule(Seq((A, CharClass(())))), "matches no text at all"),
    (rule(Seq((A, Ref("r")))), "matches no text at all"),
    (rule(Alt((Seq((Ref("r"), A)), A))), "left recursion: r -> r"),
    (
        rule(Alt((A, Seq((Repeat(A, 0, 1), Ref("s"))))), s=Seq((Ref("t"), Ref("r"))), t=EMPTY),
        "left recursion: r -> s -> r",
    ),
    (rule(Alt((A, Repeat(Ref("r"), 0, 3)))), "left recursion: r -> r"),
    (rule(A, s=Alt((A, Seq((Ref("t"), A)))), t=Ref("s")), "left recursion: "),
]


@pytest.mark.parametrize(("rules", "message"), BROKEN)
def test_malformed_rules_are_refused_by_name(rules: Rules, message: str) -> None:
    with pytest.raises(GrammarError) as caught:
        Grammar(rules)
    assert message in str(caught.value)


def test_recursion_after_something_is_fine() -> None:
    nested = Grammar(rule(Alt((Seq((Literal("("), Ref("r"), Literal(")"))), EMPTY))))
    assert nested.accepts("(" * 3_000 + ")" * 3_000)
    assert Grammar(rule(Alt((Ref("s"), A)), s=Seq((Ref("t"), Ref("r"))), t=A)).accepts("aaa")


@pytest.mark.slow
def test_depth_and_size_are_bounded() -> None:
    deep: Node = A
    for _ in range(50_000):
        deep = Repeat(deep, 0, 1)
    with pytest.raises(GrammarError, match="rule 'r': nested more than"):
        Grammar(rule(deep))
    wide: Node = A
    for _ in range(40):  # 2 ** 40 nodes, shared
        wide = Seq((wide, wide))
    with pytest.raises(GrammarError, match=f"more than {MAX_NODES:,} nodes"):
        Grammar(rule(wide))


def test_wrong_types_are_refused() -> None:
    with pytest.raises(RegexError, match="expected a str, got int 3"):
        Grammar.from_regex(3)  # type: ignore[arg-type]  # what a user may pass
    with pytest.raises(GrammarError, match="expected a str, got NoneType"):
        Grammar.from_gbnf(None)  # type: ignore[arg-type]  # what a user may pass
    circle: dict[str, object] = {}
    circle["properties"] = circle
    with pytest.raises(SchemaError, match="in a circle"):
        Grammar.from_schema(circle)
    with pytest.raises(SchemaError, match="not a JSON value"):
        Grammar.from_schema({"const": {1, 2}})


class Point(BaseModel):
    x: int
    label: str = ""


def test_a_schema_is_every_text_of_its_values() -> None:
    grammar = Grammar.from_schema(Point)
    assert grammar == Grammar.from_schema(
        Point.model_json_schema() | {"additionalProperties": False}
    )
    for text in ('{"x": 1}', ' {"label":"\\u00e9",\n"x": 1.0 }', '{"x":1,"label":"é"}'):
        assert grammar.accepts(text)
    one = Grammar.from_schema(Point, Layout())
    assert one.accepts('{"x": 1, "label": "é"}')
    for text in ('{"x":1}', '{"label": "", "x": 1}', '{"x": 1.0}', '{"x": 1, "label": "\\u00e9"}'):
        assert not one.accepts(text)


def test_notes_are_listed_and_are_no_part_of_the_identity() -> None:
    grammar = Grammar.from_schema({"type": "string", "format": "plate"})
    (note,) = grammar.notes
    assert (note.path, note.keyword) == ("$", "format")
    assert grammar == Grammar.from_schema({"type": "string"})
    assert pickle.loads(pickle.dumps(grammar)).notes == grammar.notes
    refused = {"type": "array", "not": {"uniqueItems": True}}
    with pytest.raises(SchemaError):
        Grammar.from_schema(refused)
    (note,) = Grammar.from_schema(refused, lenient=True).notes
    assert "uniqueItems" in note.reason


def test_a_lark_grammar_starts_where_it_is_told() -> None:
    text = 'start: "a" other\nother: "b"+'
    assert Grammar.from_lark(text).accepts("abb")
    assert Grammar.from_lark(text, "other").accepts("bb")
    with pytest.raises(GrammarError, match="nothing"):
        Grammar.from_lark(text, "nothing")
    with pytest.raises(GrammarError):
        Grammar.from_lark(3)  # type: ignore[arg-type]

"""Random grammars over every kind of node, for tests that compare two ways to run one.

Texts of different nodes are made to look alike (keys, words and strings share their letters), so
that automata meet ambiguity and tokens run over the ends of terminals.
"""

from __future__ import annotations

from random import Random

from .dfa import Dfa
from .measured import Measured
from .nodes import (
    EMPTY,
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

_CHAR = Alt(
    (
        CharClass(((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E), (0xE9, 0xE9), (0x65E5, 0x672C))),
        Seq((Literal("\\"), CharClass(((0x22, 0x22), (0x5C, 0x5C))))),
    )
)
_LETTER, _DIGIT = CharClass(((97, 122),)), CharClass(((48, 57),))
_NUMBER = Terminal(
    Seq((Repeat(Literal("-"), 0, 1), CharClass(((49, 57),)), Repeat(_DIGIT, 0, None)))
)
_SPACE = Terminal(Repeat(CharClass(((10, 10), (32, 32))), 0, 3))
_KEYS = ('"a"', '"ab"', '"abc"', '"name"', '"12"', '"日本"')
_PASSAGES = "ab abc name, 12 日本 aaa"
_MEMBER_BOUNDS = (None, None, 1, 2, 4)


def string(low: int, high: int | None, excluded: tuple[str, ...] = ()) -> Terminal:
    """A JSON string of `low` to `high` characters, other than the spelled ones `excluded`."""
    body = Seq((Literal('"'), Repeat(_CHAR, low, high), Literal('"')))
    return Terminal(body, frozenset(excluded))


def worded_string(low: int, high: int | None) -> Terminal:
    """A JSON string of pairs of letters with dashes between, `low` to `high` characters long."""
    quote, dash, letter = ord('"'), ord("-"), (97, 98)
    edges = (
        ((quote, quote, 1),),
        ((*letter, 2),),
        ((*letter, 3),),
        ((quote, quote, 4), (dash, dash, 1)),
        (),
    )
    # the opening quote leads to a state of a unit, so it counts as one
    return Terminal(
        Measured(Dfa(edges, frozenset((4,))), 4, low + 1, None if high is None else high + 1)
    )


def random_rules(random: Random, depth: int = 3) -> Rules:
    """A grammar of one rule, nested at most `depth` deep. It matches some text."""
    return Rules("root", {"root": _node(random, depth)})


def _node(random: Random, depth: int) -> Node:
    if depth and random.random() < 0.75:
        return _compound(random, depth - 1)
    words = Alt((Literal('"a"'), Literal('"ab"'), Literal('"name"')))
    leaves: list[Node] = [
        _NUMBER,
        string(0, None),
        string(2, 5),
        string(0, 300),
        string(3, None),
        worded_string(3, 12),
        worded_string(random.randrange(5), None),
        words,
        Literal("true"),
        Literal("日本"),
        Terminal(Repeat(_LETTER, 1, None), frozenset(("ab", "abc", "name"))),
        Substring(_PASSAGES, words=random.random() < 0.5),
        Seq((Terminal(Repeat(CharClass(((32, 126),)), 0, None)), Literal("</a>"), _NUMBER)),
    ]
    return random.choice(leaves)


def _compound(random: Random, depth: int) -> Node:
    def below() -> Node:
        return _node(random, depth)

    match random.randrange(7):
        case 0:
            return _list(below())
        case 1:
            item = random.choice([_NUMBER, string(0, None), string(1, 1), below()])
            return Unique(_list(Element(item)))
        case 2 | 3:
            return _object(random, depth)
        case 4:
            return Alt((below(), below()))
        case 5:
            return Repeat(below(), 0, random.choice([1, 3, None, 30]))
        case _:
            return Seq((_SPACE, below(), Literal(" "), below()))


def _list(item: Node) -> Node:
    items = Seq((item, Repeat(Seq((Literal(", "), item)), 0, None)))
    return Seq((Literal("["), Repeat(items, 0, 1), Literal("]")))


def _object(random: Random, depth: int) -> Node:
    keys = random.sample(_KEYS, random.randrange(1, 5))
    members = tuple(
        Member(key, Seq((Literal(": "), _node(random, depth))), random.random() < 0.5)
        for key in keys
    )
    extra = None
    if random.random() < 0.6:
        extra = Seq((string(0, None, tuple(keys)), Literal(": "), _NUMBER))
    required = sum(member.required for member in members)
    high = random.choice(_MEMBER_BOUNDS)
    high = None if high is None else max(high, required)
    most = len(members) if extra is None else 3
    low = random.randrange(min(most if high is None else min(most, high), 2) + 1)
    spaces: list[Node] = [EMPTY, Literal(" "), _SPACE]
    separator = Seq((Literal(","), random.choice(spaces)))
    body = Members(members, extra, separator, low, high, ordered=random.random() < 0.5)
    return Seq((Literal("{"), body, Literal("}")))

"""Two engines that share no code allow the same tokens: treegram's automaton and llama.cpp's."""

from __future__ import annotations

import datetime
import enum
import random
from codecs import getincrementaldecoder
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any
from typing import Literal as OneOf

import numpy as np
import pytest
from pydantic import BaseModel, Field

from treegram.lang.automaton.substring import SubstringOf
from treegram.lang.constraint import constraint_from
from treegram.lang.errors import GrammarError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.dfa import Dfa
from treegram.lang.ir.nodes import (
    Alt,
    CharClass,
    Element,
    Literal,
    Member,
    Members,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
    Substring,
    Terminal,
    Unique,
)
from treegram.lang.json_schema.layout import Layout
from treegram.lang.lark_grammar.parser import lark_to_rules
from treegram.lang.tags import Tag, Tags
from treegram.runtime.llama import LlamaModel
from treegram.runtime.llama_grammar import LlamaGrammarFactory, LlamaGrammarMatcher
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.matcher import GrammarMatcher, GrammarMatcherFactory
from treegram.runtime.spelling import Speller

pytestmark = pytest.mark.model

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 30},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {
            "type": "array",
            "items": {"enum": ["a", "b", "né"]},
            "minItems": 1,
            "maxItems": 4,
        },
        "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}

LETTER = CharClass(((97, 99),))
STRING = Terminal(Seq((Literal('"'), Repeat(LETTER, 0, None), Literal('"'))))
FEW = Alt((Literal("1"), Literal("1.0"), Literal("22"), Literal('"né"')))
PAIRS = tuple(
    Member(f'"{key}":', STRING, required)
    for key, required in [("a", False), ("né", True), ("c", False)]
)
COMMA = Literal(",")


def of_node(node: Node, **others: Node) -> Grammar:
    return Grammar(Rules("start", {"start": node, **others}))


def of_lark(text: str) -> Grammar:
    return Grammar(lark_to_rules(text))


def listed(element: Node, low: int, high: int | None) -> Node:
    rest = Repeat(Seq((COMMA, Element(element))), low - 1, high)
    return Unique(Seq((Literal("["), Element(element), rest, Literal("]"))))


FORMATS = ["date", "time", "ipv4", "uuid", "duration"]


class Shape(BaseModel):
    name: Annotated[str, Field(max_length=5)]
    sides: int = 3
    next: Shape | None = None


class Kind(enum.Enum):
    BILL = "bill"
    NOTE = "ключ"


class Document(BaseModel):
    kind: Kind
    day: datetime.date
    total: Annotated[Decimal, Field(ge=0, decimal_places=2, lt=1000)]
    items: Annotated[list[Annotated[str, Field(max_length=12)]], Field(max_length=2)]


def weather(city: str, days: Annotated[int, Field(ge=1, le=7)] = 1) -> str:
    return f"{city} {days}"


def dial(number: Annotated[str, Field(pattern=r"^\+[0-9]{6,12}$")]) -> str:
    return number


def of_gen(**options: Any) -> Grammar:
    """What a `gen` with these arguments follows."""
    constraint = constraint_from(**options)
    assert constraint is not None
    return constraint.grammar


GRAMMARS: dict[str, Callable[[], Grammar]] = {
    "digits": lambda: Grammar.from_regex(r"[0-9]{1,5}(\.[0-9]+)?"),
    "words": lambda: Grammar.from_regex(r"(The|A) [a-z]+( [a-z]+){0,3}\."),
    "date": lambda: Grammar.from_regex(r"\d{4}-(0[1-9]|1[0-2])-[0-3]\d"),
    "counted": lambda: Grammar.from_regex(r"[a-c]{10,40}x{2,}"),
    "optional": lambda: Grammar.from_regex(r"(a?b?c?){0,3}d*"),
    "unicode": lambda: Grammar.from_regex("[à-ü日本語😀-😎]{1,12}|été"),
    "not": lambda: Grammar.from_regex(r"[^ab\"]{1,8}\n"),
    "choices": lambda: Grammar.from_choices(["yes", "yes, sir", "no", "né", "日本", "日米"]),
    "many choices": lambda: Grammar.from_choices([f"item {n}" for n in range(200)]),
    "person": lambda: Grammar.from_schema(PERSON),
    "any json": lambda: Grammar.from_schema({"type": "object"}),
    "number": lambda: Grammar.from_schema({"type": "number"}),
    "datetime": lambda: Grammar.from_schema({"type": "string", "format": "date-time"}),
    "long bound": lambda: of_node(Seq((Repeat(LETTER, 3, 32767), Literal(".")))),
    "automaton": lambda: of_node(
        Dfa(
            (((97, 99, 0), (100, 100, 1)), ((233, 233, 1), (0x4E00, 0x9FFF, 2)), ()),
            frozenset({1, 2}),
        )
    ),
    "terminal without": lambda: of_node(
        Seq((Terminal(STRING.node, frozenset({'"a"', '"ab"', '""'})), Repeat(STRING, 0, 2)))
    ),
    "passage": lambda: of_node(Substring("the cat sat on the mat; né 日本 the end")),
    "passage of words": lambda: of_node(Substring("the cat sat on the mat, then", words=True)),
    "members": lambda: of_node(Members(PAIRS, None, COMMA)),
    "members counted": lambda: of_node(Members(PAIRS, Seq((LETTER, STRING)), COMMA, 2, 4)),
    "members free": lambda: of_node(Members(PAIRS, LETTER, COMMA, 2, 4, ordered=False)),
    "unique": lambda: of_node(listed(FEW, 2, None)),
    "calculator": lambda: of_lark(
        """
        ?start: sum
        ?sum: product | sum ("+" | "-") product
        ?product: atom | product ("*" | "/") atom
        ?atom: NUMBER | "-" atom | NAME | "(" sum ")" | ESCAPED_STRING
        NAME: /[a-zé]+/
        %import common (NUMBER, ESCAPED_STRING, WS_INLINE)
        %ignore WS_INLINE
        """
    ),
    "gbnf": lambda: Grammar.from_gbnf('root ::= "(" root* ")" | [a-z]+ "é"?\n'),
    "types": lambda: of_gen(schema=Document),
    "unions of types": lambda: of_gen(schema=Shape | list[int] | OneOf["é", 1, None]),
    "compact": lambda: of_gen(schema=Shape, layout=Layout(whitespace="compact")),
    "indented": lambda: of_gen(schema=Shape, layout=Layout(whitespace="indented", indent=3)),
    "keys in any order": lambda: of_gen(schema=Shape, layout=Layout(key_order="free")),
    "white space": lambda: of_gen(
        schema=Shape, layout=Layout(whitespace="flexible", max_whitespace=2)
    ),
    "all texts of a schema": lambda: Grammar.from_schema(PERSON, Layout.accepting()),
    "key patterns": lambda: of_gen(
        schema={
            "type": "object",
            "patternProperties": {"^x-": {"type": "boolean"}},
            "additionalProperties": False,
            "minProperties": 1,
        }
    ),
    "combined schemas": lambda: of_gen(
        schema={
            "oneOf": [{"multipleOf": 5}, {"type": "integer", "minimum": 7, "maximum": 90}],
            "type": ["integer", "null"],
            "not": {"const": 50},
        }
    ),
    "pattern and length": lambda: of_gen(
        schema={"type": "string", "pattern": "^[a-z]+-\\\\d", "maxLength": 12}
    ),
    "formats": lambda: of_gen(
        schema={"items": {"anyOf": [{"format": name} for name in FORMATS]}, "type": "array"}
    ),
    "lookahead": lambda: Grammar.from_regex(r"(?!.*(ab|7))[a-c0-9]{2,9}(?<!c)\b!"),
    "cases": lambda: Grammar.from_regex(r"(?i)straße|[k-m]{2}"),
    "integer": lambda: of_gen(dtype=int),
    "float": lambda: of_gen(dtype=float),
    "quote of words": lambda: of_gen(substring_of=SubstringOf("Sent to Oslo, né?", words=True)),
    "tools": lambda: of_gen(tools=[weather, dial]),
    "tags": lambda: of_gen(tags=[Tag("<n>", "</n>", regex="[0-9]+"), Tag("<note>", "</note>")]),
    "tags with tools": lambda: of_gen(
        tags=Tags([Tag("<call>", "</call>", tools=[dial])], stop_after_first=True)
    ),
    "overlapping tags": lambda: of_gen(tags=[Tag("aab", "b"), Tag("ba", "aa")]),
    "many rules": lambda: of_lark(
        """
        start: item{WORD}+ | "[" list{NUMBER, ","} "]"
        item{x}: x ";"
        list{x, sep}: x (sep x)~1..3
        WORD: /[a-z]{1,3}/
        %import common (NUMBER, WS_INLINE)
        %ignore WS_INLINE
        """
    ),
}


@pytest.fixture(scope="module")
def trie(vocabulary_model: LlamaModel) -> TokenTrie:
    return TokenTrie(vocabulary_model.vocabulary)


def is_known_difference(text: bytes, piece: bytes, ours: bool) -> bool:
    """llama.cpp lets no token begin with NUL, and takes overlong encodings for characters."""
    if ours:
        return piece.startswith(b"\0")
    try:
        getincrementaldecoder("utf-8")().decode(text + piece)
    except UnicodeDecodeError:
        return True
    return False


def walk_both(
    ours: GrammarMatcher, theirs: LlamaGrammarMatcher, model: LlamaModel, seed: int, steps: int
) -> None:
    """Draws random legal tokens, ASCII ones preferred, and compares every mask on the way."""
    draw = random.Random(seed)
    pieces = model.vocabulary.pieces
    text = b""
    for _ in range(steps):
        mine, its = ours.mask(), theirs.mask()
        assert mine is not None
        differ = np.flatnonzero(mine != its).tolist()
        differ = [t for t in differ if not is_known_difference(text, pieces[t], bool(mine[t]))]
        assert not differ, (text, [(pieces[t], bool(mine[t])) for t in differ[:5]])
        assert ours.is_accepting == theirs.is_accepting, text
        assert ours.is_done == theirs.is_done, text
        legal = np.flatnonzero(mine & its).tolist()
        for token in draw.sample(legal, min(5, len(legal))):
            assert ours.allows(token)
            assert theirs.allows(token)
        plain = [t for t in legal if pieces[t].isascii()] or legal
        token = draw.choice(legal if draw.random() < 0.3 else plain)
        if token in model.vocabulary.eog:
            assert ours.is_accepting
            others = [t for t in legal if t not in model.vocabulary.eog]
            if not others:
                ours.advance(token)
                theirs.advance(token)
                assert ours.is_done
                assert theirs.is_done
                return
            token = draw.choice(others)
        ours.advance(token)
        theirs.advance(token)
        text += pieces[token]


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAMMARS)
def test_the_engines_agree_at_every_step(
    name: str, vocabulary_model: LlamaModel, speller: Speller, trie: TokenTrie
) -> None:
    grammar = GRAMMARS[name]()
    ours = GrammarMatcherFactory(grammar, vocabulary_model.vocabulary, speller, trie)
    theirs = LlamaGrammarFactory(grammar, vocabulary_model, speller)
    for seed in range(2):
        walk_both(
            ours.start(canonical=False), theirs.start(canonical=False), vocabulary_model, seed, 12
        )


@pytest.mark.parametrize("canonical", [False, True])
@pytest.mark.parametrize("prefix", ["hel", "the quick", " ", "日本語😀"])
def test_the_engines_heal_alike(
    prefix: str, canonical: bool, vocabulary_model: LlamaModel, speller: Speller, trie: TokenTrie
) -> None:
    grammar = Grammar.from_regex("(lo|[a-z ]+)!")
    ours = GrammarMatcherFactory(grammar, vocabulary_model.vocabulary, speller, trie)
    theirs = LlamaGrammarFactory(grammar, vocabulary_model, speller)
    walk_both(
        ours.start(prefix.encode(), canonical),
        theirs.start(prefix.encode(), canonical),
        vocabulary_model,
        seed=1,
        steps=8,
    )


def test_a_refused_grammar_is_an_error(vocabulary_model: LlamaModel, speller: Speller) -> None:
    huge = Grammar(Rules("root", {"root": Repeat(Literal("a"), 0, 5_000_000)}))
    with pytest.raises(GrammarError, match=r"2,?000"):
        LlamaGrammarFactory(huge, vocabulary_model, speller)


def test_an_illegal_token_is_an_exception_and_changes_nothing(
    vocabulary_model: LlamaModel, speller: Speller
) -> None:
    matcher = LlamaGrammarFactory(Grammar.from_choices(["yes"]), vocabulary_model, speller).start()
    before = matcher.mask()
    for token in (-1, vocabulary_model.n_vocab, *vocabulary_model.vocabulary.eog):
        with pytest.raises(ValueError, match="not legal"):
            matcher.advance(token)
    assert (matcher.mask() == before).all()
    assert matcher.forced() == []


def test_a_prefix_inside_a_character_is_refused(
    vocabulary_model: LlamaModel, speller: Speller
) -> None:
    factory = LlamaGrammarFactory(Grammar.from_choices(["yes"]), vocabulary_model, speller)
    with pytest.raises(GrammarError, match="inside a character"):
        factory.start(b"\xc3")


def test_text_never_spells_a_control_token(vocabulary_model: LlamaModel, speller: Speller) -> None:
    """`<|im_start|>` as text is legal; as the control token it would change the conversation."""
    grammar = Grammar(
        Rules("r", {"r": Seq((Literal("<|im_start|>"), Ref("e"))), "e": Literal("!")})
    )
    matcher = LlamaGrammarFactory(grammar, vocabulary_model, speller).start()
    [control] = vocabulary_model.encode("<|im_start|>", special=True)
    assert not matcher.allows(control)
    assert not matcher.mask()[control]
    assert matcher.mask().any()

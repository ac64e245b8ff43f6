"""Two engines that share no code allow the same tokens: treegram's automaton and llama.cpp's."""

from __future__ import annotations

import random
from codecs import getincrementaldecoder
from collections.abc import Callable

import numpy as np
import pytest

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
from treegram.lang.lark.parser import lark_to_rules
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

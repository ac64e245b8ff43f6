"""Control tokens in a grammar: one token while a model writes, their text in a text."""

from __future__ import annotations

import numpy as np
import pytest

import treegram as tg
from treegram.lang.base import GenRequest
from treegram.lang.constraint import constraint_from
from treegram.lang.errors import GrammarError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.controls import bound, numbered
from treegram.lang.ir.nodes import Alt, ControlToken, Literal, Rules
from treegram.lang.tags import Region, Tag
from treegram.runtime.base import Vocabulary
from treegram.runtime.byte_tokenizer import ByteTokenizer
from treegram.runtime.generation import Generation
from treegram.runtime.llama import LlamaModel
from treegram.runtime.llama_grammar import LlamaGrammarFactory
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.matcher import GrammarMatcher, GrammarMatcherFactory
from treegram.runtime.spelling import Speller

GBNF = 'root ::= "a" <think> [a-c]+ </think> ("yes" | "no")'


class Tokenizer(ByteTokenizer):
    """Bytes, a few merges, and the control tokens <think> and </think>."""

    def __init__(self) -> None:
        super().__init__([b"ab", b"yes", b"<think>"])
        plain = super().vocabulary
        self.think = len(plain)
        self._with_controls = Vocabulary(
            (*plain.pieces, b"", b""),
            plain.eog,
            {self.think: "<think>", self.think + 1: "</think>"},
        )

    @property
    def vocabulary(self) -> Vocabulary:
        return self._with_controls


TOKENIZER = Tokenizer()
THINK, END = TOKENIZER.think, TOKENIZER.think + 1


def factory(grammar: Grammar, tokenizer: ByteTokenizer = TOKENIZER) -> GrammarMatcherFactory:
    trie = TokenTrie(tokenizer.vocabulary)
    return GrammarMatcherFactory(grammar, tokenizer.vocabulary, Speller(tokenizer, trie), trie)


def legal(matcher: GrammarMatcher) -> set[int]:
    mask = matcher.mask()
    assert mask is not None
    return set(np.flatnonzero(mask).tolist())


def advanced(matcher: GrammarMatcher, text: str) -> GrammarMatcher:
    for token in TOKENIZER.encode(text):
        matcher.advance(token)
    return matcher


def test_a_grammar_with_control_tokens_is_a_set_of_texts() -> None:
    grammar = Grammar.from_gbnf(GBNF)
    assert grammar.accepts("a<think>abc</think>yes")
    assert not grammar.accepts("aabcyes")
    assert Grammar.from_gbnf(grammar.to_gbnf()) == grammar


@pytest.mark.parametrize("canonical", [True, False])
@pytest.mark.parametrize("gbnf", [GBNF, GBNF.replace("<think>", numbered(THINK))])
def test_only_the_control_token_itself_is_legal(gbnf: str, canonical: bool) -> None:
    matcher = factory(Grammar.from_gbnf(gbnf)).start(canonical=canonical)
    tokens = matcher.forced()
    if canonical:
        assert tokens == [ord("a"), THINK], "both are forced"
    else:
        matcher.advance(ord("a"))
        assert legal(matcher) == {THINK}
        matcher.advance(THINK)
    assert THINK not in legal(matcher), "not where the grammar has none"
    matcher.advance(ord("b"))
    assert matcher.allows(END)
    matcher.advance(END)
    assert not matcher.is_accepting


def test_any_text_without_a_token_ends_where_it_comes() -> None:
    grammar = Grammar.from_gbnf('root ::= <think> !</think>* </think> "yes"')
    matcher = factory(grammar).start(canonical=False)
    matcher.advance(THINK)
    advanced(matcher, "so é</think>")
    assert legal(matcher) >= {THINK, END, ord("a"), ord("<")}, "as text it is none"
    matcher.advance(THINK)
    matcher.advance(END)
    assert legal(matcher) == {*TOKENIZER.encode("yes"), ord("y")}


def test_a_model_without_the_token_is_named() -> None:
    with pytest.raises(GrammarError, match=r"no control token '<think>'; it has none"):
        factory(Grammar.from_gbnf(GBNF), ByteTokenizer([]))


def test_a_number_must_be_a_control_token() -> None:
    for number in (97, 999_999):
        with pytest.raises(GrammarError, match=rf"<\[{number}\]> is no control token"):
            factory(Grammar.from_gbnf(f'root ::= "a" <[{number}]>'))


def test_several_tokens_may_have_one_text() -> None:
    rules = Rules("root", {"root": ControlToken("<x>")})
    both = Alt((ControlToken("<[3]>"), ControlToken("<[5]>")))
    assert bound(rules, {3: "<x>", 4: "<y>", 5: "<x>"}).rules["root"] == both
    optional = Rules("root", {"root": ControlToken("<z>", optional=True)})
    assert bound(optional, {3: "<x>"}).rules["root"] == Literal("<z>")


TAG = Tag("<think>", "</think>", regex="[a-c]+")


def test_a_tag_is_the_control_token_where_the_model_has_one() -> None:
    constraint = constraint_from(tags=[TAG])
    assert constraint is not None
    matcher = advanced(factory(constraint.grammar).start(), "x<thin")
    assert not matcher.allows(ord("k") + 0) or not advanced(matcher, "k").allows(ord(">"))
    assert matcher.allows(THINK)
    matcher.advance(THINK)
    assert legal(matcher) == {ord("a"), ord("b"), ord("c"), *TOKENIZER.encode("ab")}
    matcher.advance(ord("c"))
    assert matcher.allows(END)
    assert not matcher.allows(ord("<"))


def test_a_tag_is_text_where_the_model_has_none() -> None:
    constraint = constraint_from(tags=[TAG])
    assert constraint is not None
    tokenizer = ByteTokenizer([])
    matcher = factory(constraint.grammar, tokenizer).start()
    for token in tokenizer.encode("x<think>ab</think>"):
        assert matcher.allows(token)
        matcher.advance(token)
    assert matcher.is_accepting


def generated(request: GenRequest, tokens: list[int]) -> Generation:
    """A generation in which the model wants these tokens, one after the other."""
    matcher = None if request.grammar is None else factory(request.grammar).start()
    generation = Generation(request, TOKENIZER.vocabulary, matcher)
    generation.start()
    for token in tokens:
        logits = np.zeros(len(TOKENIZER.vocabulary), np.float32)
        logits[token] = 10
        generation.take(logits)
    return generation


def test_the_text_of_a_constraint_has_its_control_tokens() -> None:
    constraint = constraint_from(tags=[TAG])
    assert constraint is not None
    tokens = [ord("x"), THINK, ord("b"), END, min(TOKENIZER.vocabulary.eog)]
    request = GenRequest(prompt=(), grammar=constraint.grammar)
    result = generated(request, tokens).result(0, 0)
    assert result.text == "x<think>b</think>"
    assert constraint.grammar.accepts(result.text)
    assert constraint.parse(result.text) == ["x", Region(TAG, "b", "b")]
    assert [span.text for span in result.spans] == [result.text]


def test_a_stop_text_may_be_a_control_token() -> None:
    generation = generated(
        GenRequest(prompt=(), stop=("</think>",)), [ord("x"), THINK, ord("y"), END]
    )
    result = generation.result(0, 0)
    assert result.text == "xy", "in free text other control tokens are no text"
    assert (result.finish_reason, result.stop_matched) == ("stop", "</think>")


GRAMMARS = [
    'root ::= "a" <|im_start|> [a-c]+ <|im_start|>? "."',
    "root ::= <[1]> [a-z]{1,3} <[1]>",
    'root ::= !<|im_start|>* <|im_start|> ("yes" | "no")',
    "root ::= (!<|im_start|>+ <|im_start|>)+",
]


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("gbnf", GRAMMARS)
def test_both_engines_allow_the_same_control_tokens(
    gbnf: str, vocabulary_model: LlamaModel, speller: Speller
) -> None:
    """A split character aside, whose first bytes llama.cpp does not take for `!<token>`."""
    grammar, vocabulary = Grammar.from_gbnf(gbnf), vocabulary_model.vocabulary
    trie = TokenTrie(vocabulary)
    ours = GrammarMatcherFactory(grammar, vocabulary, speller, trie).start(canonical=False)
    theirs = LlamaGrammarFactory(grammar, vocabulary_model, speller).start(canonical=False)
    whole = np.array([piece.decode(errors="ignore").isprintable() for piece in vocabulary.pieces])
    whole &= np.array([piece[:1] < b"\x80" for piece in vocabulary.pieces])
    draw = np.random.default_rng(1)
    controls = 0
    for _ in range(12):
        mine, its = ours.mask(), theirs.mask()
        assert mine is not None
        assert not np.flatnonzero((mine != its) & whole).tolist()
        allowed = set(np.flatnonzero(mine & whole).tolist()) - vocabulary.eog
        if not allowed:
            break
        named = sorted(allowed & vocabulary.controls.keys())
        token = int(draw.choice(named if named else sorted(allowed)))
        controls += bool(named)
        ours.advance(token)
        theirs.advance(token)
    assert controls


@pytest.mark.model
@pytest.mark.slow
def test_the_embedded_model_writes_its_control_token(vocabulary_model: LlamaModel) -> None:
    assert "<|im_start|>" in vocabulary_model.vocabulary.controls.values()
    grammar = Grammar.from_gbnf('root ::= "hello" <|im_start|> ("user" | "assistant")')

    @tg.function
    def ask(s: tg.State) -> None:
        s += "Turn: "
        s += tg.gen("turn", grammar=grammar)

    for engine in ("treegram", "llama.cpp"):
        assert grammar.accepts(ask.run(engine=engine)["turn"]), engine

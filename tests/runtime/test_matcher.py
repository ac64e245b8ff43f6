"""A matcher forces what is forced, as the tokeniser writes it, and lets nothing else through."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.errors import GrammarError
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout
from treegram.runtime.base import Tokenizer
from treegram.runtime.byte_tokenizer import ByteTokenizer
from treegram.runtime.llama import LlamaModel
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.matcher import GrammarMatcher, GrammarMatcherFactory
from treegram.runtime.spelling import Speller

MERGES = [
    *b'ab abc bc ca aa aaa {" ": ", "} name "name name" true tr ue 12 123'.split(),
    *(b" ", b"  ", b': "', b'", "', b' {"', b'": "', b'": "a'),
    *("é".encode(), "日".encode()[:2], "日本".encode()),
]
TOKENIZER = ByteTokenizer(MERGES)
TRIE = TokenTrie(TOKENIZER.vocabulary)


def factory(
    grammar: Grammar | None, tokenizer: Tokenizer = TOKENIZER, trie: TokenTrie = TRIE
) -> GrammarMatcherFactory:
    return GrammarMatcherFactory(grammar, tokenizer.vocabulary, Speller(tokenizer, trie), trie)


def joined(tokens: Sequence[int], tokenizer: Tokenizer = TOKENIZER) -> bytes:
    return b"".join(tokenizer.vocabulary.pieces[t] for t in tokens)


def legal_tokens(matcher: GrammarMatcher) -> list[int]:
    mask = matcher.mask()
    assert mask is not None
    return [int(token) for token in np.flatnonzero(mask)]


def legal_pieces(matcher: GrammarMatcher) -> set[bytes]:
    return {joined([token]) for token in legal_tokens(matcher)}


def generate(
    matcher: GrammarMatcher, tokenizer: Tokenizer, seed: int, steps: int = 400
) -> list[int]:
    """Greedy decoding of random logits, which wander to an end because ending gains weight."""
    draw = np.random.default_rng(seed)
    eog = list(tokenizer.vocabulary.eog)
    tokens = matcher.forced()
    for step in range(steps):
        if matcher.is_done:
            return tokens
        logits = draw.normal(size=len(tokenizer.vocabulary))
        logits[eog] += step / 20
        mask = matcher.mask()
        assert mask is not None
        token = int(np.where(mask, logits, -np.inf).argmax())
        assert matcher.allows(token)
        matcher.advance(token)
        tokens.append(token)
        tokens += matcher.forced()
    assert matcher.is_done or not matcher.is_accepting, "an accepting walk would have ended"
    return tokens


PATTERNS = (
    '\\{"name": "[a-c日本é]{2,5}"(, "x")*\\}',
    "(true|12|ab)( (true|12))?",
    "日本é{3}(a|日)",
    "é|è|日|旦",
    "(aaa|aab)b{12}",
)


@pytest.mark.slow
@settings(max_examples=100)
@given(
    st.sampled_from(PATTERNS),
    st.sampled_from(["", "ab", "a", " ", "日", "true {"]),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_every_walk_to_the_end_is_accepted(
    pattern: str, prefix: str, canonical: bool, seed: int
) -> None:
    grammar = Grammar.from_regex(pattern)
    matcher = factory(grammar).start(prefix.encode(), canonical)
    text = joined(generate(matcher, TOKENIZER, seed)).decode()
    assert matcher.is_done
    assert text.startswith(prefix)
    assert grammar.accepts(text[len(prefix) :])


@settings(max_examples=100)
@given(st.text(alphabet='ab{" :,}name日é😀12', min_size=1, max_size=60), st.booleans())
def test_a_single_text_is_forced_whole_and_canonically(text: str, canonical: bool) -> None:
    matcher = factory(Grammar.from_choices([text])).start(canonical=canonical)
    forced = matcher.forced()
    assert forced == (TOKENIZER.encode(text) if canonical else [])
    assert matcher.is_done == canonical


def test_the_last_token_of_a_forced_run_stays_open() -> None:
    """`"name": "` is forced; its last token may go on into the value."""
    matcher = factory(Grammar.from_regex('"name": "[a-z]+"')).start()
    assert joined(matcher.forced()) == b'"name'
    legal = legal_tokens(matcher)
    assert sorted(joined([t]) for t in legal) == [b'": "', b'": "a']
    assert not matcher.is_accepting
    matcher.advance(legal[-1])
    assert joined([legal[-1]]) == b'": "a'
    assert matcher.allows(ord('"'))


def test_an_open_token_that_nothing_extends_is_taken() -> None:
    matcher = factory(Grammar.from_regex("true[x-z]+")).start()
    assert joined(matcher.forced()) == b"true"
    assert not matcher.allows(ord("a"))
    assert matcher.allows(ord("x"))


def test_a_character_split_over_tokens() -> None:
    """日 and 旦 share two bytes, and one token spells those two."""
    matcher = factory(Grammar.from_regex("日|旦")).start()
    assert matcher.forced() == []
    [shared] = [t for t, p in enumerate(TOKENIZER.vocabulary.pieces) if p == "日".encode()[:2]]
    matcher.advance(shared)
    assert matcher.forced() == []
    assert legal_tokens(matcher) == sorted(["日".encode()[2], "旦".encode()[2]])
    matcher.advance("旦".encode()[2])
    assert matcher.is_done


def test_end_of_generation_is_legal_exactly_where_the_constraint_accepts() -> None:
    eog = TOKENIZER.eog
    matcher = factory(Grammar.from_regex("a(b|cc)?")).start(canonical=False)
    assert not matcher.allows(eog)
    with pytest.raises(ValueError, match=f"token {eog} is not legal"):
        matcher.advance(eog)
    matcher.advance(ord("a"))
    assert matcher.allows(eog)
    assert eog in legal_tokens(matcher)
    matcher.advance(eog)
    assert matcher.is_done
    assert legal_tokens(matcher) == []
    assert not matcher.allows(ord("b"))


@pytest.mark.parametrize("token", [-1, len(TOKENIZER.vocabulary), TOKENIZER.control])
def test_tokens_without_text_are_never_legal(token: int) -> None:
    matcher = factory(Grammar.from_regex("(?s).*")).start()
    assert not matcher.allows(token)
    with pytest.raises(ValueError, match="not legal"):
        matcher.advance(token)


def test_a_healed_prefix_is_spelled_first() -> None:
    matcher = factory(Grammar.from_regex("[bx]+")).start(b"a")
    assert legal_pieces(matcher) == {b"a", b"ab"}
    assert not matcher.allows(ord("b"))


def test_a_healed_prefix_of_several_tokens_is_spelled_as_the_tokeniser_does() -> None:
    matcher = factory(Grammar.from_regex("[bx]+")).start(b"nametrue")
    assert [joined([t]) for t in matcher.forced()] == [b"name", b"true"]
    plain = factory(Grammar.from_regex("[bx]+")).start(b"tru", canonical=False)
    assert legal_pieces(plain) == {b"t", b"tr"}


def test_without_a_grammar_only_the_prefix_constrains() -> None:
    free = factory(None)
    matcher = free.start(b"na")
    assert legal_pieces(matcher) == {b"n", b"name", b'name"'}
    matcher.advance(TOKENIZER.encode("name")[0])
    assert matcher.mask() is None
    assert matcher.allows(TOKENIZER.control)
    assert matcher.forced() == []
    assert matcher.is_accepting
    assert not matcher.is_done
    matcher.advance(TOKENIZER.eog)
    assert matcher.is_done


def test_a_choice_that_the_vocabulary_cannot_spell_is_never_begun() -> None:
    class NoX(ByteTokenizer):
        """No token holds an x."""

        def __init__(self) -> None:
            super().__init__([b"ab"])
            pieces = [b"" if b"x" in p else p for p in self._vocabulary.pieces]
            self._vocabulary = type(self._vocabulary)(tuple(pieces), self._vocabulary.eog)

    tokenizer = NoX()
    trie = TokenTrie(tokenizer.vocabulary)
    matcher = factory(Grammar.from_choices(["ax", "ab"]), tokenizer, trie).start()
    assert joined(matcher.forced(), tokenizer) == b"ab"
    with pytest.raises(GrammarError, match="no text satisfies"):
        factory(Grammar.from_choices(["ax"]), tokenizer, trie)


@pytest.mark.model
@pytest.mark.slow
def test_real_tokens_spell_valid_json_canonically_where_forced(
    vocabulary_model: LlamaModel,
) -> None:
    trie = TokenTrie(vocabulary_model.vocabulary)
    schema = {
        "type": "object",
        "properties": {
            "first_name": {"type": "string", "maxLength": 12},
            "kind": {"enum": ["person", "company", "日本語"]},
            "ok": {"type": "boolean"},
        },
        "required": ["first_name", "kind", "ok"],
        "additionalProperties": False,
    }
    grammar = Grammar.from_schema(schema, Layout())
    constraint = factory(grammar, vocabulary_model, trie)
    kinds = set()
    for seed in range(12):
        matcher = constraint.start()
        tokens = generate(matcher, vocabulary_model, seed)
        value = json.loads(joined(tokens, vocabulary_model))
        assert value.keys() == {"first_name", "kind", "ok"}
        kinds.add(value["kind"])
        head = vocabulary_model.encode('{"first_name":')
        assert tokens[: len(head)] == head
    assert len(kinds) > 1


@pytest.mark.model
def test_a_forced_text_is_what_the_real_tokeniser_writes(vocabulary_model: LlamaModel) -> None:
    trie = TokenTrie(vocabulary_model.vocabulary)
    draw = random.Random(0)
    words = ["tools", " name", '": "', "été", " 日本", "😀", "\n\n", "12", "(x)"]
    for _ in range(30):
        text = "".join(draw.choices(words, k=6))
        forced = factory(Grammar.from_choices([text]), vocabulary_model, trie).start().forced()
        assert forced == vocabulary_model.encode(text)

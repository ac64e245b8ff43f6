"""What a matcher says of tokens that may come, against trying them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout
from treegram.runtime.byte_tokenizer import ByteTokenizer
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.matcher import GrammarMatcher, GrammarMatcherFactory
from treegram.runtime.spelling import Speller

TOKENIZER = ByteTokenizer([b" the", b" then", b'"a', b'": "', b"ab", b"abc", b"bc"])
TRIE = TokenTrie(TOKENIZER.vocabulary)
SPELLER = Speller(TOKENIZER, TRIE)
SCHEMA = {"type": "object", "properties": {"ab": {"enum": ["abc", "b"]}}, "required": ["ab"]}
GRAMMARS = {
    "free": None,
    "regex": Grammar.from_regex("(abc|bc|ab)*x"),
    "schema": Grammar.from_schema(SCHEMA, Layout()),
}


def started(name: str, prefix: str, *, canonical: bool = True) -> GrammarMatcher:
    factory = GrammarMatcherFactory(GRAMMARS[name], TOKENIZER.vocabulary, SPELLER, TRIE)
    matcher = factory.start(prefix.encode(), canonical)
    matcher.forced()
    return matcher


@given(
    st.sampled_from(sorted(GRAMMARS)),
    st.sampled_from(["", " the", "a"]),
    st.lists(
        st.sampled_from([*TOKENIZER.encode('{"ab": abcx the'), 256, 258, 260, 261, TOKENIZER.eog]),
        max_size=6,
    ),
)
def test_legal_prefix_is_how_far_advancing_comes_and_moves_nothing(
    name: str, prefix: str, tokens: list[int]
) -> None:
    matcher, walked = started(name, prefix), started(name, prefix)
    expected = 0
    for token in tokens:
        if not walked.allows(token):
            break
        walked.advance(token)
        expected += 1
    before = matcher.open_tokens()
    assert matcher.legal_prefix(tokens) == expected
    assert matcher.open_tokens() == before
    fresh = started(name, prefix)
    assert [matcher.allows(t) for t in tokens] == [fresh.allows(t) for t in tokens]


def test_open_tokens_spell_what_is_decided_and_not_spelled() -> None:
    spelled = TOKENIZER.encode
    assert list(started("free", "").open_tokens()) == []
    assert list(started("free", " the").open_tokens()) == spelled(" the")
    assert list(started("free", " the the", canonical=False).open_tokens()) == spelled(" the the")
    forced = started("schema", "")
    assert b"".join(TOKENIZER.vocabulary.pieces[t] for t in forced.open_tokens()) in b'{"ab": "'
    assert forced.legal_prefix(forced.open_tokens()) == len(forced.open_tokens())

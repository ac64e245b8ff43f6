"""Chinese, Japanese, Arabic and emoji through the masks of real vocabularies, split as they come.

The embedded model's vocabulary is byte-level. Others are GGUF files of vocabularies alone, as
llama.cpp's sources hold them in `models/`: name their folder in TREEGRAM_VOCABULARIES to run the
same over, among others, SentencePiece with byte fallback.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import numpy as np
import pytest

from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout
from treegram.runtime.base import Tokenizer
from treegram.runtime.byte_tokenizer import ByteTokenizer
from treegram.runtime.llama import LlamaModel
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.matcher import GrammarMatcher, GrammarMatcherFactory
from treegram.runtime.runtime import embedded_model_path
from treegram.runtime.spelling import Speller

WANTED = ("llama-spm", "phi-3", "qwen2", "llama-bpe")
FOLDER = os.environ.get("TREEGRAM_VOCABULARIES")
FILES = [Path(FOLDER, f"ggml-vocab-{name}.gguf") for name in WANTED] if FOLDER else []
VOCABULARIES = ["made", "embedded", *(file.stem for file in FILES)]

WORDS = "名前 東京 日本語 人工智能 人 شركة مرحبا é 😀 👩‍💻 ok".split()
MADE = [word.encode() for word in WORDS] + [f" {word}".encode() for word in WORDS]
MADE += [b'{"', b'": "', b'", "', b'"}', "日".encode()[:2], "😀".encode()[:3], "名".encode()]

SCHEMA = {
    "type": "object",
    "properties": {
        "名前": {"type": "string", "maxLength": 4},
        "نوع": {"enum": ["شخص", "شركة", "人", "会社", "👩‍💻"]},
        "😀": {"type": "array", "items": {"type": "string", "pattern": "^[ぁ-んァ-ヶ一-龠]{1,3}$"}},
    },
    "required": ["名前", "نوع"],
    "additionalProperties": False,
}


class Case(NamedTuple):
    """A constraint with texts that are of it and texts that are not."""

    grammar: Grammar
    texts: tuple[str, ...]
    others: tuple[str, ...]


@cache
def cases() -> dict[str, Case]:
    return {
        "schema": Case(
            Grammar.from_schema(SCHEMA, Layout()),
            (
                '{"名前": "東京タワ", "نوع": "شركة"}',
                '{"名前": "👩‍💻é", "نوع": "👩‍💻", "😀": ["かな", "漢字", "カナ"]}',
                '{"名前": "", "نوع": "人", "😀": []}',
            ),
            (
                '{"名前": "東京タワー", "نوع": "شركة"}',
                '{"名前": "a", "نوع": "شرك"}',
                '{"名前": "a", "نوع": "人", "😀": ["kana"]}',
            ),
        ),
        "choices": Case(
            Grammar.from_choices(["日本", "日本語", "本", "مرحبا بك", "مرحبا", "😀", "😃", "👩‍💻"]),
            ("日本", "日本語", "مرحبا بك", "😃", "👩‍💻"),
            ("日", "日本人", "مرحب", "👩", "😄"),
        ),
        "regex": Case(
            Grammar.from_regex(r"[一-龠]{2,4}(は|が) ?[\u0600-\u06FF]+[😀-😎]?。"),
            ("東京は مرحبا。", "人工智能がسلام😃。", "日本が سلام😎。"),
            ("東は مرحبا。", "東京は hello。", "東京は مرحبا😏。", "東京は مرحبا"),
        ),
        "any character but": Case(
            Grammar.from_regex("«[^»語]{1,6}»"),
            ("«日本»", "«مرحبا»", "«👩‍💻é»", "«a»"),
            ("«日本語»", "«»", "«1234567»"),
        ),
    }


@pytest.fixture(scope="module", params=VOCABULARIES)
def tokenizer(request: pytest.FixtureRequest) -> Iterator[Tokenizer]:
    if request.param == "made":
        yield ByteTokenizer(MADE)
        return
    paths = {file.stem: file for file in FILES}
    model = LlamaModel(paths.get(request.param) or embedded_model_path(), vocab_only=True)
    yield model
    model.close()


@pytest.fixture(scope="module")
def trie(tokenizer: Tokenizer) -> TokenTrie:
    return TokenTrie(tokenizer.vocabulary)


@pytest.fixture(params=cases())
def case(request: pytest.FixtureRequest) -> Case:
    return cases()[request.param]


@pytest.fixture
def factory(case: Case, tokenizer: Tokenizer, trie: TokenTrie) -> GrammarMatcherFactory:
    speller = Speller(tokenizer, trie)
    return GrammarMatcherFactory(case.grammar, tokenizer.vocabulary, speller, trie)


def gets_through(matcher: GrammarMatcher, tokens: list[int], eog: int) -> bool:
    """Whether the masks allow all tokens and then the end."""
    for token in (*tokens, eog):
        mask = matcher.mask()
        assert mask is not None
        assert bool(mask[token]) == matcher.allows(token)
        if not mask[token]:
            return False
        matcher.advance(token)
    return matcher.is_done


def any_spelling(
    text: bytes, tokenizer: Tokenizer, trie: TokenTrie, rng: random.Random
) -> list[int]:
    """`text` as random tokens that spell it, or [] if they came to a place where none fits."""
    tokens: list[int] = []
    while text:
        fitting = trie.prefixes_of(text)
        if not fitting:
            return []
        tokens.append(rng.choice(fitting))
        text = text[len(tokenizer.vocabulary.pieces[tokens[-1]]) :]
    return tokens


@pytest.mark.model
def test_real_tokens_of_a_text_get_through_and_of_another_do_not(
    case: Case, factory: GrammarMatcherFactory, tokenizer: Tokenizer
) -> None:
    eog = min(tokenizer.vocabulary.eog)
    for text in case.texts:
        assert case.grammar.accepts(text), text
        matcher = factory.start(canonical=False)
        assert gets_through(matcher, tokenizer.encode(text), eog), text
    for text in case.others:
        assert not case.grammar.accepts(text), text
        matcher = factory.start(canonical=False)
        assert not gets_through(matcher, tokenizer.encode(text), eog), text


@pytest.mark.model
def test_every_spelling_of_a_text_gets_through(
    case: Case, factory: GrammarMatcherFactory, tokenizer: Tokenizer, trie: TokenTrie
) -> None:
    """Tokens that end inside a character, single bytes among them."""
    rng = random.Random(7)
    eog = min(tokenizer.vocabulary.eog)
    spelled = 0
    for text in case.texts * 4:
        tokens = any_spelling(text.encode(), tokenizer, trie, rng)
        spelled += bool(tokens)
        matcher = factory.start(canonical=False)
        assert not tokens or gets_through(matcher, tokens, eog), (text, tokens)
    assert spelled > len(case.texts)


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("canonical", [True, False], ids=["canonical", "plain"])
def test_random_walks_end_in_texts_of_the_constraint(
    case: Case, factory: GrammarMatcherFactory, tokenizer: Tokenizer, canonical: bool
) -> None:
    rng = random.Random(11)
    vocabulary = tokenizer.vocabulary
    ended = 0
    for _ in range(12):
        matcher, data = factory.start(canonical=canonical), b""
        for _ in range(200):
            data += b"".join(vocabulary.pieces[t] for t in matcher.forced())
            if matcher.is_done:
                break
            mask = matcher.mask()
            assert mask is not None
            token = rng.choice(np.flatnonzero(mask).tolist())
            data += vocabulary.pieces[token]
            matcher.advance(token)
        if matcher.is_done:
            ended += 1
            text = data.decode()
            assert case.grammar.accepts(text), text
            if text.startswith("{"):
                value: Any = json.loads(text)
                jsonschema.validate(value, SCHEMA)
    assert ended

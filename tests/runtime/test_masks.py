"""Masks equal what running the automaton over every token says."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.automaton.configuration import Configuration
from treegram.lang.errors import GrammarError
from treegram.lang.grammar import Grammar
from treegram.lang.ir.nodes import Alt, Literal, Rules, Seq, Terminal
from treegram.lang.ir.random_grammar import random_rules
from treegram.lang.json_schema.layout import Layout as JsonLayout
from treegram.runtime.base import BoolMask, Vocabulary
from treegram.runtime.byte_tokenizer import ByteTokenizer
from treegram.runtime.llama import LlamaModel
from treegram.runtime.masks import distinct_tokens
from treegram.runtime.masks.masks import MaskTable
from treegram.runtime.masks.token_trie import TokenTrie

MERGES = [
    *b'ab abc bc ca aa aaa {" ": ", "} name "name name" true tr ue 12 123 ab'.split(),
    *(b" ", b"  ", b': "', b'", "', b' {"', b"a" * 20, b"a" * 40, b" " * 30),
    *("é".encode(), "日".encode()[:2], "日本".encode(), "日".encode()[1:] + b"a"),
]
VOCABULARY = ByteTokenizer(MERGES).vocabulary
TRIE = TokenTrie(VOCABULARY)

PATTERNS = (
    "a{3,60}b",
    "(a|ab|abc)*",
    '\\{"name": "[a-c日本é]{2,5}"(, "x")*\\}',
    "(true|[0-9]{1,5}| *)",
    "(?:日本?|é)+a{0,30000}",
    "[^b]{0,7}",
)


def brute_force(
    automaton: Automaton, at: Configuration, vocabulary: Vocabulary, prefix: bytes
) -> BoolMask:
    legal = np.zeros(len(vocabulary), dtype=bool)
    for token, piece in enumerate(vocabulary.pieces):
        if token in vocabulary.eog:
            legal[token] = at.accepting and not prefix
        elif piece and piece.startswith(prefix):
            legal[token] = automaton.run(at, piece[len(prefix) :]) is not None
    return legal


@pytest.mark.slow
@settings(max_examples=150)
@given(st.sampled_from(PATTERNS), st.sampled_from([b"", b"a", b'"', b" "]), st.data())
def test_masks_equal_brute_force(pattern: str, prefix: bytes, data: st.DataObject) -> None:
    automaton = Automaton(Grammar.from_regex(pattern).rules, alphabet=TRIE.alphabet)
    table = MaskTable(automaton, TRIE, VOCABULARY.eog)
    at = automaton.start
    for _ in range(data.draw(st.integers(1, 12))):
        mask = table.mask(at, prefix)
        assert (mask == brute_force(automaton, at, VOCABULARY, prefix)).all()
        assert not mask.flags.writeable
        legal = automaton.next_bytes(at)
        if not legal:
            break
        following = automaton.step(at, data.draw(st.sampled_from(list(legal))))
        assert following is not None
        at = following


def test_also_adds_tokens() -> None:
    automaton = Automaton(Grammar.from_regex("x").rules)
    table = MaskTable(automaton, TRIE, VOCABULARY.eog)
    mask = table.mask(automaton.start, b"a", (7,))
    assert np.flatnonzero(mask).tolist() == [7, ord("a")]


def test_positions_of_a_long_run_share_one_mask() -> None:
    automaton = Automaton(Grammar.from_regex('"[^"]{0,32767}"').rules)
    table = MaskTable(automaton, TRIE, VOCABULARY.eog)
    at = automaton.run(automaton.start, b'"')
    masks = set()
    for _ in range(300):
        assert at is not None
        masks.add(id(table.mask(at)))
        at = automaton.step(at, ord("z"))
    assert len(masks) == 1
    assert table.stats().computed == 1
    assert table.stats().reused == 299


def test_the_memo_is_bounded_in_bytes() -> None:
    automaton = Automaton(Grammar.from_regex("[a-z]{50}").rules)
    table = MaskTable(automaton, TRIE, VOCABULARY.eog, memo_bytes=10 * TRIE.n_vocab)
    at = automaton.start
    for _ in range(40):
        table.mask(at)
        following = automaton.step(at, ord("q"))
        assert following is not None
        at = following
    assert len(table._memo) == 10


def test_no_legal_token_is_an_error() -> None:
    """A byte inside tokens only, never where it is needed: no mask hides that."""
    vocabulary = Vocabulary((b"a", b"xb"), frozenset())
    automaton = Automaton(Grammar.from_regex("ab").rules)
    table = MaskTable(automaton, TokenTrie(vocabulary), frozenset())
    assert table.mask(automaton.start)[0]
    at = automaton.step(automaton.start, ord("a"))
    assert at is not None
    with pytest.raises(GrammarError, match="no token of this vocabulary"):
        table.mask(at)


@pytest.mark.model
@pytest.mark.slow
def test_masks_equal_brute_force_on_a_real_vocabulary(vocabulary_model: LlamaModel) -> None:
    vocabulary = vocabulary_model.vocabulary
    trie = TokenTrie(vocabulary)
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 5}, "n": {"type": "number"}},
        "required": ["name", "n"],
        "additionalProperties": False,
    }
    automaton = Automaton(Grammar.from_schema(schema).rules, alphabet=trie.alphabet)
    table = MaskTable(automaton, trie, vocabulary.eog)
    for text in (
        "",
        '{"na',
        '{"name": "',
        '{"name": "日é',
        '{"name": "\\u',
        '{"name": "a", "n": -',
    ):
        at = automaton.run(automaton.start, text.encode())
        assert at is not None
        assert (table.mask(at) == brute_force(automaton, at, vocabulary, b"")).all(), text


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_masks_equal_brute_force_for_every_kind_of_node(seed: int) -> None:
    """Along random tokens, which run over the ends of terminals, keys and values."""
    random = Random(seed)
    automaton = Automaton(random_rules(random), alphabet=TRIE.alphabet)
    table = MaskTable(automaton, TRIE, VOCABULARY.eog)
    at = automaton.start
    for _ in range(6):
        prefix = random.choice([b"", b"", b'"', b"a"])
        expected = brute_force(automaton, at, VOCABULARY, prefix)
        if expected.any():
            assert (table.mask(at, prefix) == expected).all()
        legal = np.flatnonzero(brute_force(automaton, at, VOCABULARY, b"")).tolist()
        tokens = [token for token in legal if token not in VOCABULARY.eog]
        if not tokens:
            break
        following = automaton.run(at, VOCABULARY.pieces[random.choice(tokens)])
        assert following is not None
        at = following


def test_a_long_list_of_words_has_the_mask_of_its_words() -> None:
    words = [f"name{number}" for number in range(300)] + ["abc", "日本"]
    automaton = Automaton(Grammar.from_choices(words).rules, alphabet=TRIE.alphabet)
    table = MaskTable(automaton, TRIE, VOCABULARY.eog)
    for text in (b"", b"na", b"name", b"name1", b"name29", b"ab", "日".encode()):
        at = automaton.run(automaton.start, text)
        assert at is not None
        assert (table.mask(at) == brute_force(automaton, at, VOCABULARY, b"")).all(), text


@pytest.mark.parametrize("limit", [0, 256])
def test_no_token_chooses_a_value_that_was_seen(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even long before the value ends, and however many tokens are legal."""
    monkeypatch.setattr(distinct_tokens, "MAX_TRIED", limit)
    person = {
        "properties": {"name": {"enum": ["abc", "aa"]}},
        "required": ["name"],
        "additionalProperties": False,
    }
    items: list[dict[str, object]] = [{"enum": ["abc", "abcab", "name"]}, {**person}]
    texts = [b'["abc", "', b'["abc", "abc", "', b'[{"name": "abc"}, {"name": "', b'["name", "']
    for item in items:
        schema = {"type": "array", "uniqueItems": True, "items": item}
        for layout in (JsonLayout(), JsonLayout.accepting()):
            automaton = Automaton(Grammar.from_schema(schema, layout).rules, alphabet=TRIE.alphabet)
            table = MaskTable(automaton, TRIE, VOCABULARY.eog)
            for text in texts:
                at = automaton.run(automaton.start, text)
                if at is not None:
                    expected = brute_force(automaton, at, VOCABULARY, b"")
                    assert (table.mask(at) == expected).all(), text


def test_a_long_list_of_words_lacks_the_excluded_ones() -> None:
    words = Alt(tuple(Literal(f"name{number}") for number in range(100, 400)))
    excluded = frozenset(("name120", "name125"))
    rules = Rules("root", {"root": Seq((Terminal(words, excluded), Literal("a")))})
    automaton = Automaton(rules, alphabet=TRIE.alphabet)
    table = MaskTable(automaton, TRIE, VOCABULARY.eog)
    for text in (b"", b"name1", b"name12", b"name2", b"name121"):
        at = automaton.run(automaton.start, text)
        assert at is not None
        assert (table.mask(at) == brute_force(automaton, at, VOCABULARY, b"")).all(), text


def test_strings_share_what_is_known_about_them() -> None:
    """The same string in two grammars is walked once."""
    trie = TokenTrie(VOCABULARY)
    walked = []
    for name in ("first", "second"):
        schema = {"properties": {name: {"type": "string"}}, "required": [name]}
        automaton = Automaton(Grammar.from_schema(schema, JsonLayout()).rules)
        at = automaton.run(automaton.start, f'{{"{name}": "x'.encode())
        assert at is not None
        MaskTable(automaton, trie, VOCABULARY.eog).mask(at)
        walked.append(len(trie.walks))
    assert walked[0] == walked[1]

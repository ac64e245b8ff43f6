"""Masks of a pattern with lengths equal those of the product of the two, written out."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.automaton.measured_terminal import MeasuredState
from treegram.lang.grammar import Grammar
from treegram.lang.ir.measured import Measured
from treegram.lang.ir.nodes import Alt, Literal, Node, Rules, Seq, Terminal
from treegram.lang.json_schema.span import Span
from treegram.lang.json_schema.string_set import StringSet
from treegram.lang.json_schema.strings import encode, quoted
from treegram.lang.regex.expressions import parse_search
from treegram.lang.regular.table import Table, combine
from treegram.runtime.base import BoolMask
from treegram.runtime.byte_tokenizer import ByteTokenizer
from treegram.runtime.llama import LlamaModel
from treegram.runtime.masks.masks import MaskTable
from treegram.runtime.masks.token_trie import TokenTrie

MERGES = [
    *b'ab aab aaa ba bb a" b" " b", "a "b ", a\\n \\u00 \\u 00e 00e9 \\" a\\ e9a'.split(),
    *(b" ", b"  ", b", ", b" a ", b'", "', b"a" * 20, b"a" * 40, b" " * 30, b'a": ', b'", 1'),
    *("é".encode(), "éa".encode(), "日".encode()[:2], "日本".encode(), "日".encode()[1:] + b"a"),
]
VOCABULARY = ByteTokenizer(MERGES).vocabulary
TRIE = TokenTrie(VOCABULARY)
SETS = [
    (r"^(\S+\s+){0,3}\S+$", 0, 12),
    (r"^(\S+\s+){0,3}\S+$", 4, None),
    ("^(aa|bbb)*é?$", 3, 61),
    ("^(a{3}|b{5})*(é|日本)?$", 7, 9),
    ("^[ab日]+(-[ab]+)*$", 0, 300),
    ("(a|é).*(b|日)", 2, 70),
]


def string(pattern: str, low: int, high: int | None, escapes: bool) -> tuple[Node, Node]:
    """The JSON strings, and the same ones with the product written out."""
    node = StringSet(Span(low, high), (pattern,)).node(escapes=escapes)
    assert isinstance(node, Terminal)
    assert isinstance(node.node, Measured)
    written = node.node.written()
    assert written is not None
    return node, Terminal(written)


def automaton(value: Node) -> Automaton:
    """Values in a list, so that tokens run over their ends."""
    body = Seq((Literal("["), value, Literal(", "), Alt((value, Literal("1"))), Literal("]")))
    return Automaton(Rules("root", {"root": body}), alphabet=TRIE.alphabet)


def legal_tokens(plain: Automaton, text: bytes) -> BoolMask:
    at = plain.run(plain.start, text)
    assert at is not None
    legal = np.zeros(len(VOCABULARY), dtype=bool)
    for token, piece in enumerate(VOCABULARY.pieces):
        legal[token] = bool(piece) and plain.run(at, piece) is not None
    legal[sorted(VOCABULARY.eog)] = at.accepting
    return legal


@pytest.mark.slow
@pytest.mark.parametrize(("pattern", "low", "high"), SETS)
@pytest.mark.parametrize("escapes", [False, True])
def test_masks_are_those_of_the_product(
    pattern: str, low: int, high: int | None, escapes: bool
) -> None:
    check_masks(*string(pattern, low, high, escapes), pattern)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "low", "high"),
    [
        ("^[ab日]{1,18}$|b, a", 0, None),
        ("^[ab日]{1,18}$|b, a", 2, 25),
        ("^a{20,40}$|^[ab]{1,30}$|^(é|日本)*$", 0, 33),
    ],
)
@pytest.mark.parametrize("escapes", [False, True])
def test_alternatives_that_count_are_units_of_their_own(
    pattern: str, low: int, high: int | None, escapes: bool
) -> None:
    value = StringSet(Span(low, high), (pattern,)).node(escapes=escapes)
    assert isinstance(value, Alt)
    assert all(isinstance(option, Terminal) for option in value.options)
    table = Table.of_node(parse_search(pattern))
    written = combine([table, Table.of_lengths(low, high)]).dfa
    check_masks(value, Terminal(quoted(encode(written, escapes=escapes))), pattern)


def check_masks(value: Node, written: Node, seed: str) -> None:
    subject, plain = automaton(value), automaton(written)
    table = MaskTable(subject, TRIE, VOCABULARY.eog)
    random = Random(seed)
    for _ in range(4):
        at, text = subject.start, bytearray()
        for _ in range(14):
            mask = table.mask(at)
            assert (mask == legal_tokens(plain, bytes(text))).all(), bytes(text)
            tokens = [token for token in np.flatnonzero(mask) if token not in VOCABULARY.eog]
            if not tokens:
                break
            long = [token for token in tokens if len(VOCABULARY.pieces[token]) > 1]
            piece = VOCABULARY.pieces[
                random.choice(long if long and random.random() < 0.7 else tokens)
            ]
            following = subject.run(at, piece)
            assert following is not None
            text += piece
            at = following


@pytest.mark.parametrize(("pattern", "low", "high"), SETS)
def test_settled_states_go_on_alike(pattern: str, low: int, high: int | None) -> None:
    """For as many bytes as they were asked about, and all next bytes are legal."""
    value, _ = string(pattern, low, high, escapes=False)
    subject = Automaton(Rules("root", {"root": value}))
    random = Random(pattern)
    for _ in range(10):
        at = subject.start
        for _ in range(random.randrange(40)):
            legal = subject.next_bytes(at)
            assert all(
                (subject.step(at, byte) is not None) == (byte in legal) for byte in range(256)
            )
            if not legal:
                break
            following = subject.step(at, random.choice(legal))
            assert following is not None
            at = following
        one, other = at, subject.settled(at, 6)
        for _ in range(6):
            legal = subject.next_bytes(one)
            assert subject.next_bytes(other) == legal
            assert one.accepting == other.accepting
            if not legal:
                break
            byte = random.choice(legal)
            first, second = subject.step(one, byte), subject.step(other, byte)
            assert first is not None
            assert second is not None
            one, other = first, second


def test_positions_far_from_the_bounds_share_one_mask() -> None:
    schema = {"type": "string", "pattern": r"^\S*( \S+)*$", "minLength": 3, "maxLength": 5000}
    subject = Automaton(Grammar.from_schema(schema).rules)
    table = MaskTable(subject, TRIE, VOCABULARY.eog)
    at = subject.run(subject.start, b'"zzz')
    for _ in range(300):
        assert at is not None
        assert any(isinstance(state, MeasuredState) for state, _ in at.places)
        table.mask(at)
        at = subject.step(at, ord("z"))
    assert table.stats().computed == 1


@pytest.mark.slow
@pytest.mark.model
def test_masks_over_the_embedded_models_vocabulary(vocabulary_model: LlamaModel) -> None:
    trie = TokenTrie(vocabulary_model.vocabulary)
    value, written = string(r"^(\S+\s+){0,10}\S+$", 5, 44, escapes=False)
    subject = Automaton(Rules("root", {"root": value}), alphabet=trie.alphabet)
    plain = Automaton(Rules("root", {"root": written}), alphabet=trie.alphabet)
    table = MaskTable(subject, trie, vocabulary_model.vocabulary.eog)
    other = MaskTable(plain, trie, vocabulary_model.vocabulary.eog)
    text = '"some words of a text, 日本 and é, to the end'.encode()
    for end in range(0, len(text), 3):
        one, two = subject.run(subject.start, text[:end]), plain.run(plain.start, text[:end])
        assert one is not None
        assert two is not None
        assert (table.mask(one) == other.mask(two)).all(), text[:end]

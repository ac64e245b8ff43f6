"""The byte trie holds every token's text once, in level order."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegram.runtime.base import Vocabulary
from treegram.runtime.llama import LlamaModel
from treegram.runtime.masks.token_trie import TokenTrie

# a piece with the byte 0xFF, which no text has, is left out of the trie
some_bytes = st.binary(max_size=5).map(lambda data: data.replace(b"\xff", b"\xfe"))
pieces_lists = st.lists(some_bytes, max_size=40)


def text_of(trie: TokenTrie, node: int) -> bytes:
    found = bytearray()
    while node:
        found.append(int(trie.byte[node]))
        node = int(trie.parent[node])
    return bytes(reversed(found))


@given(pieces_lists)
def test_nodes_are_exactly_the_beginnings_of_pieces(pieces: list[bytes]) -> None:
    trie = TokenTrie(Vocabulary(tuple(pieces), frozenset()))
    beginnings = {piece[:n] for piece in pieces for n in range(len(piece) + 1)} | {b""}
    texts = [text_of(trie, node) for node in range(len(trie))]
    assert sorted(texts) == sorted(beginnings)
    assert texts == sorted(texts, key=lambda text: (len(text), text))
    assert trie.alphabet == frozenset(b"".join(pieces))
    for text in beginnings:
        node = trie.find(text)
        assert node is not None
        assert texts[node] == text
    assert trie.find(b"\xff" * 9) is None


@given(pieces_lists)
def test_children_and_tokens_of_nodes(pieces: list[bytes]) -> None:
    eog = frozenset({0}) if pieces else frozenset[int]()
    trie = TokenTrie(Vocabulary(tuple(pieces), eog))
    for node in range(len(trie)):
        only = np.array([node], dtype=np.int64)
        assert trie.children_of(only).tolist() == np.flatnonzero(trie.parent == node).tolist()
        spelled = [i for i, p in enumerate(pieces) if i and p and p == text_of(trie, node)]
        assert trie.entries_at(only).tolist() == spelled
    for token, piece in enumerate(pieces):
        node = int(trie.token_node[token])
        assert node == -1 if token in eog or not piece else text_of(trie, node) == piece


@given(pieces_lists, st.binary(max_size=7))
def test_prefixes_of(pieces: list[bytes], text: bytes) -> None:
    trie = TokenTrie(Vocabulary(tuple(pieces), frozenset()))
    expected = [i for i, piece in enumerate(pieces) if piece and text.startswith(piece)]
    assert sorted(trie.prefixes_of(text)) == expected


@pytest.mark.model
def test_a_real_vocabulary_builds_well_within_a_second(vocabulary_model: LlamaModel) -> None:
    vocabulary = vocabulary_model.vocabulary
    began = time.process_time()
    trie = TokenTrie(vocabulary)
    assert time.process_time() - began < 1
    spelled = [i for i, p in enumerate(vocabulary.pieces) if p and i not in vocabulary.eog]
    nodes = trie.token_node[spelled].astype(np.int64)
    assert sorted(trie.entries_at(nodes).tolist()) == spelled


def test_pieces_that_no_text_has_are_left_out() -> None:
    trie = TokenTrie(Vocabulary((b"a", b"\xff", b"a\xffb", b""), frozenset(), {3: "<think>"}))
    assert trie.token_node.tolist()[1:3] == [-1, -1]
    assert trie.find(b"\xff<[3]>\xff") == trie.token_node[3], "by its number"
    assert trie.alphabet == frozenset(b"ab")

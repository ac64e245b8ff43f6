"""Tokens that leave a terminal, few or many, and those that spell an excluded text."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout as JsonLayout
from treegram.runtime.byte_tokenizer import ByteTokenizer
from treegram.runtime.masks import grammar_walk
from treegram.runtime.masks.byte_trie import ByteTrie
from treegram.runtime.masks.masks import MaskTable
from treegram.runtime.masks.terminal_walk import Exits, Window
from treegram.runtime.masks.token_trie import TokenTrie

MERGES = [
    *b'ab abc a": a":1 ab": ab" abc" "a" "ab" "abc": {"a {"ab": ,"b":2} "b":"c" {} {"":1}'.split(),
    *b'cd" cd": x":{" x":{"a x":{"ab": x":{"ab":1} 1,"a 1,"ab 1,"ab": 1} 1}}'.split(),
]
VOCABULARY = ByteTokenizer(MERGES).vocabulary
TRIE = TokenTrie(VOCABULARY)

SCHEMA = {
    "properties": {key: {"type": "integer"} for key in ("a", "ab", "abc", "cd")},
    "additionalProperties": {"properties": {"ab": {"const": 1}}, "type": "object"},
    "type": "object",
}
TEXTS = (
    b'{"a":1,"ab":11,"x":{"ab":1}}',
    b'{"x":{"a":2},"abx":{},"cd":1,"ac":{"ab":1,"b":"c"}}',
    b'{"abc":1,"ab":1,"a":1,"abcd":{"":1,"abc":2},"c":{}}',
)


@pytest.mark.slow
@pytest.mark.parametrize("kept", [1, 3, grammar_walk.MAX_STRUCK])
@pytest.mark.parametrize("few", [0, 2, grammar_walk.FEW])
def test_declared_keys_are_no_undeclared_ones(
    monkeypatch: pytest.MonkeyPatch, kept: int, few: int
) -> None:
    """However many entries count as few, and however soon what is excluded is forgotten."""
    monkeypatch.setattr(grammar_walk, "MAX_STRUCK", kept)
    monkeypatch.setattr(grammar_walk, "FEW", few)
    grammar = Grammar.from_schema(SCHEMA, JsonLayout(whitespace="compact", key_order="free"))
    automaton = Automaton(grammar.rules, alphabet=TRIE.alphabet)
    table = MaskTable(automaton, TRIE, VOCABULARY.eog)
    for text in TEXTS:
        assert automaton.accepts(text)
        for end in range(len(text) + 1):
            at = automaton.run(automaton.start, text[:end])
            assert at is not None
            legal = [
                at.accepting if token in VOCABULARY.eog else automaton.run(at, piece) is not None
                for token, piece in enumerate(VOCABULARY.pieces)
                if piece or token in VOCABULARY.eog
            ]
            mask = table.mask(at)
            known = [
                bool(piece) or i in VOCABULARY.eog for i, piece in enumerate(VOCABULARY.pieces)
            ]
            assert mask[known].tolist() == legal
            assert not mask[~np.array(known)].any()


@pytest.mark.slow
@given(
    st.lists(st.integers(0, 9), max_size=12),
    st.integers(0, 5),
    st.none() | st.integers(0, 5),
    st.randoms(use_true_random=False),
)
@settings(max_examples=100)
def test_few_entries_are_picked_like_many(
    rests: list[int], low: int, high: int | None, random: Random
) -> None:
    trie = ByteTrie(
        np.array([-1], dtype=np.int32),
        np.array([0], dtype=np.uint8),
        [0, 1],
        np.arange(10),
        np.zeros(10, dtype=np.int64),
    )
    entries = np.array([random.randrange(1 << 40) for _ in range(10)], dtype=np.int64)
    tallies = np.array([random.randrange(6) for _ in range(10)], dtype=np.int16)
    exits, window = Exits(trie, entries, tallies), Window(low, high)
    many = exits.pick(np.array(rests, dtype=np.int64), window)
    assert exits.pick_few(rests, window) == many.tolist()


def test_a_branch_has_what_the_arrays_say() -> None:
    for node in range(len(TRIE)):
        entries, children = TRIE.branch(node)
        assert entries == TRIE.entries_of(node).tolist()
        below = np.flatnonzero(TRIE.parent == node)
        assert list(children.values()) == below.tolist()
        assert list(children) == TRIE.byte[below].tolist()

"""No token is left in a mask that repeats a value, and none is taken out that does not."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout
from treegram.runtime.byte_tokenizer import ByteTokenizer
from treegram.runtime.masks import distinct_tokens
from treegram.runtime.masks.masks import MaskTable
from treegram.runtime.masks.token_trie import TokenTrie

MERGES = [
    *b'", ", "ab [1,1 1,1 ,1 1.0 e0 ]] ],[ "a" "a","a" {} }, true alse rue,t 00 .0 [1] 12'.split(),
    *b'["a ["ab" [t [[1'.split(),
    *(b', "a"', b'", "', b", 1", b"1, 1", b"], [", b'{"a": ', b'true, "b": "', b"  ", b"2, "),
]
VOCABULARY = ByteTokenizer(sorted(set(MERGES))).vocabulary
TRIE = TokenTrie(VOCABULARY)


def distinct(items: object) -> dict[str, object]:
    return {"type": "array", "uniqueItems": True, "items": items}


def positions(*items: object) -> dict[str, object]:
    return {
        "type": "array",
        "uniqueItems": True,
        "prefixItems": list(items),
        "minItems": len(items),
    }


def record(properties: dict[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


SCHEMAS: list[dict[str, object]] = [
    distinct({"enum": ["a", "ab", "b"]}),
    distinct({"enum": [1, 2, 12]}),
    distinct({"type": "integer"}),
    distinct({"type": "string", "maxLength": 2}),
    distinct({"type": ["string", "boolean"]}),
    distinct(distinct({"enum": [1, 2]})),
    distinct(distinct({"type": "string"})),
    distinct(record({"a": {"type": "boolean"}, "b": {"enum": ["a", "ab"]}})),
    distinct(record({"a": distinct({"enum": [1, 12]})})),
    positions({"type": "string"}, {"enum": ["a"]}),
    positions({"enum": ["a", "ab"]}, {"enum": ["a"]}),
    positions({"enum": [True, 1, 12]}, {"enum": [1, 12, "a"]}, {"type": "boolean"}, {"enum": [1]}),
    positions({"type": "string"}, {"enum": ["a", "ab"]}, {"enum": ["ab", "a"]}),
    positions(distinct({"enum": [1, 2]}), {"enum": [[1], [1, 2], 1]}, {"enum": [[1]]}),
]


@pytest.mark.slow
@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
@pytest.mark.parametrize("few", [0, 4096])
@pytest.mark.parametrize("layout", [Layout(), Layout.accepting()], ids=["generating", "accepting"])
def test_masks_equal_brute_force_where_values_differ(
    schema: dict[str, object], few: int, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where too many tokens are legal to try them all."""
    monkeypatch.setattr(distinct_tokens, "MAX_TRIED", 0)
    monkeypatch.setattr(distinct_tokens, "FEW", few)
    automaton = Automaton(Grammar.from_schema(schema, layout).rules, alphabet=TRIE.alphabet)
    table = MaskTable(automaton, TRIE, VOCABULARY.eog)
    for seed in range(5):
        random, at = Random(seed), automaton.start
        for _ in range(12):
            legal = [
                token
                for token, piece in enumerate(VOCABULARY.pieces)
                if token not in VOCABULARY.eog and piece and automaton.run(at, piece) is not None
            ]
            if not legal:
                break
            mask = table.mask(at).copy()
            mask[list(VOCABULARY.eog)] = False
            assert np.flatnonzero(mask).tolist() == legal, at.written
            telling = [token for token in legal if VOCABULARY.pieces[token].strip()] or legal
            following = automaton.run(at, VOCABULARY.pieces[random.choice(telling)])
            assert following is not None
            at = following


def test_no_token_passes_over_members_that_must_come() -> None:
    """One that spells a later member may leave too few keys, of which there is but one besides."""
    schema = {
        "type": "object",
        "properties": {"b": {"type": "integer"}, "a": {"type": "integer"}},
        "patternProperties": {"^x$": {"type": "integer"}},
        "additionalProperties": False,
        "minProperties": 3,
    }
    automaton = Automaton(Grammar.from_schema(schema, Layout()).rules, alphabet=TRIE.alphabet)
    mask = MaskTable(automaton, TRIE, VOCABULARY.eog).mask(automaton.start)
    assert mask[VOCABULARY.pieces.index(b"{")]
    assert not mask[VOCABULARY.pieces.index(b'{"a": ')]


def test_masks_are_shared_until_there_is_a_key_that_others_must_differ_from() -> None:
    text = {"type": "string", "maxLength": 500}
    schema = {"type": "object", "properties": {"a": text}, "minProperties": 2}
    automaton = Automaton(Grammar.from_schema(schema, Layout()).rules, alphabet=TRIE.alphabet)
    table = MaskTable(automaton, TRIE, VOCABULARY.eog)
    at = automaton.run(automaton.start, b'{"a": "')
    for _ in range(100):
        assert at is not None
        table.mask(at)
        at = automaton.step(at, ord("b"))
    assert table.stats().computed < 20

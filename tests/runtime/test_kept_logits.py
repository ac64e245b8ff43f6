"""Logits at branch points: a prompt that was evaluated once is never evaluated to its end again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outcomes import N_VOCAB, Outcome, drain, run, submit

from treegram.radix_cache.tree import as_token_array
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder
from treegram.runtime.kept_logits import KeptLogits, prefix_digest
from treegram.runtime.prompt import TokenPrompt
from treegram.runtime.select import Scoring, TokenTrie
from treegram.runtime.waiting import WaitingQueue

ROW_BYTES = 4 * N_VOCAB


def test_a_fork_of_n_evaluates_its_prompt_once_and_not_one_token_more() -> None:
    decoder = FakeDecoder(n_cells=512)
    engine = Engine(decoder, measure_minimum=True)
    first = [submit(engine, [5, 6, 7, 8, 9], 4) for _ in range(6)]
    drain(engine)
    assert all(outcome.ended == [None] for outcome in first)
    assert len({tuple(outcome.tokens) for outcome in first}) == 1
    stats = engine.stats()
    assert stats.minimum_tokens == 5 + 3, "the last of four tokens is never evaluated"
    assert decoder.evaluated_tokens == 5 + 3, "as long as they are the same, they share"


def test_a_repeated_request_for_one_token_evaluates_nothing() -> None:
    decoder = FakeDecoder()
    engine = Engine(decoder)
    once = submit(engine, [3, 1, 4, 1, 5], 1)
    drain(engine)
    evaluated = decoder.evaluated_tokens
    again = submit(engine, [3, 1, 4, 1, 5], 1)
    drain(engine)
    assert once.ended == again.ended == [None]
    assert again.tokens == once.tokens
    assert decoder.evaluated_tokens == evaluated == 5


def test_a_repeated_select_evaluates_its_choices_and_no_prompt() -> None:
    decoder = FakeDecoder()
    engine = Engine(decoder)
    prompt, choices = [4, 5, 6], [(1,), (2, 7), (2, 8, 9)]
    tries, spent = [], []
    for _ in range(2):
        tries.append(TokenTrie(choices, [0]))
        ended: list[BaseException | None] = []
        Scoring(engine, [(TokenPrompt(prompt), tries[-1])], ended.append).submit()
        before = decoder.evaluated_tokens
        drain(engine)
        assert ended == [None]
        spent.append(decoder.evaluated_tokens - before)
    inner = {(2,), (2, 8)}
    assert spent[0] == len(prompt) + len(inner)
    assert spent[1] <= len(inner)
    for index in range(len(choices)):
        assert tries[0].logprobs(index) == tries[1].logprobs(index)


def test_without_memory_for_logits_the_last_prompt_token_is_evaluated_again() -> None:
    decoder = FakeDecoder()
    engine = Engine(decoder, logits_bytes=0, measure_minimum=True)
    for _ in range(3):
        submit(engine, [3, 1, 4, 1, 5], 1)
        drain(engine)
    assert decoder.evaluated_tokens == 5 + 2 == engine.stats().minimum_tokens


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 3), min_size=1, max_size=7), st.integers(1, 4)),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 5),
)
def test_one_after_the_other_evaluates_only_what_is_new_and_draws_what_a_cold_model_would(
    requests: list[tuple[list[int], int]], rows: int
) -> None:
    """Counted by brute force: of a prompt what no request had, of what is drawn each token."""
    decoder = FakeDecoder(n_cells=512)
    engine = Engine(decoder, logits_bytes=rows * ROW_BYTES)
    prefixes: set[tuple[int, ...]] = set()
    kept: list[tuple[int, ...]] = []
    expected = 0
    for prompt, n in requests:
        outcome = submit(engine, prompt, n)
        drain(engine)
        assert outcome.ended == [None]
        assert outcome.tokens == outcome.expected
        tokens = [*prompt, *outcome.tokens]
        known = tuple(prompt) in kept
        kept = [p for p in kept if p != tuple(prompt)]
        kept = ([*kept, tuple(prompt)])[-rows:] if rows else []
        cached = [i for i in range(len(prompt) + known) if tuple(prompt[:i]) in {(), *prefixes}]
        evaluated = tokens[:-1] if outcome.generation.finish_reason == "length" else tokens
        expected += len(evaluated) - max(cached)
        prefixes |= {tuple(evaluated[:i]) for i in range(1, len(evaluated) + 1)}
    assert decoder.evaluated_tokens == expected


def test_rows_are_copies_within_a_budget_and_the_oldest_goes_first() -> None:
    kept = KeptLogits(2 * ROW_BYTES)
    names = [prefix_digest(as_token_array([i]), "") for i in range(3)]
    row = np.arange(N_VOCAB, dtype=np.float32)
    kept.put(names[0], row)
    row[0] = 99.0
    found = kept.get(names[0])
    assert found is not None
    assert found[0] == 0.0
    assert not found.flags.writeable
    kept.put(names[1], row)
    assert kept.get(names[0]) is found
    kept.put(names[2], row)
    assert kept.get(names[1]) is None
    assert kept.get(names[0]) is found
    assert kept.n_bytes == 2 * ROW_BYTES
    kept.put(names[1], np.zeros(10 * N_VOCAB, np.float32))
    assert kept.get(names[1]) is None, "a row over the budget is not kept"


def test_prefixes_of_different_namespaces_have_different_names() -> None:
    tokens = as_token_array([1, 2])
    names = {prefix_digest(tokens, n) for n in ("", "a", "b", "a\0")}
    names.add(prefix_digest(as_token_array([1]), "a"))
    assert len(names) == 5


def test_who_is_overdue_and_finished_by_them_ends_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An overdue request comes twice in a round of admission."""
    monkeypatch.setattr(WaitingQueue, "PATIENCE", 0)
    engine = Engine(FakeDecoder())
    for _ in range(2):
        asked = Outcome([1, 2, 3], 1)
        run(engine, [asked])
        assert asked.ended == [None]
        assert asked.tokens == asked.expected
    assert engine.stats().evaluated_tokens == 3

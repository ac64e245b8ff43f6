"""Batches on a CPU: whole tiles of rows that share cells, or fewer rows than a tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outcomes import Outcome, run

from treegram.radix_cache.base import Blob, CacheFull
from treegram.radix_cache.cache import Lease, RadixCache
from treegram.radix_cache.fake import FakeKVStore
from treegram.runtime.base import Batch
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder
from treegram.runtime.tiles import TILE, rows_in_tiles


class Watching(FakeDecoder):
    """Remembers the sequences of each batch, and how often cells were loaded."""

    def __init__(self) -> None:
        super().__init__(n_cells=32768, n_seqs=128, n_batch=512, attends_in_tiles=True)
        self.batches: list[list[int]] = []
        self.n_loads = 0

    def decode(self, batch: Batch) -> None:
        super().decode(batch)
        self.batches.append(batch.seqs.tolist())

    def load(self, blob: Blob, seq: int) -> None:
        self.n_loads += 1
        super().load(blob, seq)


def prompts(n: int, length: int, shared: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(n)
    begin = rng.integers(1, 32, shared).tolist()
    return [begin + rng.integers(1, 32, length - shared).tolist() for _ in range(n)]


def outcomes(texts: Sequence[Sequence[int]], max_tokens: int = 12) -> list[Outcome]:
    return [Outcome(text, max_tokens, ignore_eos=True) for text in texts]


def check(ended: Sequence[Outcome]) -> None:
    for outcome in ended:
        assert outcome.ended == [None]
        assert outcome.tokens == outcome.expected


def test_every_batch_is_whole_tiles_or_less_than_one() -> None:
    decoder = Watching()
    asked = outcomes(prompts(8, 333))
    engine = Engine(decoder, measure_minimum=True)
    run(engine, asked)
    check(asked)
    sizes = {len(batch) for batch in decoder.batches}
    assert all(size < TILE or size % TILE == 0 for size in sizes)
    assert max(sizes) >= TILE
    assert engine.stats().overhead == 1


def test_rows_of_strangers_share_no_tile() -> None:
    decoder = Watching()
    run(Engine(decoder), outcomes(prompts(8, 700)))
    for batch in decoder.batches:
        for begin in range(0, len(batch) - TILE + 1, TILE):
            assert len(set(batch[begin : begin + TILE])) <= 3


def test_rows_behind_one_prefix_do() -> None:
    """Twenty rows each, all behind the same 600 tokens: small batches would read those each."""
    decoder = Watching()
    run(Engine(decoder), outcomes(prompts(16, 620, shared=600)))
    assert any(len(batch) >= TILE and len(set(batch)) > 3 for batch in decoder.batches)


def test_who_decodes_waits_for_one_large_batch_at_most() -> None:
    decoder = Watching()
    engine = Engine(decoder)
    (first,) = outcomes(prompts(1, 5), 60)
    engine.submit(first.request)
    engine.step()
    engine.step()
    late = outcomes(prompts(3, 900))
    for outcome in late:
        engine.submit(outcome.request)
    waited = 0
    while not all(outcome.ended for outcome in (first, *late)):
        before = len(first.tokens)
        engine.step()
        waited = 0 if first.ended or len(first.tokens) > before else waited + 1
        assert waited <= 1
    check([first, *late])


def test_cells_are_moved_together_once_sequences_have_mixed() -> None:
    """Four conversations: their answers are decoded together, their next turns are long."""
    decoder = Watching()
    engine = Engine(decoder, idle_cells=8192, measure_minimum=True)
    texts = prompts(4, 300)
    first = outcomes(texts, 60)
    run(engine, first)
    assert decoder.n_loads == 0
    second = outcomes([t + o.tokens + [7] * 200 for t, o in zip(texts, first, strict=True)])
    run(engine, second)
    check(second)
    assert decoder.n_loads > 0
    assert engine.stats().overhead == 1


def test_a_move_that_fails_costs_no_request() -> None:
    class Failing(Watching):
        def load(self, blob: Blob, seq: int) -> None:
            self.n_loads += 1
            if self.n_loads == 3:
                raise CacheFull("no cells")
            super().load(blob, seq)

    decoder = Failing()
    engine = Engine(decoder, idle_cells=8192)
    texts = prompts(4, 300)
    first = outcomes(texts, 60)
    run(engine, first)
    second = outcomes([t + o.tokens + [7] * 200 for t, o in zip(texts, first, strict=True)])
    run(engine, second)
    assert decoder.n_loads >= 3
    check(second)


def test_a_move_that_always_fails_is_tried_once() -> None:
    class Failing(Watching):
        def load(self, blob: Blob, seq: int) -> None:
            self.n_loads += 1
            raise CacheFull("no cells")

    decoder = Failing()
    engine = Engine(decoder, idle_cells=8192)
    texts = prompts(4, 300)
    first = outcomes(texts, 60)
    run(engine, first)
    for turn in range(3):
        more = [t + o.tokens + [7 + turn] * 200 for t, o in zip(texts, first, strict=True)]
        later = outcomes(more, 60)
        run(engine, later)
        check(later)
    assert decoder.n_loads == 1


def test_who_decodes_behind_the_prefix_of_prompts_goes_on() -> None:
    """They could fill up tiles of the prompts' rows, but need not wait for them."""
    decoder = Watching()
    engine = Engine(decoder)
    begin = prompts(1, 1000)[0]
    decoding = outcomes([[*begin, 1 + i] for i in range(16)], 80)
    for outcome in decoding:
        engine.submit(outcome.request)
    while not all(outcome.tokens for outcome in decoding):
        engine.step()
    late = outcomes([begin + text for text in prompts(16, 264)])
    for outcome in late:
        engine.submit(outcome.request)
    waited = 0
    while not all(outcome.ended for outcome in decoding):
        before = sum(len(outcome.tokens) for outcome in decoding)
        engine.step()
        has_grown = sum(len(outcome.tokens) for outcome in decoding) > before
        waited = 0 if has_grown or all(outcome.ended for outcome in decoding) else waited + 1
        assert waited <= 1
    run(engine, outcomes([[1, 2]]))
    check([*decoding, *late])


def test_more_decode_than_fit_a_small_batch_and_all_go_on() -> None:
    decoder = Watching()
    engine = Engine(decoder, max_running=100)
    decoding = outcomes(prompts(90, 20), 300)
    for outcome in decoding:
        engine.submit(outcome.request)
    for _ in range(120):  # until all decode
        engine.step()
    (late,) = outcomes(prompts(1, 40))
    engine.submit(late.request)
    before = [len(outcome.tokens) for outcome in decoding]
    for _ in range(8):
        engine.step()
    assert late.tokens
    grown = [len(o.tokens) - n for o, n in zip(decoding, before, strict=True)]
    assert min(grown) >= 3
    assert max(grown) - min(grown) <= 2


def test_nothing_is_moved_for_who_asks_for_short_steps() -> None:
    decoder = Watching()
    engine = Engine(decoder, max_itl_s=0.1, idle_cells=8192)
    texts = prompts(4, 300)
    first = outcomes(texts, 60)
    run(engine, first)
    run(engine, outcomes([t + o.tokens + [7] * 200 for t, o in zip(texts, first, strict=True)]))
    assert decoder.n_loads == 0


def test_what_is_too_large_is_not_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treegram.radix_cache.defragment.MOST_BYTES", 10)
    store = FakeKVStore(100, 8)
    cache = RadixCache(store)
    lease = cache.acquire([])
    for position in range(20):
        store.write(lease.seq, position, position)
    cache.extend(lease, 20)
    assert not cache.defragment()
    assert store.read(lease.seq) == list(range(20))
    cache.check_integrity()


def shares(lengths: Sequence[tuple[int, int]]) -> list[tuple[Lease, int]]:
    """Leases of (cells, rows), nothing in common."""
    cache = RadixCache(FakeKVStore(100_000, 128))
    found = []
    for cells, rows in lengths:
        lease = cache.acquire([])
        cache.extend(lease, cells)
        found.append((lease, rows))
    return found


@settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 300)), max_size=20))
def test_rows_fill_tiles(lengths: list[tuple[int, int]]) -> None:
    asked = shares(lengths)
    used = sum(cells for cells, _ in lengths)
    for scattered in (0, used):
        rows = rows_in_tiles(asked, used, scattered)
        assert sum(rows) % TILE == 0
        assert all(0 <= n <= most for n, (_, most) in zip(rows, asked, strict=True))


def test_long_runs_go_into_tiles_and_single_rows_do_not() -> None:
    asked = shares([(500, 200)] + [(500, 1)] * 80)
    assert rows_in_tiles(asked, 40_500, 0) == [192] + [0] * 80
    assert sum(rows_in_tiles(asked, 40_500, 40_500)) == 0

"""The fake store behaves like llama.cpp's cells and refuses what llama.cpp silently gets wrong."""

from __future__ import annotations

import pytest

from treegram.radix_cache import CacheFull, FakeKVStore


def store_with(tokens: list[int], n_cells: int = 16, n_seqs: int = 4) -> FakeKVStore:
    """A store whose sequence 0 holds `tokens`."""
    store = FakeKVStore(n_cells, n_seqs)
    for position, token in enumerate(tokens):
        store.write(0, position, token)
    return store


def test_copies_share_cells_and_a_cell_is_free_when_no_sequence_holds_it() -> None:
    store = store_with([5, 6, 7])
    store.copy(0, 1, 0, 2)
    assert (store.read(1), store.held_cells) == ([5, 6], 3)
    store.remove(0, 1, -1)
    assert (store.read(0), store.read(1), store.held_cells) == ([5], [5, 6], 2)
    store.remove(1, 0, -1)
    assert store.held_cells == 1


def test_a_saved_range_comes_back_at_its_positions_in_new_cells() -> None:
    store = store_with([5, 6, 7, 8])
    store.copy(0, 3, 1, 3)
    blob = store.save(3, 1, 3)
    assert (blob.start, blob.stop, blob.n_bytes) == (1, 3, 16)
    store.remove(3, 0, -1)
    store.remove(0, 1, -1)
    store.load(blob, 2)
    assert store.held_cells == 3
    store.copy(2, 0, 1, 3)
    assert store.read(0) == [5, 6, 7]
    assert (store.saves, store.loads, store.saved_tokens, store.loaded_tokens) == (1, 1, 2, 2)


def test_no_free_cell_is_cache_full() -> None:
    store = store_with([1, 2, 3], n_cells=4)
    blob = store.save(0, 0, 3)
    with pytest.raises(CacheFull, match="3 cells are needed, 1 of 4 are free"):
        store.load(blob, 1)
    store.write(0, 3, 4)
    with pytest.raises(CacheFull, match="1 cells are needed, 0 of 4"):
        store.write(0, 4, 5)


def test_a_load_can_be_told_to_fail() -> None:
    store = store_with([1])
    blob = store.save(0, 0, 1)
    store.failing_loads = 1
    with pytest.raises(CacheFull):
        store.load(blob, 1)
    store.load(blob, 1)
    assert store.read(1) == [1]


def test_a_position_gap_is_refused() -> None:
    store = store_with([1])
    with pytest.raises(ValueError, match="write at 2"):
        store.write(0, 2, 9)
    with pytest.raises(ValueError, match="write at 0"):
        store.write(0, 0, 9)


def test_a_hole_is_found_on_reading() -> None:
    store = store_with([1, 2, 3])
    store.remove(0, 1, 2)
    with pytest.raises(ValueError, match="hole at 1"):
        store.read(0)


def test_cells_of_another_prefix_are_found_on_reading() -> None:
    """The right token in the right place is wrong KV if other tokens preceded it."""
    store = store_with([1, 2, 3])
    for position, token in enumerate([9, 2]):
        store.write(1, position, token)
    store.copy(0, 1, 2, 3)
    with pytest.raises(ValueError, match="cell at 2 is of another prefix"):
        store.read(1)


def test_copying_what_is_not_there_or_onto_what_is_raises() -> None:
    store = store_with([1, 2])
    with pytest.raises(ValueError, match="sequence 0 lacks 2"):
        store.copy(0, 1, 0, 3)
    store = store_with([1, 2])
    store.copy(0, 1, 0, 1)
    with pytest.raises(ValueError, match="sequence 1 already has 0"):
        store.copy(0, 1, 0, 2)


def test_saving_less_than_the_whole_sequence_or_loading_onto_cells_raises() -> None:
    store = store_with([1, 2])
    with pytest.raises(ValueError, match=r"holds positions \[0, 1\]"):
        store.save(0, 1, 2)
    with pytest.raises(ValueError, match="load into sequence 0"):
        store.load(store.save(0, 0, 2), 0)

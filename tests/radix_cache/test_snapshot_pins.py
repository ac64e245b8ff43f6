"""Snapshots that are pinned stay, in every tier."""

from __future__ import annotations

import pytest
from processes import SnapshotProcess

from treegram.radix_cache.base import Blob
from treegram.radix_cache.pins import PinRefused

PROMPT = list(range(100, 110))


def test_a_pinned_prefix_outlives_everything_else() -> None:
    process = SnapshotProcess(host_bytes=8 * 20, idle_cells=0)
    process.run(PROMPT, pin="shots")
    process.flood()
    process.cache.clear()
    process.lose_the_store()
    assert process.run([*PROMPT, 8]) == 10
    assert process.cache.stats().pinned_tokens == 10
    assert [(pin.name, pin.tokens) for pin in process.cache.pins()] == [("shots", 10)]


def test_an_unpinned_one_goes_like_any_other() -> None:
    process = SnapshotProcess(host_bytes=8 * 20, idle_cells=0)
    process.run(PROMPT, pin="shots")
    assert process.cache.unpin("shots")
    assert not process.cache.unpin("shots")
    process.flood()
    assert process.run([*PROMPT, 8]) == 0
    assert process.cache.pins() == ()
    assert process.cache.stats().pinned_tokens == 0


def test_what_lies_above_a_pin_is_not_kept_with_it() -> None:
    """It has a snapshot of its own, which nobody asked to keep."""
    process = SnapshotProcess(host_bytes=8 * 20, idle_cells=0)
    process.run(PROMPT[:5])
    process.run(PROMPT, pin="shots")
    process.flood()
    assert process.cache.match(PROMPT) == 10
    assert process.cache.match(PROMPT[:9]) == 0
    process.run(PROMPT[:5], pin="half")
    process.flood()
    assert process.cache.match(PROMPT[:9]) == 5
    assert process.cache.stats().pinned_tokens == 10


def test_a_pin_above_another_is_saved_for_itself() -> None:
    process = SnapshotProcess()
    process.run(PROMPT, pin="all")
    process.run(PROMPT[:5], pin="half")
    process.lose_the_store()
    assert process.cache.match(PROMPT[:9]) == 5


def test_what_is_parked_above_a_pin_can_be_pinned_as_well() -> None:
    process = SnapshotProcess(host_bytes=8 * 20)
    process.run(PROMPT[:5])
    process.cache.park_idle()
    process.run(PROMPT, pin="all")
    process.cache.park_idle()
    process.run(PROMPT[:5], pin="half")
    process.cache.check_integrity()
    process.flood()
    assert process.cache.match(PROMPT[:9]) == 5


def test_a_pin_of_the_same_name_replaces_the_first() -> None:
    process = SnapshotProcess(host_bytes=8 * 20, idle_cells=0)
    process.run(PROMPT, pin="shots")
    process.run([9, 9, 9], pin="shots")
    process.flood()
    assert (process.cache.match(PROMPT), process.cache.match([9, 9, 9])) == (0, 3)


def test_a_pin_that_does_not_fit_is_refused_with_numbers() -> None:
    process = SnapshotProcess(host_bytes=8 * 12, idle_cells=0)
    process.run(PROMPT, pin="shots")
    with pytest.raises(PinRefused, match=r"'more' of 3 tokens .* 104 bytes .* 96 are") as caught:
        process.run([9, 9, 9], pin="more")
    assert (caught.value.needed_bytes, caught.value.budget_bytes) == (104, 96)
    assert [pin.name for pin in process.cache.pins()] == ["shots"]
    assert process.cache.stats().host_bytes <= 96
    process.run([9, 9], pin="more")
    process.flood()
    assert (process.cache.match(PROMPT), process.cache.match([9, 9])) == (10, 2)


def test_a_refused_pin_drives_nothing_out() -> None:
    process = SnapshotProcess(host_bytes=8 * 12, idle_cells=0)
    process.run(PROMPT)
    with pytest.raises(PinRefused):
        process.run([9] * 13, pin="more")
    assert process.cache.match(PROMPT) == 10
    assert process.cache.stats().host_bytes == 80


def test_a_pin_needs_no_sequence_id() -> None:
    process = SnapshotProcess(n_seqs=2)
    lease, other = process.cache.acquire(PROMPT), process.cache.acquire([1])
    process.evaluate(lease, PROMPT)
    process.cache.commit(lease, PROMPT)
    process.cache.pin("shots", lease)
    process.check()
    for each in (lease, other):
        process.cache.release(each)
    process.flood()
    assert process.cache.match(PROMPT) == 10


def test_only_what_is_committed_can_be_pinned() -> None:
    process = SnapshotProcess()
    lease = process.cache.acquire(PROMPT)
    with pytest.raises(ValueError, match="cannot pin 'shots' with 0 tokens committed"):
        process.cache.pin("shots", lease)
    process.prefill(lease, PROMPT)
    process.evaluate(lease, [1])
    with pytest.raises(ValueError, match="10 tokens committed and 1 that are not"):
        process.cache.pin("shots", lease)
    assert process.cache.pins() == ()


def test_a_pin_that_fails_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    process = SnapshotProcess()
    process.run(PROMPT, pin="shots")

    def fail(*_: object) -> Blob:
        raise RuntimeError("no state")

    monkeypatch.setattr(process.store, "save", fail)
    with pytest.raises(RuntimeError, match="no state"):
        process.run([5, 5], pin="shots")
    assert [pin.tokens for pin in process.cache.pins()] == [10]
    assert process.cache.stats().pinned_tokens == 10

"""What is pinned is never lost, and a pin that could not be kept is refused."""

from __future__ import annotations

from itertools import count

import pytest

from treegram.radix_cache import FakeKVStore, RadixCache
from treegram.radix_cache.base import Blob
from treegram.radix_cache.pins import PinRefused

SHOTS = [1, 2, 3, 4, 5, 6]


class Cache:
    """A cache of 8 bytes a token, and requests on it."""

    def __init__(self, *, n_cells: int = 64, host_tokens: int = 10) -> None:
        ticks = count()
        self.store = FakeKVStore(n_cells, 8)
        self.cache = RadixCache(
            self.store,
            host_bytes=8 * host_tokens,
            idle_cells=0,
            clock=lambda: float(next(ticks)),
        )

    def run(self, tokens: list[int], pin: str = "", namespace: str = "") -> int:
        """A whole request; how many of its tokens were cached."""
        cache, store = self.cache, self.store
        lease = cache.acquire(tokens, namespace=namespace)
        cached = lease.length
        assert store.read(lease.seq) == tokens[:cached]
        try:
            assert cache.reserve(len(tokens) - cached)
            for position in range(cached, len(tokens)):
                store.write(lease.seq, position, tokens[position])
            cache.extend(lease, len(tokens) - cached)
            cache.commit(lease, tokens)
            if pin:
                cache.pin(pin, lease)
        finally:
            cache.release(lease)
            cache.trim_idle()
            cache.check_integrity()
        return cached

    def flood(self) -> None:
        for first in range(100, 130):
            self.run([first] * 4)


def test_a_pinned_prefix_outlives_everything_else() -> None:
    cache = Cache()
    cache.run([*SHOTS, 7], pin="shots")
    cache.flood()
    cache.cache.clear()
    assert cache.run([*SHOTS, 7, 8]) == 7
    assert cache.cache.stats().pinned_tokens == 7
    assert [(pin.name, pin.tokens) for pin in cache.cache.pins()] == [("shots", 7)]


def test_an_unpinned_one_goes_like_any_other() -> None:
    cache = Cache()
    cache.run(SHOTS, pin="shots")
    assert cache.cache.unpin("shots")
    assert not cache.cache.unpin("shots")
    cache.flood()
    assert cache.run(SHOTS) == 0
    assert cache.cache.pins() == ()


def test_a_pin_of_the_same_name_replaces_the_first() -> None:
    cache = Cache()
    cache.run(SHOTS, pin="shots")
    cache.run([9, 9, 9, 9, 9], pin="shots")
    cache.flood()
    assert (cache.run(SHOTS), cache.run([9, 9, 9, 9, 9])) == (0, 5)


def test_pins_share_what_their_prefixes_share() -> None:
    cache = Cache(host_tokens=8)
    cache.run([*SHOTS, 7], pin="one")
    cache.run([*SHOTS, 8], pin="two")
    assert cache.cache.stats().pinned_tokens == 8
    cache.flood()
    assert (cache.run([*SHOTS, 7]), cache.run([*SHOTS, 8])) == (7, 7)


def test_a_pin_that_does_not_fit_is_refused_with_numbers_and_changes_nothing() -> None:
    cache = Cache(host_tokens=10)
    cache.run(SHOTS, pin="shots")
    with pytest.raises(PinRefused, match=r"'more' of 5 tokens .* 88 bytes .* 80 are") as caught:
        cache.run([9, 9, 9, 9, 9], pin="more")
    assert (caught.value.needed_bytes, caught.value.budget_bytes) == (88, 80)
    assert [pin.name for pin in cache.cache.pins()] == ["shots"]
    assert cache.cache.stats().host_bytes <= 80
    cache.run([9, 9], pin="more")
    cache.flood()
    assert (cache.run(SHOTS), cache.run([9, 9])) == (6, 2)


def test_a_refused_pin_drives_nothing_out() -> None:
    cache = Cache(host_tokens=10)
    cache.run(SHOTS)
    with pytest.raises(PinRefused):
        cache.run([9] * 11, pin="more")
    assert cache.cache.match(SHOTS) == 6


class FailingStore(FakeKVStore):
    """Fails to save, as a llama.cpp context may."""

    is_failing = False

    def save(self, seq: int, start: int, stop: int) -> Blob:
        if self.is_failing:
            raise RuntimeError("no state")
        return super().save(seq, start, stop)


def test_a_pin_that_fails_leaves_everything_as_it_was() -> None:
    cache = Cache()
    cache.store = store = FailingStore(64, 8)
    cache.cache = RadixCache(store, host_bytes=800, idle_cells=64)
    cache.run(SHOTS, pin="shots")
    cache.run([9], pin="other")
    lease = cache.cache.acquire([5, 5])
    store.write(lease.seq, 0, 5)
    cache.cache.extend(lease, 1)
    cache.cache.commit(lease, [5])
    store.is_failing = True
    with pytest.raises(RuntimeError, match="no state"):
        cache.cache.pin("shots", lease)
    cache.cache.release(lease)
    cache.cache.check_integrity()
    assert [(pin.name, pin.tokens) for pin in cache.cache.pins()] == [("shots", 6), ("other", 1)]
    assert cache.cache.stats().pinned_tokens == 7


def test_what_is_pinned_survives_the_loss_of_the_store() -> None:
    cache = Cache()
    cache.run(SHOTS, pin="shots")
    cache.run([*SHOTS, 9])
    lease = cache.cache.acquire([*SHOTS, 9])
    for seq in range(cache.store.n_seqs):
        cache.store.remove(seq, 0, -1)
    cache.cache.forget_live()
    cache.cache.check_integrity()
    assert lease.seq == -1
    assert cache.run(SHOTS) == 6


def test_a_pin_keeps_to_its_namespace() -> None:
    cache = Cache()
    cache.run(SHOTS, pin="shots", namespace="tenant")
    assert cache.run(SHOTS) == 0
    assert [pin.namespace for pin in cache.cache.pins()] == ["tenant"]


def test_nothing_cannot_be_pinned() -> None:
    cache = Cache()
    with pytest.raises(ValueError, match="nothing to pin as 'empty'"):
        cache.cache.pin("empty", cache.cache.acquire([]))


def test_a_part_of_a_blob_frees_its_memory_when_it_goes() -> None:
    """A branch inside a parked edge cuts its blob, so that each part is freed by itself."""
    cache = Cache(host_tokens=100)
    cache.run([*SHOTS, 7, 7, 7, 7])
    assert cache.run([*SHOTS, 8]) == 6
    stats = cache.cache.stats()
    assert (stats.parked_tokens, stats.host_bytes) == (11, 11 * 8)
    assert cache.run([*SHOTS, 7, 7, 7, 7]) == 10
    assert cache.store.written_tokens == 11
    assert cache.cache.stats().host_bytes == 11 * 8


def test_a_live_edge_that_is_cut_is_saved_in_parts() -> None:
    cache = Cache(host_tokens=100)
    cache.run([*SHOTS, 7])
    lease = cache.cache.acquire([*SHOTS, 7])  # live now, and saved whole
    cache.run([*SHOTS[:3], 9])
    cache.cache.release(lease)
    cache.cache.trim_idle()
    cache.cache.check_integrity()
    assert cache.cache.stats().host_bytes == 8 * 8

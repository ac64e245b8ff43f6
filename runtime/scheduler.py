"""Who runs next: admission through the radix cache, and the make-up of each batch.

Continuous batching (Orca, OSDI '22) over RadixAttention (SGLang, arXiv:2312.07104): a request is
admitted as soon as cells and a sequence are free; its cached prefix is shared, not copied; a
request that would compute a prefix which a running one is about to finish waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..radix_cache.base import CacheFull
from ..radix_cache.prefix_cache import PrefixCache
from ..radix_cache.tree import TokenArray, common_prefix
from .base import Batch
from .kept_logits import KeptLogits
from .pace import Pace
from .request import EngineRequest
from .waiting import WaitingQueue


@dataclass(slots=True)
class Slice:
    """One request's share of a batch: tokens [start, stop) of it, from batch index `at`."""

    request: EngineRequest
    start: int
    stop: int
    at: int

    def __len__(self) -> int:
        return self.stop - self.start


class Scheduler:
    """Queues and batches. Owned by the engine's thread.

    Args:
        cache: the prefix cache; admission leases from it.
        logits: what is known at branch points; a request that finds its own needs no token of its
            prompt evaluated.
        max_running: most requests in the batch at once.
        n_batch: most tokens in one batch.
        pace: how many prefill tokens a batch holds while others decode.
    """

    LOOKAHEAD = 4  # waiting requests, or groups that wait for one prefix, examined per place
    SHORT = 16  # pending tokens up to which a request counts as decoding (forced runs included)
    HEADROOM = (
        16  # cells kept free per running request at admission, so that it is not undone at once
    )

    def __init__(
        self,
        cache: PrefixCache,
        logits: KeptLogits,
        *,
        max_running: int,
        n_batch: int,
        pace: Pace,
    ) -> None:
        self.cache = cache
        self._logits = logits
        self._max_running = max_running
        self._allowed = max_running
        self._n_batch = n_batch
        self._pace = pace
        self.waiting = WaitingQueue()
        self.running: list[EngineRequest] = []
        self.preempted = 0

    def admit(self) -> list[EngineRequest]:
        """Moves waiting requests into the batch while they fit; returns those admitted."""
        admitted: list[EngineRequest] = []
        scan, awaited = self.waiting.scan(), 0
        for _ in range(self.LOOKAHEAD * self._max_running):
            if len(self.running) >= self._allowed:
                break
            request = scan.next(past=awaited)
            if request is None:
                break
            if request.lease is not None:
                continue
            awaited = self._awaited(request)
            if awaited:
                continue
            if not self._lease(request):
                break  # no room: whoever comes later must not overtake for ever
            self.running.append(request)
            admitted.append(request)
        for request in admitted:
            self.waiting.remove(request, admitted=True)
        return admitted

    def _awaited(self, request: EngineRequest) -> int:
        """How many leading tokens a running request is about to compute, if more than are cached.

        0 where there is nothing to wait for.
        """
        cached = -1
        for other in self.running:
            if other.namespace != request.namespace or other.computed >= other.prefill_tokens:
                continue
            shared = min(common_prefix(request.prefill, other.prefill), request.limit)
            if shared <= other.computed:
                continue
            if cached < 0:
                tokens = request.prefill[: request.limit]
                cached = self.cache.match(tokens, request.namespace)
            if shared > cached:
                assert other.lease is not None
                self.cache.stop_at(other.lease, shared)
                return shared
        return 0

    def _lease(self, request: EngineRequest) -> bool:
        spare = self.HEADROOM * len(self.running)
        tokens, namespace = _all_tokens(request), request.namespace
        request.kept = self._logits.get(request.branch)
        limit = request.limit + (request.kept is not None)
        if not self.cache.has_room(tokens, limit, namespace, spare_cells=spare):
            return False
        try:
            lease = self.cache.acquire(tokens, limit, namespace, priority=request.priority)
        except CacheFull:  # every sequence id is on loan
            return False
        if not self.cache.reserve(len(tokens) - lease.cached_tokens):
            self.cache.release(lease)
            return False
        request.lease = lease
        return True

    def plan(self) -> tuple[Batch, list[Slice]]:
        """The next batch: all decoding requests first, then prefill chunks in order of admission.

        Makes room for it in the cache, preempting the youngest requests if nothing else can go.
        A plan without slices means that the only request left fills the whole context.
        """
        while True:
            slices = self._slices()
            if not slices or self.cache.reserve(slices[-1].at + len(slices[-1])):
                return self._batch(slices), slices
            if len(self.running) == 1:
                fit = self.cache.free_cells
                first = slices[0]
                first.stop = min(first.stop, first.start + fit)
                kept = [first] if first.stop > first.start else []
                return self._batch(kept), kept
            self.preempt(self.running[-1])

    def _slices(self) -> list[Slice]:
        short = [r for r in self.running if r.pending <= self.SHORT]
        long = [r for r in self.running if r.pending > self.SHORT]
        budget = self._n_batch
        if short and (self._pace.is_bound or len(long) <= len(short)):
            # where more requests wait to start than run, larger batches serve more of them sooner
            decoding = sum(r.pending for r in short)
            budget = min(budget, decoding + self._pace.chunk())
        slices: list[Slice] = []
        used = 0
        for request in (*short, *long):
            n = min(request.pending, budget - used)
            if n <= 0:
                break
            assert request.lease is not None
            stop = self.cache.next_stop(request.lease)
            if stop is not None:
                n = min(n, stop - request.computed)
            slices.append(Slice(request, request.computed, request.computed + n, used))
            used += n
        return slices

    @staticmethod
    def _batch(slices: list[Slice]) -> Batch:
        total = sum(map(len, slices))
        tokens = np.empty(total, np.int32)
        positions = np.empty(total, np.int32)
        seqs = np.empty(total, np.int32)
        wants = np.zeros(total, np.bool_)
        for s in slices:
            request, end = s.request, s.at + len(s)
            assert request.lease is not None
            tokens[s.at : end] = request.tokens[s.start : s.stop]
            positions[s.at : end] = np.arange(s.start, s.stop)
            seqs[s.at : end] = request.lease.seq
            if request.generation is not None:
                wants[end - 1] = s.stop == len(request.tokens)
            else:
                wants[max(s.at, s.at + request.limit - s.start) : end] = True
        return Batch(tokens, positions, seqs, wants)

    def give_way(self) -> bool:
        """Makes room after llama.cpp found no slot where our count saw one.

        Parks what is idle, else preempts the youngest request and admits no other until one ends.
        False if there is nothing to give.
        """
        if self.cache.park_idle():
            return True
        if len(self.running) < 2:
            return False
        self.preempt(self.running[-1])
        self._allowed = len(self.running)
        return True

    def preempt(self, request: EngineRequest) -> None:
        """Takes a running request's cells back; what it computed stays cached as long as it can."""
        assert request.lease is not None
        self.cache.commit(request.lease, request.tokens[: request.computed])
        self.cache.release(request.lease)
        request.lease = None
        if request.generation is not None:
            request.limit = len(request.tokens) - 1
        self.running.remove(request)
        self.waiting.put_back(request)
        self.preempted += 1

    def take_running(self) -> list[EngineRequest]:
        """Empties the batch, whose leases are void; returns who was in it."""
        running, self.running = self.running, []
        self._allowed = self._max_running
        return running

    def retire(self, request: EngineRequest) -> None:
        """Ends a running request; what it computed stays cached."""
        if request.lease is not None:
            self.cache.commit(request.lease, request.tokens[: request.computed])
            self.cache.release(request.lease)
            request.lease = None
        self.running.remove(request)
        self._allowed = self._max_running


def _all_tokens(request: EngineRequest) -> TokenArray:
    # converting a long list anew whenever there was no room would cost more than the search
    if len(request.tokens) == len(request.prefill):
        return request.prefill
    return np.array(request.tokens, np.int32)

"""Who runs next: admission through the radix cache, and the make-up of each batch.

Continuous batching (Orca, OSDI '22) over RadixAttention (SGLang, arXiv:2312.07104): a request is
admitted as soon as cells and a sequence are free; its cached prefix is shared, not copied; a
request that would compute a prefix which a running one is about to finish waits for it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..radix_cache.base import CacheFull
from ..radix_cache.cache import RadixCache
from ..radix_cache.prefix_cache import PrefixCache
from ..radix_cache.tree import TokenArray, common_prefix
from .base import Batch
from .pace import Pace
from .request import EngineRequest
from .slices import Slice, embeddings, first_rows, most_cells
from .speculation import NO_DRAFT, Speculation
from .tiles import TILE, Tiles
from .turns import Turns
from .waiting import WaitingQueue


class Scheduler:
    """Queues and batches. Owned by the engine's thread.

    Args:
        cache: the prefix cache; admission leases from it.
        hand_known: called before a request is admitted, hands it the logits that are known behind
            its prompt; one that finds its own needs no token of its prompt evaluated.
        max_running: most requests in the batch at once.
        n_batch: most tokens in one batch.
        pace: how many prefill tokens a batch holds while others decode.
        tiles: chooses the rows where attention works in tiles; None where it does not.
        speculation: adds drafts to a batch; None for none.
    """

    LOOKAHEAD = 4  # waiting requests, or groups that wait for one prefix, examined per place
    AHEAD = 4  # how many of those next in line are announced to the cache, per admission
    RENEWED = 4  # and of all that wait, each in its turn
    SHORT = 16  # pending tokens up to which a request counts as decoding (forced runs included)
    HEADROOM = (
        16  # cells kept free per running request at admission, so that it is not undone at once
    )

    def __init__(
        self,
        cache: PrefixCache,
        hand_known: Callable[[EngineRequest], None],
        *,
        max_running: int,
        n_batch: int,
        pace: Pace,
        tiles: Tiles | None = None,
        speculation: Speculation | None = None,
    ) -> None:
        self.cache = cache
        self._hand_known = hand_known
        self._max_running = max_running
        self._allowed = max_running
        self._n_batch = self._most = n_batch
        self._pace = pace
        self._speculation = speculation
        self._turns = Turns()
        self._is_image_next = False
        self._tiles = tiles
        self.waiting = WaitingQueue()
        self.running: list[EngineRequest] = []
        self.preempted = 0
        self.blocked: EngineRequest | None = None

    def admit(self) -> list[EngineRequest]:
        """Moves waiting requests into the batch while they fit; returns those admitted.

        One that is finished by known logits alone holds no lease. `blocked` is then the one that
        found no room, if there was one.
        """
        self.blocked = None
        admitted: list[EngineRequest] = []
        scan, awaited = self.waiting.scan(), 0
        for _ in range(self.LOOKAHEAD * self._max_running):
            if len(self.running) >= self._allowed:
                break
            request = scan.next(past=awaited)
            if request is None:
                break
            if request.lease is not None or request in admitted:
                continue  # an overdue one comes twice
            awaited = self._awaited(request)
            if awaited:
                continue
            self._hand_known(request)
            if not request.is_finished and not self._lease(request):
                self.blocked = request
                break  # no room: whoever comes later must not overtake for ever
            self.running.append(request)
            admitted.append(request)
            if request.images is not None:
                break  # its images are encoded first; in between the others decode
        if admitted:
            self._announce([scan.next() for _ in range(self.AHEAD)])
        for request in admitted:
            self.waiting.remove(request, admitted=True)
            self._announce([self.waiting.in_turn() for _ in range(self.RENEWED)])
        return admitted

    def _announce(self, waiting: list[EngineRequest | None]) -> None:
        """Tells the cache what it will be asked for, farthest ahead first."""
        for request in reversed(waiting):
            if request is not None:
                self.cache.expect(request.prefill, request.namespace)

    def _awaited(self, request: EngineRequest) -> int:
        """How many leading tokens a running request is about to compute, if more than are cached.

        0 where there is nothing to wait for.
        """
        cached = -1
        for other in self.running:
            if other.namespace != request.namespace or other.computed >= other.prefill_tokens:
                continue
            if other.lease is None:  # finished by known logits
                continue
            shared = min(common_prefix(request.prefill, other.prefill), request.limit)
            if shared <= other.computed:
                continue
            if cached < 0:
                tokens = request.prefill[: request.limit]
                cached = self.cache.match(tokens, request.namespace)
            if shared > cached:
                self.cache.stop_at(other.lease, shared)
                return shared
        return 0

    def _lease(self, request: EngineRequest) -> bool:
        spare = self.HEADROOM * len(self.running)
        tokens, namespace = _all_tokens(request), request.namespace
        if not self.cache.has_room(tokens, request.limit, namespace, spare_cells=spare):
            return False
        try:
            lease = self.cache.acquire(tokens, request.limit, namespace, priority=request.priority)
        except CacheFull:  # every sequence id is on loan
            return False
        if not self.cache.reserve(len(tokens) - lease.cached_tokens):
            self.cache.release(lease)
            return False
        request.lease = lease
        return True

    def plan(self) -> tuple[Batch, list[Slice]]:
        """The next batch: all decoding requests first, then prefill chunks in order of admission;
        where attention works in tiles, as `Tiles.choose` has it.

        Makes room for it in the cache, preempting the youngest requests if nothing else can go.
        A plan without slices means that the only request left fills the whole context. All are of
        one adapter, see `turns.py`; and all are text or all are images, which take turns.
        """
        self._turns.next(self.running)
        self._is_image_next = not self._is_image_next
        while True:
            slices = self._slices()
            if not slices or self._reserve(slices):
                return self._batch(slices), slices
            if len(self.running) == 1:
                fit = self.cache.free_cells
                first = slices[0]
                first.stop = min(first.stop, first.start + fit)
                kept = [first] if first.stop > first.start else []
                return self._batch(kept), kept
            self.preempt(self.running[-1])

    def _reserve(self, slices: list[Slice]) -> bool:
        """Makes room for a batch, with drafts if there is room for them, too."""
        if self._speculation is not None and not slices[0].request.is_at_image:
            self._speculation.add_drafts(slices, self._spare_rows(sum(map(len, slices))))
            if self.cache.reserve(most_cells(slices)):
                return True
            for piece in slices:
                piece.draft = NO_DRAFT
        return self.cache.reserve(most_cells(slices))

    def _spare_rows(self, n: int) -> int:
        """How many rows can be added to `n` without harm to the others."""
        if self._tiles is None:
            return self._most - n
        return min(TILE - 1, self._most) - n if n < TILE else 0

    def _slices(self) -> list[Slice]:
        running = self._turns.of(self.running)
        images = [r for r in running if r.is_at_image]
        is_image = bool(images) and (self._is_image_next or len(images) == len(running))
        running = [r for r in running if r.is_at_image == is_image]
        short = [r for r in running if r.pending <= self.SHORT]
        long = [r for r in running if r.pending > self.SHORT]
        slices: list[Slice] = []
        n_short = 0
        for number, request in enumerate((*short, *long)):
            if not self._joins(request, slices):
                slices.append(self._whole(request))
                n_short += number < len(short)
        room = beside = self._most
        if short and (self._pace.is_bound or len(long) <= len(short)):
            # where more requests wait to start than run, larger batches serve more of them sooner
            beside = self._pace.chunk()
            room = min(room, sum(map(len, slices[:n_short])) + beside)
        if self._tiles is None or is_image:
            return first_rows(slices, room)
        is_bound = self._pace.is_bound
        return self._tiles.choose(
            slices[:n_short],
            slices[n_short:],
            most=min(self._most, beside - (TILE - 1) * is_bound),  # for the batch in between
            room=room,
            may_move=not is_bound,
        )

    def _whole(self, request: EngineRequest) -> Slice:
        """All that may be evaluated of a request in one batch."""
        assert request.lease is not None
        stop = request.computed + min(request.run_tokens, self._most)
        limit = self.cache.next_stop(request.lease)
        return Slice(request, request.computed, stop if limit is None else min(stop, limit))

    def _joins(self, request: EngineRequest, slices: list[Slice]) -> bool:
        """Adds a request to the slice of one that has the same text to evaluate, if there is one.

        Prompts are never evaluated twice, see `_awaited`; this is about texts that were drawn.
        """
        start = request.computed
        if not isinstance(self.cache, RadixCache) or start < request.prefill_tokens:
            return False
        end = request.tokens[-self.SHORT :]
        for piece in slices:
            other = piece.request
            if (
                piece.start == start >= other.prefill_tokens
                # most differ near the end, behind a prompt that is long and the same
                and other.tokens[-self.SHORT :] == end
                and piece.is_drawn
                and other.namespace == request.namespace
                and other.tokens == request.tokens
            ):
                piece.others.append(request)
                return True
        return False

    def _batch(self, slices: list[Slice]) -> Batch:
        total = sum(map(len, slices))
        tokens = np.empty(total, np.int32)
        positions = np.empty(total, np.int32)
        seqs = np.empty(total, np.int32)
        wants = np.zeros(total, np.bool_)
        end = 0
        for s in slices:
            s.at, end = end, end + len(s)
            request = s.request
            assert request.lease is not None
            tokens[s.at : s.last + 1] = request.tokens[s.start : s.stop]
            tokens[s.last + 1 : end] = s.draft.tokens
            positions[s.at : end] = np.arange(s.start, s.start + len(s))
            seqs[s.at : end] = request.lease.seq
            wants[max(s.at, s.at + request.limit - s.start) : end] = True
        return Batch(tokens, positions, seqs, wants, self._turns.adapter, embeddings(slices))

    def give_way(self, n_tokens: int) -> bool:
        """Makes room after llama.cpp found no slot for `n_tokens` where our count saw one.

        Parks what is idle, else preempts the youngest request and admits no other until one ends,
        else halves the batches until then. False if there is nothing to give.
        """
        if self.cache.park_idle():
            return True
        if len(self.running) > 1:
            self.preempt(self.running[-1])
            self._allowed = len(self.running)
            return True
        self._most = max(n_tokens // 2, 1)
        return n_tokens > 1

    def preempt(self, request: EngineRequest) -> None:
        """Takes a running request's cells back; what it computed stays cached as long as it can."""
        assert request.lease is not None
        self.cache.commit(request.lease, request.tokens[: request.computed])
        self.cache.release(request.lease)
        request.lease = None
        if self._speculation is not None:
            self._speculation.forget(request)
        self.running.remove(request)
        self.waiting.put_back(request)
        self.preempted += 1

    def take_running(self) -> list[EngineRequest]:
        """Empties the batch, whose leases are void; returns who was in it."""
        running, self.running = self.running, []
        self._lift_limits()
        return running

    def retire(self, request: EngineRequest) -> None:
        """Ends a running request; what it computed stays cached."""
        if request.lease is not None:
            self.cache.commit(request.lease, request.tokens[: request.computed])
            self.cache.release(request.lease)
            request.lease = None
        request.guesser = None  # the request may be held for long
        self.running.remove(request)
        self._lift_limits()

    def _lift_limits(self) -> None:
        self._allowed = self._max_running
        self._most = self._n_batch


def _all_tokens(request: EngineRequest) -> TokenArray:
    # converting a long list anew whenever there was no room would cost more than the search
    if len(request.tokens) == len(request.prefill):
        return request.prefill
    return np.array(request.tokens, np.int32)

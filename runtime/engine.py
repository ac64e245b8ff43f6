"""The engine: one thread that owns the decoder and runs all requests in one batch.

    submit ──> inbox ──> waiting ──admit──> running ──plan──> decode ──> logits to each request
                            ^                  │                              │
                            └──── preempt ─────┘          finish: commit to the radix cache

Requests and results are plain data; callbacks run in the engine's thread and must be short.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from math import inf

from ..lang.errors import CancelledError, ContextOverflowError, EngineError
from ..radix_cache.cache import RadixCache
from ..radix_cache.disk import DiskFolder
from ..radix_cache.policy import DEFAULT_POLICY, PolicyName
from ..radix_cache.prefix_cache import cache_for
from ..radix_cache.respell import Pieces
from .base import Batch, Decoder, NoSlot
from .delivery import Delivery
from .draft_model import DraftModel
from .endings import Endings
from .intake import Intake
from .kept_logits import KeptLogits
from .overflow import Overflow, shift
from .pace import Pace
from .request import EngineRequest
from .scheduler import Scheduler
from .slices import Slice
from .speculation import Speculation
from .stats import EngineStats
from .tally import Tally
from .tiles import CellsLost, Tiles

LOG = logging.getLogger(__name__)
SWITCH_INTERVAL_S = 5e-5
TAKEN_PER_STEP = 64  # new requests that are read between two batches

IDLE_S = 1.0
"""How long nothing is asked before `on_idle` is called, and between two calls."""


class Engine:
    """Runs requests on a decoder.

    Args:
        decoder: the model context; the engine is its only user from now on.
        max_running: most requests that run at once.
        chunk_tokens: most prefill tokens per batch while as many other requests are decoding.
        max_itl_s: the longest that a running request should wait between two tokens, in seconds;
            chunks shrink for it as far as 16 tokens. None leaves them to `chunk_tokens`.
        idle_cells: cells that unused prefixes may keep live; each slows every decode step.
        host_bytes: host memory for parked prefixes.
        eviction: what goes first where that is full; see `radix_cache/policy.py`.
        disk: a folder in which prefixes outlive the process, and the most bytes they may take
            there; the engine closes it.
        logits_bytes: memory for logits at branch points; a row takes 4 bytes per vocabulary entry.
        pieces: the vocabulary's bytes, by which a prompt finds in the cache what was generated
            before; None matches token ids only.
        speculate: evaluate guessed tokens along where that is expected to save time; results are
            the same. Not where the decoder cannot cut sequences.
        draft: a smaller model of the same vocabulary that guesses where nothing likelier is known;
            only with `speculate`.
        measure_minimum: count the trie of all requests (`EngineStats.minimum_tokens`).
        on_idle: called by the engine's thread while nothing is asked; says whether there is more
            to do. It holds up whoever asks next, so it does a little at a time.
        clock: seconds, for step times.
        on_stop: called last by the engine's thread, which alone may free the decoder: a step may
            be running in it while others close the engine.
    """

    def __init__(
        self,
        decoder: Decoder,
        *,
        max_running: int = 32,
        chunk_tokens: int = 128,
        max_itl_s: float | None = None,
        idle_cells: int = 512,
        host_bytes: int = 2 << 30,
        eviction: PolicyName = DEFAULT_POLICY,
        disk: tuple[DiskFolder, int] | None = None,
        logits_bytes: int = 64 << 20,
        pieces: Sequence[bytes] | None = None,
        speculate: bool = False,
        draft: DraftModel | None = None,
        measure_minimum: bool = False,
        clock: Callable[[], float] = time.perf_counter,
        on_idle: Callable[[], bool] = lambda: False,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._decoder = decoder
        self._on_idle = on_idle
        self._on_stop = on_stop
        self._may_tidy = False
        folder, disk_bytes = disk or (None, 0)
        self.cache = cache_for(
            decoder,
            host_bytes=host_bytes,
            folder=folder,
            disk_bytes=disk_bytes,
            idle_cells=idle_cells,
            policy=eviction,
        )
        self._clock = clock
        self._pace = Pace(inf if max_itl_s is None else max_itl_s, most=chunk_tokens)
        self._speculation: Speculation | None = None
        tiles: Tiles | None = None
        if isinstance(self.cache, RadixCache):
            if speculate:
                self._speculation = Speculation(self.cache, draft)
            if decoder.attends_in_tiles:
                tiles = Tiles(self.cache, decoder.n_cells)
        self._tally = Tally(measure_minimum=measure_minimum)
        self._delivery = Delivery(
            decoder,
            self.cache,
            KeptLogits(logits_bytes),
            self._tally,
            speculation=self._speculation,
        )
        self._scheduler = Scheduler(
            self.cache,
            self._delivery.known,
            max_running=max_running,
            n_batch=decoder.n_batch,
            pace=self._pace,
            tiles=tiles,
            speculation=self._speculation,
        )
        self._endings = Endings(
            decoder, self.cache, self._scheduler, self._tally, speculation=self._speculation
        )
        self._overflow = Overflow(decoder.n_cells, self._scheduler, self._tally, self._endings)
        self._intake = Intake(
            decoder.n_cells,
            self.cache,
            self._scheduler,
            self._endings,
            None if pieces is None else Pieces(pieces),
        )
        self._inbox: deque[EngineRequest] = deque()
        self._unpins: deque[str] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._may_be_cancelled = False
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._no_slots = 0  # in a row

    # --- any thread ------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread.

        `llama_decode` gives the GIL up and must win it back: beside one busy Python thread the
        default switch interval of 5 ms triples a decode step, so it is lowered for the process.
        """
        if sys.getswitchinterval() > SWITCH_INTERVAL_S:
            sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._thread = threading.Thread(target=self._run, name="treegram-engine", daemon=True)
        self._thread.start()

    def submit(self, request: EngineRequest) -> None:
        """Queues a request.

        Raises:
            ContextOverflowError: it would not fit the context even alone.
            ParameterError: its sinks take most of the context.
            EngineError: the engine is closed, or lives in the parent of this process.
        """
        shift(request, self._decoder.n_cells)
        if len(request.tokens) + 1 > self._decoder.n_cells:
            raise ContextOverflowError(len(request.tokens) + 1, self._decoder.n_cells)
        if os.getpid() != self._pid:
            raise EngineError(
                "this process was forked after the model was loaded, and the engine's thread did "
                "not come along; load the model in the child, or start it with 'spawn'"
            )
        with self._wake:
            if self._closing:
                raise EngineError("the engine is closed; load the model again")
            self._inbox.append(request)
            self._wake.notify()

    def cancel(self, request: EngineRequest) -> None:
        """Asks the engine to drop a request; it ends with CancelledError and frees its cells."""
        request.is_cancelled = True
        with self._wake:
            self._may_be_cancelled = True
            self._wake.notify()

    def unpin(self, name: str) -> None:
        """Asks the engine to let go of a pinned prefix, if there is one of that name."""
        with self._wake:
            self._unpins.append(name)
            self._wake.notify()

    def close(self) -> None:
        """Stops the thread; whatever is running fails with EngineError. Idempotent."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def stats(self) -> EngineStats:
        """The counters now; from any thread, exact only while the engine is idle."""
        return self._tally.stats(
            self._scheduler, len(self._inbox), self._speculation, self.cache.stats()
        )

    # --- the engine's thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._serve()
            self._save()
        finally:
            with self._wake:
                self._closing = True
            self._fail_all("the engine was closed while this request was running")
            self._on_stop()

    def _fail_all(self, reason: str, cause: BaseException | None = None) -> None:
        with self._wake:
            inbox, self._inbox = list(self._inbox), deque()
            is_closing = self._closing
        self._endings.fail_all(inbox, reason, cause, is_closing=is_closing)

    def _serve(self) -> None:
        while True:
            with self._wake:
                is_idle = not self._await_work()
                if self._closing:
                    return
            try:
                if is_idle:
                    self._tidy()
                else:
                    self.step()
            # a bug of ours must reach the callers, not hang them; nor may a callback's sys.exit()
            except BaseException as error:
                self._fail_all(f"the engine failed: {error!r}", error)

    def _tidy(self) -> None:
        self._may_tidy = False
        try:
            self._may_tidy = self._on_idle()
        except Exception:  # nobody waits for it
            LOG.exception("what is learnt about masks could not be kept")

    def _await_work(self) -> bool:
        """Waits for something to do; False if nothing came for a while that `on_idle` can use."""
        while not (self._closing or self._inbox or self._unpins or self._has_work()):
            if not self._wake.wait(IDLE_S if self._may_tidy else None):
                return False
        self._may_tidy = True
        return True

    def _save(self) -> None:
        running = list(self._scheduler.running)
        try:
            for request in running:
                self._scheduler.retire(request)
            self.cache.close()
        except Exception:  # what is not saved is evaluated again
            LOG.exception("prefixes could not be saved to disk")
        self._scheduler.running = running

    def _has_work(self) -> bool:
        return bool(self._scheduler.running or self._scheduler.waiting)

    def step(self) -> None:
        """Takes in new requests and runs one batch."""
        began = self._clock()
        scheduler = self._scheduler
        self._take_inbox()
        self._drop_cancelled()
        admitted = scheduler.admit()
        for request in admitted:
            self._tally.admit(request)
            self._encode_images(request)
            if request.is_finished:
                self._endings.retire(request, request.error)
        has_shifted = self._overflow.shift_running()
        is_alone = not (scheduler.running or admitted or has_shifted)
        self._overflow.settle_blocked(is_alone=is_alone)
        if not scheduler.running:
            return
        try:
            batch, slices = scheduler.plan()
        except CellsLost as error:
            LOG.warning("what was in the context is evaluated again: %s", error)
            self._endings.start_afresh((), str(error))
            return
        if not slices:
            self._endings.retire_full(scheduler.running[0])
            return
        if self._decode(batch, slices):
            for piece in slices:
                self._delivery.computed(piece)
                for request in (piece.request, *piece.others):
                    if request.is_finished:
                        self._endings.retire(request, request.error)
            self.cache.trim_idle()
        self._tally.step(self._clock() - began)

    def _encode_images(self, request: EngineRequest) -> None:
        """Has those images of a request encoded that are not in the cache."""
        if request.lease is not None:
            try:
                request.image_rows(request.computed, len(request.tokens))
            except Exception as error:
                request.error = error

    def _take_inbox(self) -> None:
        while self._unpins:
            self.cache.unpin(self._unpins.popleft())
        for _ in range(min(len(self._inbox), TAKEN_PER_STEP)):
            request = self._inbox.popleft()
            try:
                self._intake.take(request)
            except Exception as error:
                self._endings.end(request, error)
            if request.is_cancelled:  # perhaps before anybody could find it
                self._may_be_cancelled = True

    def _drop_cancelled(self) -> None:
        if not self._may_be_cancelled:  # thousands may wait
            return
        self._may_be_cancelled = False
        scheduler = self._scheduler
        for request in [r for r in scheduler.waiting if r.is_cancelled]:
            scheduler.waiting.remove(request)
            self._endings.end(request, CancelledError("the request was cancelled"))
        for request in [r for r in scheduler.running if r.is_cancelled]:
            self._endings.retire(request, CancelledError("the request was cancelled"))

    def _decode(self, batch: Batch, slices: list[Slice]) -> bool:
        """One forward pass; False if it did not happen."""
        began, evaluated = self._clock(), 0
        try:
            self._decoder.decode(batch)
            evaluated = len(batch.tokens)
        except NoSlot:
            self._no_slots += 1
            if not self._scheduler.give_way(len(batch.tokens)) and self._no_slots > 1:
                self._endings.retire(self._scheduler.running[0], self._no_cell())
            return False
        except EngineError as error:
            self._endings.start_afresh([piece.request for piece in slices], str(error))
            return False
        finally:
            seconds = self._clock() - began
            self._tally.decode(evaluated, seconds)
        self._no_slots = 0
        prefill = [piece for piece in slices if piece.start < piece.request.prefill_tokens]
        n_prefill = sum(piece.stop - piece.start for piece in prefill)
        self._pace.observe(n_prefill, seconds, beside=len(slices) - len(prefill))
        if self._speculation is not None:
            self._speculation.observe_step(evaluated, seconds)
        for piece in slices:
            lease = piece.request.lease
            assert lease is not None
            self.cache.extend(lease, len(piece))
        return True

    def _no_cell(self) -> EngineError:
        free, n_cells = self.cache.free_cells, self._decoder.n_cells
        return EngineError(
            f"llama.cpp found no cell for one more token of the only request that runs, although "
            f"{free} of {n_cells} should be free; ask again, and report it if it happens again"
        )

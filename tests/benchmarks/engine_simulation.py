"""The real engine, scheduler and cache over a decoder that only counts; time is a cost model's.

Requests come at their own times, wait, are admitted in the order that the scheduler chooses, and
are prefilled and decoded batch by batch. Only the forward pass and the KV are left out, so that the
size of the cache is bounded by its books alone, and the processor time is all scheduling and tree.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cache_simulation import BYTES_PER_TOKEN, CountingStore
from numpy.typing import NDArray
from trace_sources import Trace

from treegram.lang.base import GenRequest
from treegram.radix_cache.policy import PolicyName
from treegram.radix_cache.tree import TokenArray
from treegram.runtime.base import Batch, Logits, Vocabulary
from treegram.runtime.engine import Engine
from treegram.runtime.generation import Generation
from treegram.runtime.request import EngineRequest

STEP_S = 0.005
"""What a batch takes beside its tokens; with `TOKEN_S`, about the embedded model on two cores."""

TOKEN_S = 0.001
RESTORED_TOKEN_S = 0.65e-6
VOCABULARY = Vocabulary((b"", b"a"), frozenset())


class SimulatedDecoder(CountingStore):
    """A `Decoder` that evaluates nothing and whose every answer is the same token.

    Attributes:
        now_s: the simulated time.
    """

    n_vocab = len(VOCABULARY)

    def __init__(
        self, n_cells: int, n_seqs: int = 64, n_batch: int = 512, *, attends_in_tiles: bool = False
    ) -> None:
        super().__init__(n_cells, n_seqs)
        self.attends_in_tiles = attends_in_tiles
        self.n_batch = n_batch
        self.now_s = 0.0
        self._restored_tokens = 0
        self._logits: Logits = np.array([0, 1], np.float32)

    def decode(self, batch: Batch) -> None:
        restored = self.loaded_tokens - self._restored_tokens
        self._restored_tokens = self.loaded_tokens
        self.now_s += STEP_S + TOKEN_S * len(batch.tokens) + RESTORED_TOKEN_S * restored

    def logits(self, index: int) -> Logits:
        return self._logits

    def clear(self) -> None:
        """There is nothing."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a run stood, and what its last part had cost.

    Attributes:
        requests: ended so far.
        nodes, cached_tokens: of the tree.
        memory_bytes: what the process has grown by.
        request_us: processor time per request, all of it.
        step_us: the same per batch.
    """

    requests: int
    nodes: int
    cached_tokens: int
    memory_bytes: int
    request_us: float
    step_us: float


@dataclass(frozen=True, slots=True)
class Served:
    """Totals of one run.

    Attributes:
        prompt: tokens asked.
        evaluated: prompt tokens that went through the decoder, those evaluated again included.
        answered: tokens of answers that did.
        most_pending: the most requests at once that waited or ran.
        first_token_s: simulated seconds to the first token: median and 99th percentile.
        request_us: processor time per request.
    """

    prompt: int
    evaluated: int
    answered: int
    preempted: int
    most_pending: int
    first_token_s: NDArray[np.float64]
    request_us: float
    marks: tuple[Mark, ...]

    @property
    def hit_rate(self) -> float:
        return 1 - self.evaluated / self.prompt


@dataclass(slots=True)
class Progress:
    """What the callbacks of the requests count."""

    decoder: SimulatedDecoder
    prompt: int = 0
    ended: int = 0
    waits_s: list[float] = field(default_factory=list)

    def request(self, tokens: TokenArray, arrival_s: float, answer_tokens: int) -> EngineRequest:
        def on_text(_: str) -> None:
            nonlocal arrival_s
            if arrival_s >= 0:
                self.waits_s.append(self.decoder.now_s - arrival_s)
                arrival_s = -1.0

        def on_done(_: EngineRequest, error: BaseException | None) -> None:
            if error is not None:
                raise error
            self.ended += 1

        self.prompt += len(tokens)
        asked = GenRequest((), max_tokens=answer_tokens)
        generation = Generation(asked, VOCABULARY, on_text=on_text)
        return EngineRequest(tokens.tolist(), len(tokens) - 1, on_done, generation)


def serve(
    trace: Trace,
    *,
    gap_s: float,
    capacity_tokens: int | None,
    policy: PolicyName,
    n_cells: int,
    n_batch: int = 512,
    answer_tokens: int = 4,
    n_marks: int = 10,
) -> Served:
    """Runs a trace through an engine.

    Args:
        gap_s: mean time between two arrivals, in simulated seconds; 0 lets all come at once.
        capacity_tokens: what host memory holds; None for all.
        n_cells: of the context; the longest prompt and its answer must fit.
        answer_tokens: generated per request. All but the last of them enter the cache, too.
        n_marks: parts of the run that are noted one by one.
    """
    decoder = SimulatedDecoder(n_cells, n_batch=n_batch)
    engine = Engine(
        decoder,
        host_bytes=1 << 60 if capacity_tokens is None else capacity_tokens * BYTES_PER_TOKEN,
        eviction=policy,
        idle_cells=0,
        logits_bytes=1 << 16,
        clock=lambda: decoder.now_s,
    )
    times_s = (gap_s * trace.arrivals()).tolist()
    progress, marks = Progress(decoder), _Marks(len(times_s), n_marks)
    arrivals = zip(times_s, trace.prompts(), strict=True)
    following = next(arrivals, None)
    submitted = most_pending = 0
    while following is not None or progress.ended < submitted:
        if following is not None and progress.ended == submitted:
            decoder.now_s = max(decoder.now_s, following[0])
        while following is not None and following[0] <= decoder.now_s:
            engine.submit(progress.request(following[1], following[0], answer_tokens))
            submitted += 1
            following = next(arrivals, None)
        most_pending = max(most_pending, submitted - progress.ended)
        marks.time(engine)
        marks.note(engine, progress.ended)
    marks.end(engine, submitted)
    stats, answered = engine.stats(), submitted * (answer_tokens - 1)
    engine.cache.check_integrity()
    return Served(
        prompt=progress.prompt,
        evaluated=stats.evaluated_tokens - answered,
        answered=answered,
        preempted=stats.preempted,
        most_pending=most_pending,
        first_token_s=np.quantile(progress.waits_s, (0.5, 0.99)),
        request_us=1e6 * marks.spent_s / submitted,
        marks=tuple(marks.found),
    )


class _Marks:
    """Times steps, and notes what each of `n` equal parts of the requests had cost."""

    def __init__(self, n_requests: int, n: int) -> None:
        self._every = max(n_requests // n, 1)
        self._memory = _resident_bytes()
        self.spent_s, self._steps = 0.0, 0
        self._ended, self._spent_before_s, self._steps_before = 0, 0.0, 0
        self.found: list[Mark] = []

    def time(self, engine: Engine) -> None:
        """Runs one step."""
        began = time.thread_time()
        engine.step()
        self.spent_s += time.thread_time() - began
        self._steps += 1

    def note(self, engine: Engine, ended: int) -> None:
        """Notes a part that is over."""
        if ended - self._ended >= self._every:
            self.end(engine, ended)

    def end(self, engine: Engine, ended: int) -> None:
        """Notes the part that has been since the last."""
        if ended == self._ended:
            return
        cache, spent_us = engine.stats().cache, 1e6 * (self.spent_s - self._spent_before_s)
        self.found.append(
            Mark(
                requests=ended,
                nodes=cache.nodes,
                cached_tokens=cache.live_tokens + cache.parked_tokens,
                memory_bytes=_resident_bytes() - self._memory,
                request_us=spent_us / (ended - self._ended),
                step_us=spent_us / (self._steps - self._steps_before),
            )
        )
        self._ended, self._spent_before_s = ended, self.spent_s
        self._steps_before = self._steps


def _resident_bytes() -> int:
    """What the process holds of the machine's memory now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")

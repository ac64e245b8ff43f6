"""What the engine counts as it runs, read by others as `EngineStats`."""

from __future__ import annotations

from collections.abc import Sequence

from ..radix_cache.stats import CacheStats
from .minimum import TrieCount
from .request import EngineRequest
from .scheduler import Scheduler
from .speculation import Speculation
from .stats import EngineStats


class Tally:
    """Totals since the engine started. Written by its thread, read by any.

    Args:
        measure_minimum: count the trie of all requests, too.
    """

    def __init__(self, *, measure_minimum: bool) -> None:
        self._minimum = TrieCount() if measure_minimum else None
        self._requests = self._steps = 0
        self._evaluated = self._prompt = self._cached = self._completion = 0
        self._decode_seconds = self._step_seconds = 0.0

    def admit(self, request: EngineRequest) -> None:
        """Counts a request's prompt, when it is first admitted."""
        if request.was_admitted:
            return
        request.was_admitted = True
        request.cached_tokens = request.prompt_tokens  # without a lease nothing was evaluated
        if request.lease is not None:
            request.cached_tokens = min(request.lease.cached_tokens, request.prompt_tokens)
        self._prompt += request.prompt_tokens
        self._cached += request.cached_tokens
        if self._minimum is not None:
            # positions from `limit` on must be evaluated for their logits, whoever has their KV
            needs_logits = request.generation is not None and not request.was_known
            tokens = request.prefill.tolist()
            self._minimum.add(tokens, request.namespace, is_request=needs_logits)

    def need(self, tokens: Sequence[int], namespace: str) -> None:
        """Counts a text that could not but be evaluated, as far as no other began like it."""
        if self._minimum is not None:
            self._minimum.add(tokens, namespace)

    def decode(self, n_tokens: int, seconds: float) -> None:
        """Counts a forward pass; one that failed has no tokens."""
        self._decode_seconds += seconds
        self._steps += n_tokens > 0
        self._evaluated += n_tokens

    def step(self, seconds: float) -> None:
        """Counts a whole step."""
        self._step_seconds += seconds

    def end(self, request: EngineRequest) -> None:
        """Counts a request that has ended, whether well or not."""
        self._requests += 1
        if request.generation is not None:
            self._completion += len(request.generation.tokens)

    def stats(
        self, scheduler: Scheduler, n_new: int, speculation: Speculation | None, cache: CacheStats
    ) -> EngineStats:
        """All of it now; `n_new` requests are not with the scheduler yet."""
        return EngineStats(
            requests=self._requests,
            running=len(scheduler.running),
            waiting=len(scheduler.waiting) + n_new,
            evaluated_tokens=self._evaluated,
            minimum_tokens=self._minimum.tokens if self._minimum else None,
            prompt_tokens=self._prompt,
            cached_tokens=self._cached,
            completion_tokens=self._completion,
            drafted_tokens=speculation.drafted if speculation else 0,
            accepted_tokens=speculation.accepted if speculation else 0,
            draft_seconds=speculation.draft_seconds if speculation else 0.0,
            steps=self._steps,
            decode_seconds=self._decode_seconds,
            step_seconds=self._step_seconds,
            preempted=scheduler.preempted,
            cache=cache,
        )

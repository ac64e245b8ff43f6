"""What the engine did, as one frozen object that tests, logs, reports and /metrics read alike."""

from __future__ import annotations

from dataclasses import dataclass

from ..radix_cache.cache import CacheStats


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Counters since the engine started; tokens unless the name says otherwise.

    Attributes:
        requests: requests finished, failed ones included; a `select` makes one for each path of its
            choices' tokens, a pin one.
        running: requests in the batch now.
        waiting: requests queued now.
        evaluated_tokens: tokens that went through `llama_decode`.
        minimum_tokens: tokens of the trie of all requests, plus one per request whose whole prompt
            was in it without its logits (they take an evaluation of the last token); None unless
            measured.
        prompt_tokens: prompt tokens of all requests.
        cached_tokens: those of them that came from the cache.
        completion_tokens: tokens generated, forced ones included.
        drafted_tokens: tokens that were evaluated as a guess at what would be drawn.
        accepted_tokens: those of them that were drawn, each of which spared a step.
        draft_seconds: time that the draft model took for its guesses.
        steps: calls of `llama_decode`.
        decode_seconds: time inside them.
        step_seconds: time of whole steps, decoding included.
        preempted: requests that had to give their cells back for a while.
        cache: the radix cache's own counters.
    """

    requests: int
    running: int
    waiting: int
    evaluated_tokens: int
    minimum_tokens: int | None
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    drafted_tokens: int
    accepted_tokens: int
    draft_seconds: float
    steps: int
    decode_seconds: float
    step_seconds: float
    preempted: int
    cache: CacheStats

    @property
    def rejected_tokens(self) -> int:
        """Tokens that were evaluated as a guess and not drawn."""
        return self.drafted_tokens - self.accepted_tokens

    @property
    def overhead(self) -> float | None:
        """Evaluated tokens / minimum; 1.0 computes nothing twice. None unless measured."""
        return self.evaluated_tokens / self.minimum_tokens if self.minimum_tokens else None

"""A small model of the same vocabulary that proposes what the large one may draw next.

It has a context and a prefix cache of its own, so a prompt that requests share is prefilled there
once as well, and forks share it. All requests of a batch are drafted together: one batch takes in
what was drawn since, and each further one adds a token, the likeliest, to every proposal.

    text      | prompt ....... drawn .......... |
    sequence  | committed .... private .......... proposed ....|  the last of them is not evaluated

What was proposed and then drawn is not evaluated again; what was not drawn is cut off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..radix_cache.base import CacheFull
from ..radix_cache.cache import RadixCache
from ..radix_cache.lease import Lease
from ..radix_cache.tree import as_token_array, common_prefix
from .base import Batch, Decoder
from .step_times import StepTimes

if TYPE_CHECKING:
    from .request import EngineRequest

Piece: TypeAlias = tuple[Lease, Sequence[int]]
"""Tokens to evaluate behind what a lease holds."""


@dataclass(slots=True)
class _Text:
    """What the context holds of one request, and what was proposed behind it."""

    request: EngineRequest
    lease: Lease
    dropped_tokens: int  # of the request, when the lease was taken
    behind: int = 0  # how long the text was when something was proposed last
    proposed: list[int] = field(default_factory=list)

    @property
    def agreed(self) -> int:
        """How much of the request's text is as it was, or as it was proposed to go on."""
        drawn = self.request.tokens[self.behind : self.behind + len(self.proposed)]
        return self.behind + common_prefix(as_token_array(self.proposed), as_token_array(drawn))

    def propose(self, token: int) -> bool:
        """Adds a token to what is proposed, if the request may draw it there and go on."""
        generation, longer = self.request.generation, [*self.proposed, token]
        assert generation is not None
        try:
            if len(generation.draftable(longer)) < len(longer):
                return False
        except Exception:  # of the constraint; if such a text is drawn, the request ends with it
            return False
        self.proposed = longer
        return True


class DraftModel:
    """Proposals for running requests. Owned by the engine's thread once that runs.

    Args:
        decoder: a context whose sequences can be cut; this is its only user from now on. How long
            its steps take is measured at once.
        host_bytes: host memory for its parked prefixes.
        idle_cells: cells that its unused prefixes may keep.
        clock: seconds.

    Attributes:
        cache: the prefixes in its context.
        seconds: what all its steps took since.
    """

    SHORT = 4  # most tokens to take in with which a request joins the others' batch
    MEASURED = 32  # tokens of the larger step that is measured at the beginning

    def __init__(
        self,
        decoder: Decoder,
        *,
        host_bytes: int = 0,
        idle_cells: int = 512,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.cache = RadixCache(decoder, host_bytes=host_bytes, idle_cells=idle_cells)
        self._times = StepTimes()
        self.seconds = 0.0
        self._decoder = decoder
        self._clock = clock
        self._texts: dict[EngineRequest, _Text] = {}
        self._measure()

    def step_seconds(self, n_tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        """What steps of so many tokens take, float64 of the same shape."""
        seconds = self._times.seconds(np.maximum(n_tokens, self._times.smallest))
        assert seconds is not None, "steps of that size were measured"
        return seconds

    def proposed(self, request: EngineRequest) -> list[int]:
        """What is left of the last proposal; empty where something else was drawn."""
        text = self._known(request)
        if text is None or text.agreed < len(request.tokens):
            return []
        return text.proposed[len(request.tokens) - text.behind :]

    def pending(self, request: EngineRequest) -> int:
        """How many tokens must be evaluated before anything can be proposed."""
        text = self._known(request)
        if text is None:
            return len(request.tokens) - self.cache.match(request.prefill, request.namespace)
        return len(request.tokens) - min(text.lease.length, text.agreed)

    def propose(self, requests: Sequence[EngineRequest], n: int) -> None:
        """Proposes up to `n` tokens for each request that has none; `proposed` gives them.

        A proposal ends before a token that cannot be drawn there. Long texts are taken in over
        several calls, a batch in each; until then a request gets none, nor without free cells.
        Raises NoSlot or EngineError, as the decoder does.
        """
        room = self._decoder.n_batch
        for request in requests:
            room -= self._take_in(request, room)
        texts: list[_Text] = []
        pieces: list[Piece] = []
        taken = needed = 0
        for text in filter(None, map(self._texts.get, requests)):
            new = text.request.tokens[text.lease.length :]
            fits = taken + len(new) <= self._decoder.n_batch
            more = needed + len(new) + n - 1
            if fits and 0 < len(new) <= self.SHORT and self.cache.reserve(more):
                taken, needed = taken + len(new), more
                texts.append(text)
                pieces.append((text.lease, new))
        while pieces and n:
            n -= 1
            tokens = self._likeliest(pieces)
            texts = [text for text, token in zip(texts, tokens, strict=True) if text.propose(token)]
            pieces = [(text.lease, text.proposed[-1:]) for text in texts]
        self.cache.trim_idle()

    def forget(self, request: EngineRequest) -> None:
        """Lets go of a request that has ended; what was evaluated of its text stays cached."""
        text = self._texts.pop(request, None)
        if text is None:
            return
        if text.dropped_tokens == request.dropped_tokens:
            self._cut(text)
            self.cache.commit(text.lease, request.tokens[: text.lease.length])
        self.cache.release(text.lease)
        self.cache.trim_idle()

    def forget_all(self) -> None:
        """Lets go of all requests, as this is not used any more."""
        self._texts.clear()

    def _known(self, request: EngineRequest) -> _Text | None:
        """What the context holds of a request, unless that has lost its oldest tokens since."""
        text = self._texts.get(request)
        if text is None or text.dropped_tokens != request.dropped_tokens:
            return None
        return text

    def _cut(self, text: _Text) -> None:
        """Leaves nothing in a sequence but the request's text."""
        self.cache.truncate(text.lease, min(text.lease.length, text.agreed))

    def _take_in(self, request: EngineRequest, room: int) -> int:
        """Makes a request's sequence hold nothing but its text, and all but the end of that.

        A long text is evaluated alone, so that others that begin with the same share it at once,
        and at most `room` tokens of it. Returns how many were.
        """
        text = self._known(request)
        if text is None:
            self.forget(request)
            tokens = as_token_array(request.tokens)
            try:
                lease = self.cache.acquire(tokens, len(tokens) - 1, request.namespace)
            except CacheFull:  # every sequence is on loan
                return 0
            text = self._texts[request] = _Text(request, lease, request.dropped_tokens)
        else:
            self._cut(text)
            lease = text.lease
        text.behind, text.proposed = len(request.tokens), []
        n = min(len(request.tokens) - lease.length - 1, room)
        if n < self.SHORT or not self.cache.reserve(n):
            return 0
        self._decode([(lease, request.tokens[lease.length : lease.length + n])], wants=False)
        self.cache.commit(lease, request.tokens[: lease.length])
        return n

    def _likeliest(self, pieces: Sequence[Piece]) -> list[int]:
        """Evaluates all pieces in one batch; the likeliest token behind each."""
        self._decode(pieces, wants=True)
        ends = np.cumsum([len(tokens) for _, tokens in pieces])
        return [int(self._decoder.logits(end - 1).argmax()) for end in ends.tolist()]

    def _decode(self, pieces: Sequence[Piece], *, wants: bool) -> None:
        began = self._clock()
        sizes = [len(tokens) for _, tokens in pieces]
        starts = [lease.length for lease, _ in pieces]
        wanted = np.zeros(sum(sizes), np.bool_)
        wanted[np.cumsum(sizes) - 1] = wants
        self._decoder.decode(
            Batch(
                np.concatenate([as_token_array(tokens) for _, tokens in pieces]),
                np.concatenate(
                    [
                        np.arange(a, a + n, dtype=np.int32)
                        for a, n in zip(starts, sizes, strict=True)
                    ]
                ),
                np.repeat(as_token_array([lease.seq for lease, _ in pieces]), sizes),
                wanted,
            )
        )
        for (lease, _), size in zip(pieces, sizes, strict=True):
            self.cache.extend(lease, size)
        seconds = self._clock() - began
        self.seconds += seconds
        self._times.observe(len(wanted), seconds)

    def _measure(self) -> None:
        """Learns what steps take: the shortest of some, as the first ones read the weights in."""
        lease = self.cache.acquire(())

        def once(n: int) -> float:
            before = self.seconds
            self._likeliest([(lease, [0] * n)])
            self.cache.truncate(lease, 0)
            return self.seconds - before

        sizes = (1, min(self.MEASURED, self._decoder.n_batch))
        shortest = [min(once(size) for _ in range(3)) for size in sizes]
        self._times, self.seconds = StepTimes(), 0.0
        for size, seconds in zip(sizes, shortest, strict=True):
            self._times.observe(size, seconds)
        self.cache.release(lease)

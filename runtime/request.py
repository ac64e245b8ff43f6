"""What the engine runs: a token prompt, and what to do with the logits behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from ..radix_cache.cache import Lease
from .base import Logits
from .generation import Generation
from .kept_logits import prefix_digest
from .pseudo_tokens import Embeddings, PromptImages
from .speculation import Guesser


@dataclass(eq=False, slots=True)
class EngineRequest:
    """One sequence of tokens to evaluate, then to extend if it has a generation.

    Attributes:
        tokens: the prompt, later followed by what was generated.
        limit: most tokens that may come from the cache; logits are wanted from position `limit` on.
            A generation needs those of the last prompt token: `len(tokens) - 1`; a pin needs none.
            It grows as they are handed out.
        on_done: called once from the engine's thread, with the error if it failed.
        generation: what to generate; None evaluates the prompt only.
        on_logits: receives (n, float32[n_vocab] view), the logits behind the prompt and `n` tokens
            of the tail, for every position >= `limit`.
        priority: a waiting request with a higher one goes first.
        tail: how many of the last tokens are no prompt, but a text that is scored behind it.
        pin: the name under which its tokens are pinned in the cache at the end; "" for not.
        namespace: cached prefixes are shared within one namespace only.
        adapter: the LoRA adapter that computes it, "" for none. Requests of one namespace must have
            the same.
        sinks: how many tokens at the beginning are kept where the context is full and the oldest
            behind them go; None ends the request there. See `overflow.py`.
        dropped_tokens: how many are gone.
        images: what the pseudo tokens among `tokens` stand for; None if there are none. Such a
            request has no `sinks`.
    """

    tokens: list[int]
    limit: int
    on_done: Callable[[EngineRequest, BaseException | None], None]
    generation: Generation | None = None
    on_logits: Callable[[int, Logits], None] | None = None
    namespace: str = ""
    adapter: str = ""
    pin: str = ""
    tail: int = 0
    priority: int = 0
    sinks: int | None = None
    dropped_tokens: int = 0
    images: PromptImages | None = None

    # the engine's own
    lease: Lease | None = None
    prompt_tokens: int = 0
    prefill_tokens: int = 0
    cached_tokens: int = 0
    was_admitted: bool = False
    is_cancelled: bool = False
    branch: bytes = b""  # names the prefix behind which the first logits are wanted
    was_known: bool = False  # those logits, before it was admitted
    guesser: Guesser | None = None
    error: Exception | None = None
    prefill: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    def prepare(self) -> None:
        """Makes all its tokens the prompt that it is admitted with."""
        if self.generation is not None:
            self.limit = len(self.tokens) - 1
        self.prefill = np.array(self.tokens, np.int32)
        self.prefill_tokens = len(self.tokens)
        self.guesser = None
        if self.generation is not None or self.on_logits is not None:
            self.branch = prefix_digest(self.prefill[: self.limit + 1], self.namespace)

    @property
    def prompt_stop(self) -> int:
        """Where the tail begins, in a request that is scored."""
        return len(self.tokens) - self.tail

    @property
    def computed(self) -> int:
        """Tokens whose KV is in this request's sequence."""
        return self.lease.length if self.lease is not None else 0

    @property
    def pending(self) -> int:
        """Tokens still to be evaluated."""
        return len(self.tokens) - self.computed

    @property
    def is_at_image(self) -> bool:
        """Whether the next token to be evaluated stands for an image."""
        return self.images is not None and bool(self.pending) and self.tokens[self.computed] < 0

    @property
    def run_tokens(self) -> int:
        """How many of the next tokens are text, or are images, as the first one is."""
        if self.images is None:
            return self.pending
        is_image = self.is_at_image
        same = takewhile(lambda token: (token < 0) == is_image, self.tokens[self.computed :])
        return sum(1 for _ in same)

    def image_rows(self, start: int, stop: int) -> list[Embeddings]:
        """What the pseudo tokens among tokens [start, stop) stand for; see `PromptImages.rows`."""
        if self.images is None:
            return []
        before, among = (
            sum(token < 0 for token in part)
            for part in (self.tokens[:start], self.tokens[start:stop])
        )
        return self.images.rows(before, before + among)

    @property
    def is_finished(self) -> bool:
        if self.error is not None:
            return True
        if self.generation is not None:
            return self.generation.finish_reason is not None
        return not self.pending or (self.limit >= len(self.tokens) and not self.pin)

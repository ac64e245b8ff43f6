"""What the engine runs: a token prompt, and what to do with the logits behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..radix_cache.cache import Lease
from .base import Logits
from .generation import Generation


@dataclass(eq=False, slots=True)
class EngineRequest:
    """One sequence of tokens to evaluate, then to extend if it has a generation.

    Attributes:
        tokens: the prompt, later followed by what was generated.
        limit: most tokens that may come from the cache; logits are wanted from position `limit` on.
            A generation needs those of the last prompt token: `len(tokens) - 1`. It grows as they
            are handed out.
        on_done: called once from the engine's thread, with the error if it failed.
        generation: what to generate; None evaluates the prompt only.
        on_logits: receives (n, float32[n_vocab] view), the logits behind the prompt and `n` tokens
            of the tail, for every position >= `limit`.
        priority: a waiting request with a higher one goes first.
        tail: how many of the last tokens are no prompt, but a text that is scored behind it.
        pin: the name under which its tokens are pinned in the cache at the end; "" for not.
        namespace: cached prefixes are shared within one namespace only.
    """

    tokens: list[int]
    limit: int
    on_done: Callable[[EngineRequest, BaseException | None], None]
    generation: Generation | None = None
    on_logits: Callable[[int, Logits], None] | None = None
    namespace: str = ""
    pin: str = ""
    tail: int = 0
    priority: int = 0

    # the engine's own
    lease: Lease | None = None
    prompt_tokens: int = 0
    prefill_tokens: int = 0
    cached_tokens: int = 0
    was_admitted: bool = False
    is_cancelled: bool = False
    branch: bytes = b""  # names the prefix behind which the first logits are wanted
    kept: Logits | None = None  # those logits, where they are known already
    prefill: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

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
    def is_finished(self) -> bool:
        if self.generation is not None:
            return self.generation.finish_reason is not None
        return self.limit >= len(self.tokens) or not self.pending

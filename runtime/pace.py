"""How many prefill tokens a batch may hold beside streams that somebody is reading.

A step with prefill tokens takes a decode step's time and so much per token; both are measured as
the engine runs, and the chunk is what fits between two tokens of a stream.
"""

from __future__ import annotations

from math import isfinite


class Pace:
    """Step times, smoothed, and the prefill chunk that follows from them.

    Args:
        target_s: the longest that a stream should wait between two tokens, in seconds; infinite for
            chunks of `most` tokens.
        most: the largest chunk, in tokens; also what is given while nothing is known.
        least: the smallest one: without it nobody new would ever be served.
    """

    SMOOTHING = 0.2

    def __init__(self, target_s: float, *, most: int, least: int = 16) -> None:
        self._target_s = target_s
        self._most = most
        self._least = min(least, most)
        self._decode_s: float | None = None
        self._token_s: float | None = None

    @property
    def is_bound(self) -> bool:
        """Whether there is a target at all."""
        return isfinite(self._target_s)

    def observe(self, n_prefill: int, seconds: float, *, beside: int = 1) -> None:
        """Takes the time of a step of `n_prefill` prefill tokens and `beside` decoding requests."""
        if not n_prefill:
            self._decode_s = self._smoothed(self._decode_s, seconds)
        else:
            decode_s = self._decode_s or 0.0 if beside else 0.0
            per_token = max(seconds - decode_s, 0.0) / n_prefill
            self._token_s = self._smoothed(self._token_s, per_token)

    def chunk(self) -> int:
        """Prefill tokens that fit into the next step."""
        if not self._token_s or not self.is_bound:
            return self._most
        room = self._target_s - (self._decode_s or 0.0)
        return min(max(int(room / self._token_s), self._least), self._most)

    def _smoothed(self, old: float | None, new: float) -> float:
        return new if old is None else old + self.SMOOTHING * (new - old)

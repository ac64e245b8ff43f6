"""How long a forward pass takes, by the number of tokens in it, as the engine measures it.

No formula fits: CPU kernels work on tiles, an accelerator is flat up to hundreds of tokens. So the
times are kept by size, small sizes each on their own, and what lies between is interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class _Size:
    tokens: float
    seconds: float
    step: int  # when it was seen last


class StepTimes:
    """Smoothed seconds by batch size.

    EXACT: sizes up to this many tokens are kept apart, larger ones by powers of two.
    MEMORY: after how many steps a size that did not come again is forgotten: what it took was
        measured in a shorter context, or while the machine had other work.
    REFRESH: after how many steps what `seconds` says follows what was observed; a new size counts
        at once.
    """

    EXACT = 16
    MEMORY = 1024
    REFRESH = 8
    SMOOTHING = 0.2

    def __init__(self) -> None:
        self._sizes: dict[int, _Size] = {}
        self._steps = 0
        self._curve: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None

    def observe(self, n_tokens: int, seconds: float) -> None:
        """Takes the time of a step."""
        self._steps += 1
        key = n_tokens if n_tokens <= self.EXACT else self.EXACT + n_tokens.bit_length()
        size = self._sizes.get(key)
        if size is None or self._steps - size.step > self.MEMORY:
            self._sizes[key] = _Size(n_tokens, seconds, self._steps)
            self._curve = None
            return
        size.tokens += self.SMOOTHING * (n_tokens - size.tokens)
        size.seconds += self.SMOOTHING * (seconds - size.seconds)
        size.step = self._steps
        if self._steps % self.REFRESH == 0:
            self._curve = None

    @property
    def smallest(self) -> int:
        """The smallest size that was observed lately, in tokens; 0 for none."""
        return int(min((size.tokens for size in self._recent()), default=0))

    @property
    def largest(self) -> int:
        """The largest size that was observed lately, in tokens; 0 for none."""
        return int(max((size.tokens for size in self._recent()), default=0))

    def seconds(self, n_tokens: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """What steps of so many tokens take, float64 of the same shape.

        None while nothing is known about steps that are about as small as the smallest asked for.

        It never falls with the size: one slow step of few tokens says little beside a faster one
        of many. Beyond the largest size that is known, it grows in proportion.
        """
        if self._curve is None:
            self._curve = self._measured()
        tokens, seconds = self._curve
        if not len(tokens) or tokens[0] > 2 * n_tokens.min():
            return None
        found: NDArray[np.float64] = np.interp(n_tokens, tokens, seconds)
        found *= np.maximum(n_tokens / tokens[-1], 1.0)
        return found

    def _recent(self) -> list[_Size]:
        return [s for s in self._sizes.values() if self._steps - s.step <= self.MEMORY]

    def _measured(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sizes and their times, ascending."""
        recent = sorted(self._recent(), key=lambda size: size.tokens)
        tokens = np.array([size.tokens for size in recent])
        seconds = np.array([size.seconds for size in recent])
        return tokens, np.minimum.accumulate(seconds[::-1])[::-1]

"""How likely a drawn token was among the legal ones: the raw material of confidence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .base import BoolMask, Logits


def odds(
    logits: Logits, mask: BoolMask | None, banned: Sequence[int], token: int
) -> tuple[float, float]:
    """The probability of `token` and that of the likeliest other token.

    Softmax at temperature 1 over the legal tokens alone. One pass over them: about 0.1 ms where
    50,000 are legal.

    Args:
        logits: float32[n_vocab] as the model gave them, not changed.
        mask: bool[n_vocab], the tokens that the constraint allows; None allows all.
        banned: tokens excluded on top of the constraint.
        token: a legal token.
    """
    if banned:
        logits = logits.copy()
        logits[list(banned)] = -np.inf
    values = logits if mask is None else logits[mask]
    own = logits[token]
    best = values.max()
    total = np.exp(values - best).sum(dtype=np.float64)
    rival = best if own < best else _second(values)
    return float(np.exp(np.float64(own - best)) / total), float(np.exp(rival - best) / total)


def _second(values: Logits) -> np.float32:
    """The second largest value, which may equal the largest; -inf if there is only one."""
    if len(values) < 2:
        return np.float32(-np.inf)
    second: np.float32 = np.partition(values, -2)[-2]
    return second

"""How tokens are drawn: one frozen object from `gen` down to the sampler."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import ParameterError


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """Sampling parameters of one generation.

    The distribution is defined in this order: penalties and `logit_bias` change the logits, the
    constraint masks them, `temperature` scales them, softmax; then `top_k`, `top_p` and `min_p`
    truncate and the rest is renormalised. `temperature=0`, the default, takes the best legal token.

    Attributes:
        temperature: 0 for greedy, else > 0.
        top_k: keep the k likeliest tokens; 0 keeps all.
        top_p: keep the likeliest tokens up to this mass, in (0, 1]; 1 keeps all.
        min_p: drop tokens below this share of the likeliest one's probability, in [0, 1].
        repetition_penalty: divides positive and multiplies negative logits of tokens that occurred
            in the prompt or since (CTRL, arXiv:1909.05858); 1 is off.
        frequency_penalty: subtracted per occurrence among the generated tokens.
        presence_penalty: subtracted once for a token that was generated.
        logit_bias: token id -> added to its logit; `-inf` forbids it.
        seed: fixes the draws for given logits; None draws afresh. Quantised weights give slightly
            different logits depending on what else is in the batch and in the cache, so the same
            seed can still give another text where two tokens are nearly equal.
        logprobs: how many best alternatives to report per token, None for no logprobs at all.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    logprobs: int | None = None

    def __post_init__(self) -> None:
        """Raises ParameterError on the first value out of range."""
        checks = (
            ("temperature", 0 <= self.temperature < math.inf, "a finite number, 0 or more"),
            ("top_k", self.top_k >= 0, "0 (all) or more"),
            ("top_p", 0 < self.top_p <= 1, "in (0, 1]"),
            ("min_p", 0 <= self.min_p <= 1, "in [0, 1]"),
            ("repetition_penalty", 0.01 <= self.repetition_penalty <= 100, "in [0.01, 100]"),
            ("frequency_penalty", math.isfinite(self.frequency_penalty), "a finite number"),
            ("presence_penalty", math.isfinite(self.presence_penalty), "a finite number"),
            ("seed", self.seed is None or 0 <= self.seed < 2**64, "None or 0 to 2**64 - 1"),
            ("logprobs", self.logprobs is None or 0 <= self.logprobs <= 100, "None or 0 to 100"),
        )
        for token, bias in self.logit_bias.items():
            if not bias < math.inf:  # also NaN
                raise ParameterError(
                    "logit_bias", f"expected -inf or a number, got {token}: {bias}"
                )
        for name, good, expected in checks:
            if not good:
                raise ParameterError(name, f"expected {expected}, got {getattr(self, name)!r}")

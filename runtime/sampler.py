"""Drawing the next token from logits, exactly as `SamplingParams` defines it.

Order: penalties and bias, the constraint's mask, temperature, softmax, then top-k, top-p, min-p and
renormalisation. Greedy checks the best few tokens against the constraint before any mask is
computed: the first legal one of them is the best legal token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..lang.errors import GrammarError
from ..lang.sampling import SamplingParams
from .base import BoolMask, Logits, Matcher

Probabilities = NDArray[np.float64]

CANDIDATES = 16
"""Best tokens that greedy decoding checks one by one before a mask is computed."""


@dataclass(frozen=True, slots=True)
class Draw:
    """A drawn token; `logprob` and `top` (token, logprob) only if the parameters ask for them."""

    token: int
    logprob: float = 0.0
    top: tuple[tuple[int, float], ...] = ()


class Sampler:
    """One request's draws: its random generator and what its penalties have seen.

    Args:
        params: how to draw.
        prompt: token ids that the repetition penalty counts as having occurred.
    """

    def __init__(self, params: SamplingParams, prompt: Sequence[int] = ()) -> None:
        self._params = params
        self._random = np.random.default_rng(params.seed)
        self._generated: Counter[int] = Counter()
        counts = params.repetition_penalty != 1.0
        self._occurred = {t for t in prompt if t >= 0} if counts else set[int]()  # no images
        self._changes_logits = bool(
            params.logit_bias
            or params.repetition_penalty != 1.0
            or params.frequency_penalty
            or params.presence_penalty
        )

    def saw(self, token: int) -> None:
        """Counts a token that was generated (drawn or forced) for the penalties."""
        if self._changes_logits:
            self._generated[token] += 1
            self._occurred.add(token)

    def draw(self, logits: Logits, matcher: Matcher | None, banned: Sequence[int] = ()) -> Draw:
        """The next token.

        Args:
            logits: float32[n_vocab], not changed.
            matcher: the constraint, or None.
            banned: tokens excluded on top of the constraint (end of generation before min_tokens).

        Raises:
            GrammarError: no token is legal.
        """
        params = self._params
        if self._changes_logits or banned:
            logits = self._adjusted(logits, banned)
        if params.temperature == 0 and params.logprobs is None:
            best = _best_legal(logits, matcher)
            if best is not None:
                return Draw(best)
        mask = None if matcher is None else matcher.mask()
        return self._draw_masked(logits, mask)

    def _adjusted(self, logits: Logits, banned: Sequence[int]) -> Logits:
        params = self._params
        logits = logits.copy()
        if params.repetition_penalty != 1.0 and self._occurred:
            ids = np.fromiter(self._occurred, np.int64)
            seen = logits[ids]
            penalty = params.repetition_penalty
            logits[ids] = np.where(seen > 0, seen / penalty, seen * penalty)
        if (params.frequency_penalty or params.presence_penalty) and self._generated:
            ids = np.fromiter(self._generated.keys(), np.int64)
            counts = np.fromiter(self._generated.values(), np.float32)
            logits[ids] -= params.frequency_penalty * counts + params.presence_penalty
        for token, bias in params.logit_bias.items():
            logits[token] += bias
        logits[list(banned)] = -np.inf
        return logits

    def _draw_masked(self, logits: Logits, mask: BoolMask | None) -> Draw:
        params = self._params
        legal = None if mask is None else np.flatnonzero(mask)
        values = logits if legal is None else logits[legal]
        if not len(values) or values.max() == -np.inf:
            raise GrammarError(
                "no token is legal here: constraint, logit_bias and min_tokens exclude every one"
            )
        pick = int(values.argmax()) if params.temperature == 0 else self._pick(values)
        token = pick if legal is None else int(legal[pick])
        if params.logprobs is None:
            return Draw(token)
        logprobs = values.astype(np.float64)
        logprobs -= logprobs.max()
        logprobs -= np.log(np.exp(logprobs).sum())
        order = np.argsort(-logprobs, kind="stable")[: params.logprobs]
        ids = order if legal is None else legal[order]
        top = tuple(zip(ids.tolist(), logprobs[order].tolist(), strict=True))
        return Draw(token, float(logprobs[pick]), top)

    def _pick(self, values: Logits) -> int:
        """Draws an index into float32 logits at the temperature, truncated."""
        params = self._params
        k = params.top_k
        # the softmax of the k best is that of all, renormalised: the others need none
        able = np.argpartition(values, -k)[-k:] if 0 < k < len(values) else None
        some = (values if able is None else values[able]).astype(np.float64)
        with np.errstate(over="ignore"):  # a tiny temperature only sharpens
            scaled = (some - some.max()) / params.temperature
        keep, probabilities = truncate(softmax(scaled), params)
        pick = int(keep[self._random.choice(len(keep), p=probabilities)])
        return pick if able is None else int(able[pick])


def _best_legal(logits: Logits, matcher: Matcher | None) -> int | None:
    """The best legal token if it is among the few best tokens, else None."""
    best = int(logits.argmax())
    if logits[best] == -np.inf:
        return None
    if matcher is None or matcher.allows(best):
        return best
    few = np.argpartition(logits, -min(CANDIDATES, len(logits)))[-CANDIDATES:]
    # ties go to the lower id, as in argmax over a mask
    for token in few[np.lexsort((few, -logits[few]))].tolist():
        if logits[token] > -np.inf and matcher.allows(token):
            return int(token)
    return None


def softmax(values: Probabilities) -> Probabilities:
    """Probabilities of float64 logits; -inf gives 0."""
    weights: Probabilities = np.exp(values - values.max())
    weights /= weights.sum()
    return weights


def truncate(
    probabilities: Probabilities, params: SamplingParams
) -> tuple[NDArray[np.intp], Probabilities]:
    """Applies top-p, then min-p, and renormalises; `probabilities` are cut to the top k already.

    Returns:
        indices kept (likeliest first when anything was cut), and their probabilities.
    """
    if not params.top_k and params.top_p == 1.0 and params.min_p == 0.0:
        return np.arange(len(probabilities)), probabilities
    # sorting a whole vocabulary takes longer than a decode step of a small model
    n = len(probabilities)
    if params.top_p < 1.0:
        # tokens below this share have less than 1 - top_p together: none of them is needed
        able = np.flatnonzero(probabilities >= (1.0 - params.top_p) / n)
    else:
        able = np.flatnonzero(probabilities >= params.min_p * probabilities.max())
    order = able[np.argsort(-probabilities[able], kind="stable")]
    kept = probabilities[order]
    if params.top_p < 1.0:
        # the token that reaches the mass is kept, as in the paper (Holtzman et al., 2020)
        size = int(np.searchsorted(np.cumsum(kept), params.top_p)) + 1
        order, kept = order[:size], kept[:size]
    if params.min_p:
        strong = kept >= params.min_p * kept[0]
        order, kept = order[strong], kept[strong]
    return order, kept / kept.sum()


def log_softmax_at(logits: Logits, tokens: Sequence[int]) -> NDArray[np.float64]:
    """Log-probabilities of `tokens` under float32[n_vocab] logits, as float64[len(tokens)]."""
    top = float(logits.max())
    total = np.log(np.exp(logits - np.float32(top)).sum(dtype=np.float64))
    chosen: NDArray[np.float64] = logits[list(tokens)].astype(np.float64)
    chosen -= top + total
    return chosen

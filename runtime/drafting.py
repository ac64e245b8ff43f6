"""When a draft model is asked: for how many requests at once, and for how many tokens of each.

A proposal of k tokens, each right at a rate r, is expected to spare r + r^2 + ... + r^k tokens of
plain decoding. It costs k steps of the draft model, the first of which takes in what was drawn
since, and what the large model's step takes longer for those tokens (Leviathan et al.,
arXiv:2211.17192, section 3.3, with measured times in the place of their constant cost). Where that
does not pay, the draft model is tried rarely: times and rates may have changed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .draft_model import DraftModel

if TYPE_CHECKING:
    from .request import EngineRequest

LOG = logging.getLogger(__name__)
Floats = NDArray[np.float64]


class DraftSize(NamedTuple):
    """Proposals of `n_tokens` for the first `n_requests`, and the time that they save."""

    n_requests: int
    n_tokens: int
    gain: float


def best_size(
    rates: Floats, first: Floats, further: Floats, verified: Floats, *, most: int, least: float
) -> DraftSize:
    """The size that saves most, or that loses least if its `gain` is not positive.

    All times are in units of what it takes to draw a token.

    Args:
        rates: how often a proposed token is right, for each of m requests; the highest first.
        first: what the draft model's first step for the first 1, 2, ... m requests takes.
        further: what each further one does.
        verified: what 1, 2, ... more tokens in the large model's step take.
        most: most tokens for each.
        least: tokens that are less likely to be right count for nothing.
    """
    n_requests, n_tokens = np.arange(1, len(rates) + 1)[:, None], np.arange(1, most + 1)
    chances = rates[:, None] ** n_tokens
    spared = np.where(chances >= least, chances, 0.0).cumsum(axis=0).cumsum(axis=1)
    total = n_requests * n_tokens
    gains = spared - first[:, None] - (n_tokens - 1) * further[:, None]
    gains -= verified[np.minimum(total, len(verified)) - 1]
    gains[total > len(verified)] = -np.inf
    best = int(gains.argmax())
    return DraftSize(best // most + 1, best % most + 1, float(gains.flat[best]))


class Drafting:
    """A draft model that is asked where it pays, and no more after a failure.

    Args:
        model: what proposes.
        margin: a proposal must save so many times what it seems to cost.
        least_chance: tokens that are less likely to be right are not proposed.
        most_tokens: the longest proposal.
        trials: the share of all time and of all tokens that trials may take.
    """

    HORIZON = 64  # tokens that a text is expected to go on for, at most
    PAUSE = 16  # steps without another look, where nothing would have paid

    def __init__(
        self,
        model: DraftModel,
        *,
        margin: float,
        least_chance: float,
        most_tokens: int,
        trials: float,
    ) -> None:
        self._model = model
        self._has_failed = False
        self._margin = margin
        self._least_chance = least_chance
        self._most_tokens = most_tokens
        self._trials = trials
        self._n_trials, self._trial_seconds = 0, 0.0
        self._pause = 0

    @property
    def seconds(self) -> float:
        """What the model's steps took."""
        return self._model.seconds

    def is_due(self) -> bool:
        """Whether to call `propose` in this step; even to find that nothing pays takes time."""
        self._pause -= 1
        return self._pause < 0 and not self._has_failed

    def proposed(self, request: EngineRequest) -> list[int]:
        """What is left of the last proposal; empty where something else was drawn."""
        return [] if self._has_failed else self._model.proposed(request)

    def propose(
        self,
        requests: Sequence[EngineRequest],
        rates: Floats,
        verified: Floats,
        *,
        token_s: float,
        total_s: float,
        total_tokens: int,
    ) -> EngineRequest | None:
        """Has tokens proposed for the requests where that is expected to pay, or for one to try.

        Args:
            requests: those of which nothing likelier is known.
            rates: how often a proposed token is right for each; the highest first.
            verified: what 1, 2, ... more tokens in the large model's step take, in units of
                `token_s`.
            token_s: what a token takes that is drawn without any proposal, in seconds.
            total_s: what all steps have taken so far.
            total_tokens: how many tokens were in them.

        Returns:
            The one that is only tried; None if none is.
        """
        try:
            size = self._size(requests, rates, verified, token_s)
            if size.gain > 0.0:
                self._model.propose(requests[: size.n_requests], size.n_tokens)
                return None
            self._pause = self.PAUSE
            if self._n_trials < self._trials * total_tokens:
                return self._try(requests, float(verified[0]) * token_s, self._trials * total_s)
        except Exception as error:
            self._stop(error)
        return None

    def forget(self, request: EngineRequest) -> None:
        """Lets go of a request that has ended."""
        if self._has_failed:
            return
        try:
            self._model.forget(request)
        except Exception as error:
            self._stop(error)

    def _size(
        self,
        requests: Sequence[EngineRequest],
        rates: Floats,
        verified: Floats,
        token_s: float,
    ) -> DraftSize:
        model = self._model
        likely = int(np.count_nonzero(rates >= self._least_chance))
        if not likely:
            return DraftSize(0, 0, 0.0)
        pending = np.array([model.pending(request) for request in requests[:likely]])
        joined = np.minimum(pending, model.SHORT)
        # a long text is taken in once for all that is drawn behind it
        alone = np.where(pending > joined, model.step_seconds(pending), 0.0)
        alone /= [min(_tokens_left(request), self.HORIZON) for request in requests[:likely]]
        unit = self._margin / token_s
        return best_size(
            rates[:likely],
            unit * (model.step_seconds(joined.cumsum()) + alone.cumsum()),
            unit * model.step_seconds(np.arange(1, likely + 1)),
            verified,
            most=self._most_tokens,
            least=self._least_chance,
        )

    def _try(
        self,
        requests: Sequence[EngineRequest],
        verify_s: float,
        most_s: float,
    ) -> EngineRequest | None:
        """Has one token proposed where that costs least, unless all trials then exceed `most_s`."""
        model = self._model
        pending = np.array([model.pending(request) for request in requests])
        cheapest = int(pending.argmin())
        trial_s = float(model.step_seconds(pending[[cheapest]])[0]) + verify_s
        if self._trial_seconds + trial_s > most_s:
            return None
        self._n_trials += 1
        self._trial_seconds += trial_s
        model.propose([requests[cheapest]], 1)
        return requests[cheapest]

    def _stop(self, error: Exception) -> None:
        """Goes on without the draft model: no request may fail for it."""
        LOG.warning("the draft model failed and is not used any more: %r", error)
        self._has_failed = True
        self._model.forget_all()


def _tokens_left(request: EngineRequest) -> int:
    assert request.generation is not None
    return max(request.generation.tokens_left, 1)

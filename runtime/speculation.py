"""Speculative decoding: guessed tokens are evaluated along, and count where they are drawn.

A request's share of a batch may end with a draft. Its generation then draws from the logits behind
its own last token, and goes on with those behind the draft as long as it draws what the draft says
(`delivery.py`). So each token is drawn from the model's logits by the request's own sampler:
results are those of plain decoding, token by token, and no acceptance rule is needed (as for
speculative sampling, Leviathan et al., arXiv:2211.17192).

What is guessed, the cheapest first:

    open      text that is decided but not yet spelled, as the tokeniser would spell it: a prompt
              ending that healing backed up, the last token of forced text
    tree      what the prefix cache holds behind the same tokens: a repeated or resumed request
    ngram     what followed the same two or three tokens earlier in the same text
    draft     what a smaller model would say (`draft_model.py`), where nothing likelier is known

A guess costs what the step takes longer for it, and one of the smaller model that model's time as
well (`drafting.py`). Both sides are measured as the engine runs: step times by batch size, and how
often guesses of each kind come true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ..radix_cache.cache import RadixCache
from .draft_model import DraftModel
from .drafting import Drafting
from .ngrams import NgramSearch
from .step_times import StepTimes

if TYPE_CHECKING:
    from .request import EngineRequest
    from .slices import Slice

Source = Literal["tree", "ngram", "draft"]

MOST_TOKENS = 8
"""Longest draft, in tokens."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Guessed tokens: `n_open` that spell decided text, then others from `source`."""

    tokens: Sequence[int] = ()
    n_open: int = 0
    source: Source = "tree"

    def __len__(self) -> int:
        return len(self.tokens)

    def cut(self, n: int) -> Draft:
        """Its first `n` tokens."""
        return Draft(self.tokens[:n], self.n_open, self.source)


NO_DRAFT = Draft()


@dataclass(slots=True)
class Guesser:
    """What one request's guesses come from, and how often the next token of one was right."""

    rates: dict[Source, float]
    ngrams: NgramSearch = field(default_factory=NgramSearch)


class Speculation:
    """Drafts for the requests of a batch, where they are expected to save time.

    Args:
        cache: where earlier continuations are found.
        model: a smaller model that proposes others.

    Attributes:
        drafted: tokens drafted so far; `accepted`: those of them that were drawn.
    """

    OPEN_RATE = 0.9  # how often a guess is right before anything is known about it
    TREE_RATE = 0.8
    NGRAM_RATE = 0.3
    DRAFT_RATE = 0.8
    SMOOTHING = 0.25
    USUAL_SMOOTHING = 0.05  # of what new requests start with
    MARGIN = 1.2  # a draft must save so many times what it seems to cost
    WARY_MARGIN = 2.5  # while more were wrong than `TRIALS` allows for
    LIKELIEST = 0.9  # where even guesses as likely would not pay, nothing is looked up
    LEAST_CHANCE = 0.4  # less likely guesses are not made even where they cost next to nothing
    TRIALS = 1 / 256  # wrong tokens per evaluated one, up to which unlikely guesses are tried

    def __init__(self, cache: RadixCache, model: DraftModel | None = None) -> None:
        self._cache = cache
        self._times = StepTimes()
        self._open: dict[int, float] = {}  # rates by token
        self._usual: dict[Source, float] = {"tree": self.TREE_RATE, "ngram": self.NGRAM_RATE}
        self._drafting: Drafting | None = None
        if model is not None:
            self._usual["draft"] = self.DRAFT_RATE
            self._drafting = Drafting(
                model,
                margin=self.MARGIN,
                least_chance=self.LEAST_CHANCE,
                most_tokens=MOST_TOKENS,
                trials=self.TRIALS,
            )
        self._evaluated = 0
        self._seconds = 0.0
        self.drafted = self.accepted = 0

    @property
    def draft_seconds(self) -> float:
        """What the draft model took so far."""
        return 0.0 if self._drafting is None else self._drafting.seconds

    def observe_step(self, n_tokens: int, seconds: float) -> None:
        """Takes the time of a step."""
        self._times.observe(n_tokens, seconds)
        self._evaluated += n_tokens
        self._seconds += seconds

    def add_drafts(self, slices: Sequence[Slice], room: int) -> None:
        """Gives drafts of at most `room` tokens together to requests that draw in this step."""
        if room <= 0:
            return
        costs = self._costs(sum(map(len, slices)), len(slices), room)
        looks_up = costs is not None and self._may_pay(costs)
        guesses = [
            (piece, self._guess(piece.request, looks_up=looks_up))
            for piece in slices
            if piece.is_drawn
        ]
        tried = None
        drafting = self._drafting
        if drafting is not None and costs is not None and looks_up and drafting.is_due():
            tried = self._propose(drafting, guesses, costs, len(slices))
        if not any(draft for _, draft in guesses):
            return
        ranked = sorted(
            (-chance, at, index)
            for index, (piece, draft) in enumerate(guesses)
            for at, chance in enumerate(self._chances(piece.request, draft))
        )[:room]
        sizes = [0] * len(guesses)
        for _, _, index in ranked[: self._worth(ranked, costs)]:
            sizes[index] += 1
        for (piece, draft), size in zip(guesses, sizes, strict=True):
            piece.draft = draft.cut(size)
            if piece.request is tried and not size and sum(sizes) < room:
                piece.draft = draft.cut(1)

    def forget(self, request: EngineRequest) -> None:
        """Lets go of what is held for a request that has ended, or has to wait."""
        if self._drafting is not None:
            self._drafting.forget(request)

    def learn(self, request: EngineRequest, draft: Draft, right: int) -> None:
        """Takes how many leading tokens of a draft were drawn."""
        self.drafted += len(draft)
        self.accepted += right
        for at, token in enumerate(draft.tokens[: right + 1]):
            if at == right and request.is_finished:
                break  # it may not have been asked about
            is_right = float(at < right)
            if at < draft.n_open:
                rate = self._open.get(token, self.OPEN_RATE)
                self._open[token] = rate + self.SMOOTHING * (is_right - rate)
            else:
                rates, source = self._guesser(request).rates, draft.source
                rates[source] += self.SMOOTHING * (is_right - rates[source])
                usual = self._usual
                usual[source] += self.USUAL_SMOOTHING * (is_right - usual[source])

    def _costs(self, n_tokens: int, n_running: int, most: int) -> NDArray[np.float64] | None:
        """What 1, 2, ... more tokens cost in a step of `n_tokens`, float64[at most `most`].

        In units of what a token costs that is drawn in a step without drafts. None while no step
        was measured. Times of neighbouring sizes differ by less than the same step does from one
        time to the next, so the mean slope up to larger known sizes is the least that is believed.
        """
        more = np.arange(1, min(most, MOST_TOKENS * n_running) + 1)
        far = max(min(3 * n_tokens + 16, self._times.largest - n_tokens), 1)
        seconds = self._times.seconds(n_tokens + np.append(more, [n_running - n_tokens, 0, far]))
        if seconds is None:
            return None
        drawn, now, then = seconds[-3:]
        longer = np.maximum(seconds[:-3] - now, more * (then - now) / far)
        wrong = self.drafted - self.accepted
        margin = self.MARGIN if wrong <= self.TRIALS * self._evaluated else self.WARY_MARGIN
        costs: NDArray[np.float64] = margin * longer / (max(drawn, 1e-9) / n_running)
        return costs

    def _worth(
        self, ranked: Sequence[tuple[float, int, int]], costs: NDArray[np.float64] | None
    ) -> int:
        """How many of the guesses, the likeliest first, save most."""
        chances = -np.array([chance for chance, _, _ in ranked])
        likely = chances[chances >= self.LEAST_CHANCE]
        if costs is None:  # at the start of a prompt an open token costs next to nothing
            return len(likely)
        gains = np.cumsum(likely) - costs[: len(likely)]
        if len(gains) and gains.max() > 0.0:
            return int(gains.argmax()) + 1
        wrong = self.drafted - self.accepted
        is_trial = wrong < self.TRIALS * self._evaluated and self._may_pay(costs)
        return int(bool(ranked) and is_trial)

    def _may_pay(self, costs: NDArray[np.float64]) -> bool:
        """Whether likely guesses would pay: one alone may not where some together do."""
        return bool((costs < self.LIKELIEST * np.arange(1, len(costs) + 1)).any())

    def _guess(self, request: EngineRequest, *, looks_up: bool) -> Draft:
        generation = request.generation
        assert generation is not None
        try:
            opened = list(generation.open_tokens())[:MOST_TOKENS]
            if not opened and not looks_up:
                return NO_DRAFT
            source, found = self._look_up(request, opened) if looks_up else ("tree", [])
            tokens = generation.draftable([*opened, *found])
        except Exception:  # of the constraint; if such a text is drawn, the request ends with it
            return NO_DRAFT
        return Draft(tokens, len(opened), source)

    def _look_up(self, request: EngineRequest, opened: list[int]) -> tuple[Source, list[int]]:
        guesser, n = self._guesser(request), MOST_TOKENS - len(opened)
        assert request.lease is not None
        committed = request.lease.committed
        for source in sorted(guesser.rates, key=guesser.rates.__getitem__, reverse=True):
            if source == "tree":
                tail = [*request.tokens[committed:], *opened]
                found = self._cache.continuation(request.lease, tail, n)
            elif source == "ngram":
                found = guesser.ngrams.continuation(request.tokens, opened, n)
            else:
                assert self._drafting is not None
                found = [] if opened else self._drafting.proposed(request)
            if found:
                return source, found
        return "tree", []

    def _propose(
        self,
        drafting: Drafting,
        guesses: list[tuple[Slice, Draft]],
        costs: NDArray[np.float64],
        n_running: int,
    ) -> EngineRequest | None:
        """Puts the draft model's guesses in the place of less likely ones, where that may pay.

        Returns the request whose guess is only a trial, if there is one.
        """
        ranked = sorted(
            (-self._guesser(piece.request).rates["draft"], index)
            for index, (piece, draft) in enumerate(guesses)
            if self._is_open(piece.request, draft)
        )
        seconds = self._times.seconds(np.array([n_running]))
        if not ranked or seconds is None:
            return None
        tried = drafting.propose(
            [guesses[index][0].request for _, index in ranked],
            -np.array([rate for rate, _ in ranked]),
            costs,
            token_s=max(float(seconds[0]), 1e-9) / n_running,
            total_s=self._seconds,
            total_tokens=self._evaluated,
        )
        for _, index in ranked:
            piece = guesses[index][0]
            if found := drafting.proposed(piece.request):
                guesses[index] = piece, Draft(found, 0, "draft")
        return tried

    def _is_open(self, request: EngineRequest, draft: Draft) -> bool:
        """Whether the draft model could guess better; it knows neither images nor adapters."""
        if draft.n_open or request.adapter or request.images is not None:
            return False
        rates = self._guesser(request).rates
        return not draft or rates[draft.source] < rates["draft"]

    def _chances(self, request: EngineRequest, draft: Draft) -> list[float]:
        """For each token of a draft, how likely it is that all up to it are right."""
        chances: list[float] = []
        chance = 1.0
        for at, token in enumerate(draft.tokens):
            if at < draft.n_open:
                chance *= self._open.get(token, self.OPEN_RATE)
            else:
                chance *= self._guesser(request).rates[draft.source]
            chances.append(chance)
        return chances

    def _guesser(self, request: EngineRequest) -> Guesser:
        if request.guesser is None:
            request.guesser = Guesser(dict(self._usual))
        return request.guesser

"""Sampling against the definition in `SamplingParams`, computed here by brute force."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.errors import GrammarError, ParameterError
from treegram.lang.sampling import SamplingParams
from treegram.runtime.base import BoolMask
from treegram.runtime.sampler import Sampler, log_softmax_at, truncate

LOGITS = np.array([1.0, 3.0, 2.0, -1.0, 2.5, 0.0], np.float32)
CHI_SQUARE_999 = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52}


class MaskMatcher:
    """A constraint that is only a mask."""

    is_accepting = True
    is_done = False

    def __init__(self, mask: list[bool]) -> None:
        self._mask = np.array(mask)

    def mask(self) -> BoolMask:
        return self._mask

    def allows(self, token: int) -> bool:
        return bool(self._mask[token])

    def advance(self, token: int) -> None: ...

    def forced(self) -> list[int]:
        return []

    def open_tokens(self) -> list[int]:
        return []

    def legal_prefix(self, tokens: Sequence[int]) -> int:
        return len(tokens)


def distribution(params: SamplingParams, mask: list[bool]) -> dict[int, float]:
    """The definition, written out: mask, temperature, softmax, top-k, top-p, min-p, renormalise."""
    weights = {
        t: math.exp(float(LOGITS[t]) / params.temperature) for t, ok in enumerate(mask) if ok
    }
    total = sum(weights.values())
    ranked = sorted(((w / total, t) for t, w in weights.items()), reverse=True)
    if params.top_k:
        ranked = ranked[: params.top_k]
    total = sum(p for p, _ in ranked)
    kept: list[tuple[float, int]] = []
    for p, t in ranked:
        if sum(q for q, _ in kept) >= params.top_p:
            break
        kept.append((p / total, t))
    kept = [(p, t) for p, t in kept if p >= params.min_p * kept[0][0]]
    total = sum(p for p, _ in kept)
    return {t: p / total for p, t in kept}


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=1.0, seed=1),
        SamplingParams(temperature=0.7, top_k=3, seed=2),
        SamplingParams(temperature=1.3, top_p=0.8, seed=3),
        SamplingParams(temperature=1.0, min_p=0.3, seed=4),
        SamplingParams(temperature=0.9, top_k=4, top_p=0.9, min_p=0.05, seed=5),
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "mask", [[True] * 6, [True, False, True, True, False, True]], ids=["free", "masked"]
)
def test_draws_follow_the_defined_distribution(params: SamplingParams, mask: list[bool]) -> None:
    """Chi-square at the 99.9% level over 4,000 draws with a fixed seed."""
    sampler, n = Sampler(params), 4000
    counts = Counter(sampler.draw(LOGITS, MaskMatcher(mask)).token for _ in range(n))
    expected = distribution(params, mask)
    assert set(counts) <= set(expected)
    statistic = sum((counts[t] - n * p) ** 2 / (n * p) for t, p in expected.items())
    assert len(expected) == 1 or statistic < CHI_SQUARE_999[len(expected) - 1]


@given(st.lists(st.booleans(), min_size=6, max_size=6).filter(any))
def test_greedy_is_the_best_legal_token(mask: list[bool]) -> None:
    best = max((t for t in range(6) if mask[t]), key=lambda t: LOGITS[t])
    assert Sampler(SamplingParams()).draw(LOGITS, MaskMatcher(mask)).token == best


def test_a_seed_fixes_the_draws() -> None:
    params = SamplingParams(temperature=1.0, seed=42)
    first, second = Sampler(params), Sampler(params)
    draws = [first.draw(LOGITS, None).token for _ in range(20)]
    assert draws == [second.draw(LOGITS, None).token for _ in range(20)]


def test_logprobs_are_of_the_masked_distribution() -> None:
    mask = [True, False, True, True, False, True]
    draw = Sampler(SamplingParams(logprobs=2)).draw(LOGITS, MaskMatcher(mask))
    total = sum(math.exp(float(LOGITS[t])) for t in range(6) if mask[t])
    assert draw.token == 2
    assert draw.logprob == pytest.approx(float(LOGITS[2]) - math.log(total))
    assert [t for t, _ in draw.top] == [2, 0]


def test_penalties_and_bias_change_the_choice() -> None:
    sampler = Sampler(SamplingParams(frequency_penalty=0.4))
    assert sampler.draw(LOGITS, None).token == 1
    sampler.saw(1)
    sampler.saw(1)
    assert sampler.draw(LOGITS, None).token == 4
    repeated = Sampler(SamplingParams(repetition_penalty=2.0), prompt=[1, 4])
    assert repeated.draw(LOGITS, None).token == 2
    biased = Sampler(SamplingParams(logit_bias={3: 100.0, 1: -math.inf}))
    assert biased.draw(LOGITS, None).token == 3
    present = Sampler(SamplingParams(presence_penalty=0.6))
    present.saw(1)
    assert present.draw(LOGITS, None).token == 4


def test_no_legal_token_is_an_error() -> None:
    with pytest.raises(GrammarError, match="no token is legal"):
        Sampler(SamplingParams()).draw(LOGITS, MaskMatcher([False] * 6))


def test_log_softmax_at() -> None:
    expected = LOGITS - np.log(np.exp(LOGITS.astype(np.float64)).sum())
    assert log_softmax_at(LOGITS, [4, 0]) == pytest.approx(expected[[4, 0]], abs=1e-6)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("min_p", 2.0),
        ("repetition_penalty", 0.0),
        ("frequency_penalty", math.inf),
        ("seed", -1),
        ("logprobs", 101),
    ],
)
def test_parameters_out_of_range_are_named(parameter: str, value: float) -> None:
    with pytest.raises(ParameterError) as caught:
        SamplingParams(**{parameter: value})  # type: ignore[arg-type]
    assert caught.value.parameter == parameter


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.999), st.integers(0, 3))
@settings(max_examples=60)
def test_top_p_of_a_large_vocabulary_is_the_smallest_nucleus(
    seed: int, top_p: float, sharpness: int
) -> None:
    """Most tokens are left out of the sort; none of the nucleus may be among them."""
    weights = np.random.default_rng(seed).random(2000) ** (10**sharpness)
    probabilities = weights / weights.sum()
    kept, renormalised = truncate(probabilities, SamplingParams(temperature=1, top_p=top_p))
    ranked = np.sort(probabilities)[::-1]
    mass = np.cumsum(ranked)
    size = min(int((mass < top_p).sum()) + 1, len(ranked))
    assert len(kept) == size or abs(mass[min(len(kept), size) - 1] - top_p) < 1e-12
    assert renormalised == pytest.approx(ranked[: len(kept)] / mass[len(kept) - 1])


def test_a_tiny_temperature_is_greedy() -> None:
    draw = Sampler(SamplingParams(temperature=1e-300, seed=1)).draw(LOGITS, None)
    assert draw.token == 1


@pytest.mark.parametrize("bias", [math.inf, math.nan])
def test_a_bias_that_is_no_number_is_refused(bias: float) -> None:
    with pytest.raises(ParameterError, match="logit_bias"):
        SamplingParams(logit_bias={3: bias})


def test_images_in_the_prompt_are_no_occurrences() -> None:
    """They are negative numbers there, which would count from the end of the vocabulary."""
    params = SamplingParams(temperature=0.0, repetition_penalty=2.0)
    for prompt, best in (((-5, -2), 1), ((0, -(2**31)), 1), ((1, -5), 4)):
        assert Sampler(params, prompt).draw(LOGITS, None).token == best

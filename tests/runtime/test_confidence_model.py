"""Confidence through the whole of treegram, with the embedded model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import pytest

import treegram as tg
from treegram.lang.scripted import ScriptedBackend
from treegram.runtime.model import Model

REVIEW = "The kettle broke after two days and nobody answered my mails. One star, do not buy it."


@dataclass
class Review:
    stars: Literal[1, 2, 3, 4, 5]
    sentiment: Literal["positive", "negative", "neutral"]
    recommended: bool


@tg.function
def review(s: tg.State, text: str, options: dict[str, Any]) -> None:
    s += tg.user(f"Stars, sentiment and whether the review recommends to buy, as JSON.\n{text}")
    s += tg.assistant(tg.gen("review", schema=Review, **options))


@tg.function
def sentiment(s: tg.State, text: str) -> None:
    s += tg.user(f"Is this review positive or negative?\n{text}")
    s += tg.assistant(tg.select("sentiment", ["positive", "negative", "neutral"]))


@pytest.mark.model
@pytest.mark.slow
def test_every_field_has_its_own(embedded_model: Model) -> None:
    plain = review.run(REVIEW, {}, model=embedded_model)
    state = review.run(REVIEW, {"confidence": True}, model=embedded_model)
    sure = state.meta("review").confidence
    assert sure is not None
    assert plain.meta("review").confidence is None
    assert plain["review"] == state["review"]
    assert list(sure.fields) == ["$.stars", "$.sentiment", "$.recommended"]
    assert 0 < sure.probability <= sure.weakest <= 1
    product = math.prod(found.probability for found in sure.fields.values())
    assert sure.probability == pytest.approx(product)  # no token lies in two of these fields
    assert sure["stars"].margin <= sure["stars"].probability


@pytest.mark.model
@pytest.mark.slow
def test_samples_have_the_same_whatever_the_sampler(embedded_model: Model) -> None:
    """The first field stands behind the same text in all samples."""
    options = {"confidence": True, "temperature": 3.0, "n": 8, "seed": 5}
    state = review.run(REVIEW, options, model=embedded_model)
    by_stars: dict[int, float] = {}
    for index, made in enumerate(state["review"]):
        sure = state.meta("review", index).confidence
        assert sure is not None
        known = by_stars.setdefault(made.stars, sure["stars"].probability)
        assert sure["stars"].probability == pytest.approx(known, abs=0.05)  # quantised weights
    assert len(by_stars) > 1
    assert sum(by_stars.values()) < 1.05


@pytest.mark.model
@pytest.mark.slow
def test_select_always_has_it(embedded_model: Model) -> None:
    state = sentiment.run(REVIEW, model=embedded_model)
    sure = state.meta("sentiment").confidence
    assert sure is not None
    assert sure.text == state["sentiment"]
    assert 0 < sure.margin < sure.probability < 1


def test_a_backend_that_measures_nothing() -> None:
    text = '{"stars": 1, "sentiment": "negative", "recommended": false}'
    state = review.run(REVIEW, {"confidence": True}, model=ScriptedBackend([text]))
    assert state.meta("review").confidence is None


def test_the_flag_is_checked() -> None:
    with pytest.raises(tg.ParameterError, match="confidence: expected True or False, got 1"):
        tg.gen("x", confidence=1)  # type: ignore[arg-type]

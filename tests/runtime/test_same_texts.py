"""Requests whose texts are the same draw from the same logits until they differ."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from treegram.lang.base import GenRequest
from treegram.lang.sampling import SamplingParams
from treegram.runtime.base import Vocabulary
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder
from treegram.runtime.generation import Generation
from treegram.runtime.request import EngineRequest

N_VOCAB = 6
VOCABULARY = Vocabulary((b"", *(bytes([96 + i]) for i in range(1, N_VOCAB))), frozenset({0}))
PROMPT = [1, 2, 3, 4, 5, 1]


def generate(
    engine: Engine, params: Sequence[SamplingParams], namespaces: Sequence[str] = ()
) -> list[list[int]]:
    """The tokens that requests for the same prompt get, all started together."""
    generations = [
        Generation(GenRequest((), one, max_tokens=24, ignore_eos=True), VOCABULARY)
        for one in params
    ]
    ended: list[BaseException | None] = []
    for at, generation in enumerate(generations):
        namespace = namespaces[at] if namespaces else ""
        engine.submit(
            EngineRequest(
                list(PROMPT),
                len(PROMPT) - 1,
                lambda _, error: ended.append(error),
                generation,
                namespace=namespace,
            )
        )
    while engine.stats().running or engine.stats().waiting or not ended:
        engine.step()
        engine.cache.check_integrity()
    assert ended == [None] * len(generations)
    return [generation.tokens for generation in generations]


@pytest.mark.parametrize("speculate", [False, True])
def test_the_same_text_is_evaluated_once(speculate: bool) -> None:
    decoder = FakeDecoder(n_cells=512, n_vocab=N_VOCAB)
    engine = Engine(decoder, measure_minimum=True, speculate=speculate)
    texts = generate(engine, [SamplingParams()] * 5)
    assert texts == texts[:1] * 5
    stats = engine.stats()
    # the last token drawn comes before nothing
    assert stats.evaluated_tokens - stats.rejected_tokens == stats.minimum_tokens
    assert stats.minimum_tokens == len(PROMPT) + 23
    engine.cache.clear()
    assert decoder.held_cells == 0


@pytest.mark.parametrize("speculate", [False, True])
@pytest.mark.parametrize("n_cells", [512, 48])
def test_texts_that_part_are_what_each_would_be_alone(n_cells: int, speculate: bool) -> None:
    """Also where the context holds few of them at a time."""
    params = [SamplingParams(temperature=0.5, seed=seed) for seed in range(6)]
    alone = [
        generate(Engine(FakeDecoder(n_cells=512, n_vocab=N_VOCAB)), [one])[0] for one in params
    ]
    decoder = FakeDecoder(n_cells=n_cells, n_vocab=N_VOCAB)
    engine = Engine(decoder, measure_minimum=True, speculate=speculate)
    assert generate(engine, params) == alone
    assert len({tuple(text) for text in alone}) > 1, "a test of texts that part"
    stats = engine.stats()
    if n_cells == 512:
        assert stats.evaluated_tokens - stats.rejected_tokens == stats.minimum_tokens
    engine.cache.clear()
    assert decoder.held_cells == 0


def test_tenants_share_no_text() -> None:
    decoder = FakeDecoder(n_cells=512, n_vocab=N_VOCAB)
    engine = Engine(decoder)
    texts = generate(engine, [SamplingParams()] * 2, ["a", "b"])
    assert texts[0] == texts[1]
    assert decoder.evaluated_tokens == 2 * (len(PROMPT) + 23)

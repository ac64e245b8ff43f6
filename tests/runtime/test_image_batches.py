"""Images in the engine, without a model: who shares a batch, and what is guessed beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.base import GenRequest
from treegram.lang.errors import EngineError
from treegram.lang.sampling import SamplingParams
from treegram.runtime.base import Batch, Vocabulary
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder, fake_logits
from treegram.runtime.generation import Generation
from treegram.runtime.pseudo_tokens import Embeddings, ImagePart, ImageTokens, PromptImages
from treegram.runtime.request import EngineRequest

N_VOCAB = 8
VOCABULARY = Vocabulary((b"", *(bytes([96 + i]) for i in range(1, N_VOCAB))), frozenset({0}))
SIZES = (1, 3, 20)
"""Positions of the images; the last one takes several chunks."""


class FakeImage:
    """Embeddings that say which image and place they are of."""

    def __init__(self, name: int, n: int, error: EngineError | None = None) -> None:
        self.name, self.error = name, error
        self.parts = (ImagePart((), n),)

    def encode(self) -> Embeddings:
        if self.error is not None:
            raise self.error
        return np.array([[self.name, i] for i in range(self.parts[0].n_embeddings)], np.float32)


IMAGES = [ImageTokens(FakeImage(i, n), b"%d" % i) for i, n in enumerate(SIZES)]
ROWS = {token: (i, at) for i, image in enumerate(IMAGES) for at, token in enumerate(image.tokens)}


class Watching(FakeDecoder):
    """Its logits depend on the last two tokens, so texts repeat; it sees that batches are pure."""

    def __init__(self, n_cells: int) -> None:
        super().__init__(n_cells=n_cells, n_vocab=N_VOCAB, n_batch=16)
        self.now = 0.0

    def decode(self, batch: Batch) -> None:
        tokens = batch.tokens.tolist()
        if batch.embeddings is None:
            assert min(tokens) >= 0
        else:
            assert batch.embeddings.tolist() == [list(ROWS[token]) for token in tokens]
        super().decode(batch)
        self.now += 10.0 + 0.01 * len(tokens)  # guesses cost next to nothing
        for i in self._logits:
            held = self.read(int(batch.seqs[i]))[: int(batch.positions[i]) + 1]
            self._logits[i] = fake_logits(held[-2:], self.n_vocab)


def plain(prompt: list[int], n: int) -> list[int]:
    """What greedy decoding gives, one token after the other."""
    tokens = list(prompt)
    for _ in range(n):
        tokens.append(int(fake_logits(tokens[-2:], N_VOCAB).argmax()))
        if tokens[-1] == 0:
            return tokens[len(prompt) : -1]
    return tokens[len(prompt) :]


def request_of(
    parts: Sequence[int | ImageTokens], n: int, ended: list[BaseException | None]
) -> EngineRequest:
    """A greedy request for `n` tokens, whose error, or None, is added to `ended`."""
    tokens: list[int] = []
    for part in parts:
        tokens += part.tokens if isinstance(part, ImageTokens) else [part]
    images = [part for part in parts if isinstance(part, ImageTokens)]
    params = SamplingParams(temperature=0.0)
    return EngineRequest(
        tokens,
        len(tokens) - 1,
        lambda _, error: ended.append(error),
        Generation(GenRequest((), params, max_tokens=n), VOCABULARY, None, tokens),
        images=PromptImages(images) if images else None,
    )


def run(engine: Engine) -> None:
    for _ in range(2000):
        engine.step()
        engine.cache.check_integrity()
        if not engine.stats().running and not engine.stats().waiting:
            return
    pytest.fail("the engine did not finish")


parts = st.lists(st.one_of(st.integers(1, 3), st.sampled_from(IMAGES)), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(parts, st.integers(1, 12)), min_size=1, max_size=6),
    st.sampled_from([190, 400]),
)
def test_batches_are_of_one_kind_and_outputs_those_of_plain_decoding(
    asked: list[tuple[list[int | ImageTokens], int]], n_cells: int
) -> None:
    """Asked twice, and then about one image more, which is where the cache's guesses lead."""
    decoder = Watching(n_cells)
    engine = Engine(decoder, speculate=True, max_running=3, clock=lambda: decoder.now)
    rounds: list[list[int | ImageTokens]] = [[], [], [IMAGES[1], 1], [], []]
    for more in rounds:
        ended: list[BaseException | None] = []
        requests: list[EngineRequest] = []
        for prompt, n in asked:
            said = plain(request_of(prompt, n, []).tokens, n)
            requests.append(request_of([*prompt, *said, *more] if more else prompt, n, ended))
        expected = [
            plain(request.tokens, n) for request, (_, n) in zip(requests, asked, strict=True)
        ]
        for request in requests:
            engine.submit(request)
        run(engine)
        assert ended == [None] * len(asked)
        for request, tokens in zip(requests, expected, strict=True):
            assert request.generation is not None
            assert request.generation.tokens == tokens


def test_an_image_that_cannot_be_encoded_fails_its_own_request_only() -> None:
    broken = ImageTokens(FakeImage(9, 4, EngineError("no memory")), b"9")
    decoder, ended = Watching(190), list[BaseException | None]()
    engine = Engine(decoder, clock=lambda: decoder.now)
    for image in (IMAGES[1], broken, IMAGES[2]):
        engine.submit(request_of([1, image, 2], 3, ended))
    run(engine)
    assert sorted(map(str, ended)) == ["None", "None", "no memory"]

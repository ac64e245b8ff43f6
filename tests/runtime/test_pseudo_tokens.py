"""Pseudo tokens: negative, named by content, and each one its own embedding."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treegram.runtime.pseudo_tokens import (
    Embeddings,
    ImagePart,
    ImageTokens,
    PromptImages,
    pseudo_tokens,
)

PARTS = (ImagePart((5, 6), 0), ImagePart((), 3), ImagePart((7,), 0), ImagePart((), 2))


class FakeImage:
    """Embeddings that say which image and place they are of."""

    def __init__(self, name: int, parts: tuple[ImagePart, ...]) -> None:
        self.name, self.parts = name, parts
        self.encoded = 0

    def encode(self) -> Embeddings:
        self.encoded += 1
        n = sum(part.n_embeddings for part in self.parts)
        return np.array([[self.name, i] for i in range(n)], np.float32)


@given(st.binary(), st.integers(1, 300))
def test_they_are_negative_int32_that_depend_on_content_and_place(content: bytes, n: int) -> None:
    tokens = pseudo_tokens(content, n)
    assert all(-(2**31) <= token < 0 for token in tokens)
    assert tokens == pseudo_tokens(content, n + 1)[:n]
    assert tokens[0] != pseudo_tokens(content + b"!", 1)[0]
    assert len(set(tokens)) == n


def test_the_models_own_tokens_stand_around_the_parts_of_an_image() -> None:
    image = ImageTokens(FakeImage(0, PARTS), b"cat")
    ids = pseudo_tokens(b"cat", 5)
    assert image.tokens == (5, 6, *ids[:3], 7, *ids[3:])


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_a_stretch_of_pseudo_tokens_has_its_rows(sizes: list[int], data: st.DataObject) -> None:
    fakes = [FakeImage(i, (ImagePart((), size),)) for i, size in enumerate(sizes)]
    images = PromptImages([ImageTokens(fake, b"%d" % fake.name) for fake in fakes])
    whole = [(i, at) for i, size in enumerate(sizes) for at in range(size)]
    first = data.draw(st.integers(0, len(whole) - 1))
    stop = data.draw(st.integers(first + 1, len(whole)))
    rows = [tuple(map(int, row)) for part in images.rows(first, stop) for row in part]
    assert rows == whole[first:stop]
    touched = {i for i, _ in whole[first:stop]}
    assert {fake.name for fake in fakes if fake.encoded} == touched
    assert images.rows(stop, stop) == []


def test_an_image_is_encoded_once_by_however_many_threads() -> None:
    fake = FakeImage(0, PARTS)
    image = ImageTokens(fake, b"cat")
    threads = [threading.Thread(target=image.embeddings) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fake.encoded == 1
    with pytest.raises(ValueError, match="read-only"):
        image.embeddings()[0] = 1

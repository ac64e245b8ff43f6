"""Images among tokens: what stands for one in a prompt, in the cache and in a batch.

An image is a run of embeddings, and those have no token ids. So each is given a *pseudo token*, a
negative number made of the image's content and its place in it. The tree, forks, parking, the disk
and kept logits then take images for text that no tokeniser writes. Only a batch knows better: it
holds the embeddings instead, which are computed when a request needs them for the first time.

Two images get the same first pseudo token with a probability of 2^-31, and the same n of them with
one of 2^-31n.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Embeddings = NDArray[np.float32]


class ImagePart(NamedTuple):
    """A run of an image as the model reads it: token ids, or so many embeddings."""

    tokens: tuple[int, ...]
    n_embeddings: int


class ReadImage(Protocol):
    """An image cut up for a model (`llama_vision.LlamaImage`)."""

    @property
    def parts(self) -> Sequence[ImagePart]:
        """What the model reads, in order."""
        ...

    def encode(self) -> Embeddings:
        """float32[n, n_embd] for all parts together. Slow; raises EngineError."""
        ...


def pseudo_tokens(content: bytes, n: int) -> list[int]:
    """`n` negative int32 numbers for the embeddings of an image, by SHAKE-128."""
    numbers = np.frombuffer(hashlib.shake_128(content).digest(4 * n), "<i4")
    negative: list[int] = (numbers | np.iinfo(np.int32).min).tolist()
    return negative


class ImageTokens:
    """One image in tokens. Thread-safe.

    Args:
        image: what was read; let go once it is encoded.
        content: names the image and the projector that reads it.

    Attributes:
        tokens: the tokens that the model wants around the image, and its pseudo tokens.
        n_embeddings: how many of those are pseudo tokens.
    """

    def __init__(self, image: ReadImage, content: bytes) -> None:
        self.n_embeddings = sum(part.n_embeddings for part in image.parts)
        ids = iter(pseudo_tokens(content, self.n_embeddings))
        self.tokens: tuple[int, ...] = ()
        for part in image.parts:
            self.tokens += part.tokens or tuple(islice(ids, part.n_embeddings))
        self._image: ReadImage | None = image
        self._embeddings: Embeddings | None = None
        self._lock = threading.Lock()

    def embeddings(self) -> Embeddings:
        """float32[n_embeddings, n_embd], shared and read-only; computed by the first call.

        Raises EngineError.
        """
        with self._lock:
            if self._embeddings is None:
                assert self._image is not None
                self._embeddings = self._image.encode()
                self._embeddings.flags.writeable = False
                self._image = None
            return self._embeddings


class PromptImages:
    """The images of one prompt, in order: which embeddings its pseudo tokens are.

    Pseudo tokens are counted through, so that it does not matter what text stands between them.
    """

    def __init__(self, images: Sequence[ImageTokens]) -> None:
        self._images = images

    def rows(self, first: int, stop: int) -> list[Embeddings]:
        """Embeddings of the pseudo tokens [first, stop), float32[n, n_embd] for each image.

        Raises EngineError.
        """
        rows: list[Embeddings] = []
        start = 0
        for image in self._images:
            end = start + image.n_embeddings
            if max(first, start) < min(stop, end):
                rows.append(image.embeddings()[max(first - start, 0) : stop - start])
            start = end
        return rows

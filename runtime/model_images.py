"""A model's eyes: its projector, and the images that it read last."""

from __future__ import annotations

from pathlib import Path

from ..lang.compiler.shared_cache import SharedCache
from ..lang.images import Picture
from .gguf_check import check_projector
from .kv_binding import whole_digest
from .llama import LlamaModel
from .llama_vision import Projector
from .pseudo_tokens import ImageTokens

IMAGES_KEPT = 8
"""Images that are kept, least recently used out first: embeddings are some MB each, the pixels of
one that was not encoded yet up to 50 MB."""


class ModelImages:
    """Images as a model reads them, each read and encoded once while it is kept. Thread-safe.

    Args:
        path: the projector.
        llama: the model, which must outlive this; see `Projector` for the rest.

    Raises:
        ModelError: `path` is missing, damaged or no projector of this model; or it is one whose
            images cannot be evaluated here.
    """

    def __init__(
        self, path: Path, llama: LlamaModel, *, n_threads: int, n_gpu_layers: int, exact: bool
    ) -> None:
        check_projector(path, llama.path)
        self._projector = Projector(
            path, llama, n_threads=n_threads, n_gpu_layers=n_gpu_layers, exact=exact
        )
        self._name = whole_digest(path)
        self._kept = SharedCache[str, ImageTokens](IMAGES_KEPT)

    def tokens(self, picture: Picture) -> ImageTokens:
        """An image's tokens. Raises ParameterError if it cannot be decoded."""

        def read() -> ImageTokens:
            content = f"{self._name} {picture.digest}".encode()
            return ImageTokens(self._projector.read(picture.data), content)

        return self._kept.get(picture.digest, read)

    def close(self) -> None:
        """Frees the projector. Idempotent; nobody may be encoding."""
        self._projector.close()

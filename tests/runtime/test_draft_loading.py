"""Which files may draft for which, and that real llama.cpp says the same with them as without."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from treegram.lang.base import GenRequest, GenResult, Text
from treegram.lang.errors import ModelError, ParameterError
from treegram.runtime.draft_loading import vocabulary_difference
from treegram.runtime.drafting import Drafting, DraftSize
from treegram.runtime.engine_process.codec import decode, encode
from treegram.runtime.llama import LlamaModel
from treegram.runtime.loading import load_module
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.speculation import Speculation
from treegram.runtime.stats import EngineStats

TINY = load_module(Path(__file__).with_name("tiny_models.py"))
PROMPTS = ("One two three four. One two", "Ask me no questions", "Ask me no more")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TINY.write_plain_model(tmp_path_factory.mktemp("tiny") / "plain.gguf")  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same vocabulary, other weights."""
    noise = np.random.default_rng(1).standard_normal((TINY.WIDTH, TINY.WIDTH)).astype(np.float32)
    merged = {f"blk.{i}.attn_q.weight": noise for i in range(2)}
    path = tmp_path_factory.mktemp("other") / "other.gguf"
    return TINY.write_plain_model(path, merged)  # type: ignore[no-any-return]


@pytest.fixture
def drafts_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four tokens are proposed for everyone, and evaluated, whatever this machine's times are."""
    monkeypatch.setattr(Speculation, "LEAST_CHANCE", 0.0)
    monkeypatch.setattr(Speculation, "_costs", lambda *_: np.linspace(1e-6, 1e-5, 64))
    monkeypatch.setattr(
        Drafting, "_size", lambda self, requests, *_: DraftSize(len(requests), 4, 1.0)
    )


def answers(path: Path, n: int, **options: object) -> tuple[list[str], EngineStats]:
    """What a model says to all prompts at once."""
    shape: Mapping[str, object] = {"n_ctx": 512, "n_threads": 1, "exact": True, **options}
    model = Model("m", path, ModelOptions(**shape))  # type: ignore[arg-type]
    try:
        handles = [
            model.submit(GenRequest((Text(prompt),), max_tokens=n, ignore_eos=True))
            for prompt in PROMPTS
        ]
        results = [handle.result(120) for handle in handles]
        assert all(isinstance(result, GenResult) for result in results)
        return [result.text for result in results if isinstance(result, GenResult)], model.stats()
    finally:
        model.close()


@pytest.mark.usefixtures("drafts_always")
def test_a_model_that_drafts_for_itself_is_always_right(tiny: Path) -> None:
    plain, before = answers(tiny, 24)
    drafted, after = answers(tiny, 24, draft=tiny)
    assert drafted == plain
    assert after.rejected_tokens <= before.rejected_tokens
    assert after.accepted_tokens > 30
    assert after.steps < before.steps / 2
    assert after.draft_seconds > 0


@pytest.mark.usefixtures("drafts_always")
def test_a_model_of_other_weights_changes_nothing(tiny: Path, other: Path) -> None:
    plain, _ = answers(tiny, 24)
    drafted, stats = answers(tiny, 24, draft=other)
    assert drafted == plain
    assert stats.rejected_tokens > 30


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.usefixtures("drafts_always")
def test_the_embedded_model_drafts_for_itself(f32_model: LlamaModel) -> None:
    plain, before = answers(f32_model.path, 10)
    drafted, after = answers(f32_model.path, 10, draft=f32_model.path)
    assert drafted == plain
    assert after.rejected_tokens <= before.rejected_tokens
    assert after.steps < before.steps


def test_another_vocabulary_is_refused(tiny: Path, embedded_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot draft for plain.gguf: token 0 is .* there and"):
        Model("m", tiny, ModelOptions(draft=embedded_path, n_ctx=256, prepared_bytes=0))


def test_a_vocabulary_is_compared_token_by_token(
    vocabulary_model: LlamaModel, tiny: Path, tmp_path: Path
) -> None:
    assert vocabulary_difference(vocabulary_model, vocabulary_model) is None
    llama = LlamaModel(TINY.write_vocabulary("llama", tmp_path), vocab_only=True)
    found = vocabulary_difference(vocabulary_model, llama)
    llama.close()
    assert found is not None
    assert "token 0 is the control token '<unk>' there" in found
    assert "<|endoftext|>" in found


def test_a_state_cannot_draft(tiny: Path, tmp_path: Path) -> None:
    state = TINY.write_tiny_model("mamba2", tmp_path)
    with pytest.raises(ModelError, match="its state cannot go back"):
        Model("m", tiny, ModelOptions(draft=state, n_ctx=256, n_threads=1))


def test_a_model_that_keeps_a_state_is_not_drafted_for(
    tiny: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = TINY.write_tiny_model("mamba2", tmp_path)
    with caplog.at_level(logging.WARNING):
        texts, stats = answers(state, 4, draft=tiny)
    assert "nothing is drafted: m keeps a state" in caplog.text
    assert (texts, stats.drafted_tokens) == (answers(state, 4)[0], 0)


def test_closing_the_model_frees_its_draft_model(tiny: Path) -> None:
    model = Model("m", tiny, ModelOptions(draft=tiny, n_ctx=256, n_threads=1))
    assert model._draft is not None
    context = model._draft.model._decoder
    model.close()
    assert not context._finalizer.alive  # type: ignore[attr-defined]
    assert not context._model._finalizer.alive  # type: ignore[attr-defined]


def test_the_option_travels_and_is_checked(tiny: Path) -> None:
    options = ModelOptions(draft=tiny)
    assert decode(encode(options)) == options
    with pytest.raises(ParameterError, match="speculate"):
        ModelOptions(draft=tiny, speculate=False)


def test_a_draft_that_is_not_there_costs_no_loading(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treegram.runtime.model.LlamaModel", lambda *_, **__: pytest.fail("loads"))
    with pytest.raises(ModelError, match=r"none\.gguf"):
        Model("m", tiny, ModelOptions(draft=tmp_path / "none.gguf", n_ctx=256))

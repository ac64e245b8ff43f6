"""Images: evaluated as libmtmd's own helper does, once, and told apart by their content.

On a tiny F32 model with a tiny projector, where another image moves logits by 0.01 and more.
"""

from __future__ import annotations

import ctypes
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp.mtmd_cpp
import numpy as np
import pytest

import treegram as tg
from treegram.lang.base import GenRequest, GenResult, Prompt, SelectRequest, SelectResult, Text
from treegram.lang.errors import ModelError, ParameterError
from treegram.lang.images import Picture, picture_of
from treegram.lang.sampling import SamplingParams
from treegram.runtime.base import Batch
from treegram.runtime.engine_process import ModelProcess
from treegram.runtime.llama import LlamaModel, ll
from treegram.runtime.llama_context import LlamaContext
from treegram.runtime.llama_vision import LlamaImage, Projector
from treegram.runtime.loading import load_module
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions

pytestmark = pytest.mark.slow

TINY = load_module(Path(__file__).with_name("tiny_models.py"))
EYES = load_module(Path(__file__).with_name("tiny_projectors.py"))
mtmd: Any = llama_cpp.mtmd_cpp
TOLERANCE = 1e-3
DAMAGE = 1e-2
N_VOCAB = 259
CAT, DOG = (picture_of(EYES.png(seed)) for seed in (1, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images")
    TINY.write_plain_model(path / "model.gguf")
    EYES.write_projector(path / "mmproj.gguf", TINY.WIDTH)
    return path


@pytest.fixture(scope="module")
def options(folder: Path) -> ModelOptions:
    return ModelOptions(
        n_ctx=256,
        n_threads=1,
        max_running=8,
        chunk_tokens=16,
        idle_cells=32,
        exact=True,
        measure_minimum=True,
        projector=folder / "mmproj.gguf",
    )


@pytest.fixture
def model(folder: Path, options: ModelOptions) -> Iterator[Model]:
    loaded = Model("tiny", folder / "model.gguf", options)
    yield loaded
    loaded.close()


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[LlamaImage]:
    """The images that were encoded, in order."""
    seen: list[LlamaImage] = []
    encode = LlamaImage.encode

    def counted(image: LlamaImage) -> Any:
        seen.append(image)
        return encode(image)

    monkeypatch.setattr(LlamaImage, "encode", counted)
    return seen


def prompt(*parts: str | Picture) -> Prompt:
    return tuple(Text(part) if isinstance(part, str) else part for part in parts)


def request(*parts: str | Picture, max_tokens: int = 1) -> GenRequest:
    """Greedy, with the log-probabilities of the likeliest tokens."""
    params = SamplingParams(temperature=0.0, logprobs=100)
    return GenRequest(prompt(*parts), params, max_tokens=max_tokens, heal=False)


def run(model: Model, *parts: str | Picture) -> tuple[GenResult, np.ndarray]:
    """A generation, and the log-probabilities of its first token, as `logprobs_of`."""
    result = model.submit(request(*parts)).result(timeout=60)
    assert isinstance(result, GenResult)
    return result, logprobs_of(result)


def logprobs_of(result: GenResult) -> np.ndarray:
    """float64[n_vocab], NaN for unlikely tokens."""
    assert result.logprobs is not None
    found = np.full(N_VOCAB, np.nan)
    for token, _, logprob in result.logprobs[0].top:
        found[token] = logprob
    return found


class Truth:
    """What libmtmd's own helper evaluates, from nothing."""

    def __init__(self, model: Path, projector: Path | None) -> None:
        assert projector is not None
        self.model = LlamaModel(model)
        self.projector = Projector(projector, self.model, n_threads=1, n_gpu_layers=0, exact=True)
        self.context = LlamaContext(self.model, n_ctx=256, n_seqs=1, n_threads=1, exact=True)

    def __call__(self, *parts: str | Picture) -> np.ndarray:
        self.context.clear()
        pictures = [part for part in parts if isinstance(part, Picture)]
        marker = mtmd.mtmd_default_marker().decode()
        words = "".join(part if isinstance(part, str) else marker for part in parts).encode()
        handle = self.projector._handle
        bitmaps = []
        for picture in pictures:
            buffer = (ctypes.c_uint8 * len(picture.data)).from_buffer_copy(picture.data)
            bitmaps.append(
                mtmd.mtmd_helper_bitmap_init_from_buf(handle, buffer, len(picture.data), False)
            )
        chunks = mtmd.mtmd_input_chunks_init()
        text = mtmd.mtmd_input_text(words, len(words), True, False)
        array = (ctypes.c_void_p * len(bitmaps))(*bitmaps)
        assert not mtmd.mtmd_tokenize(handle, chunks, ctypes.byref(text), array, len(bitmaps))
        past = ll.llama_pos()
        logits = np.empty(0, np.float32)
        for i in range(n := mtmd.mtmd_input_chunks_size(chunks)):
            chunk = mtmd.mtmd_input_chunks_get(chunks, i)
            if i == n - 1 and isinstance(parts[-1], Picture):
                logits = self._behind_image(chunk, past.value)
                continue
            assert not mtmd.mtmd_helper_eval_chunk_single(
                handle, self.context._handle, chunk, past, 0, 64, i == n - 1, ctypes.byref(past)
            )
            if i == n - 1:
                pointer = ll.llama_get_logits_ith(self.context._handle, -1)
                logits = np.ctypeslib.as_array(pointer, (N_VOCAB,)).copy()
        mtmd.mtmd_input_chunks_free(chunks)
        for bitmap in bitmaps:
            mtmd.mtmd_bitmap_free(bitmap)
        return np.asarray(logits - np.log(np.exp(logits.astype(np.float64)).sum()))

    def _behind_image(self, chunk: Any, start: int) -> np.ndarray:
        """The helper gives no logits behind an image that ends a prompt."""
        assert not mtmd.mtmd_encode_chunk(self.projector._handle, chunk)
        n = EYES.PATCHES
        found = mtmd.mtmd_get_output_embd(self.projector._handle)
        embeddings = np.ctypeslib.as_array(found, (n, TINY.WIDTH)).copy()
        zeros, at = np.zeros(n, np.int32), np.arange(start, start + n, dtype=np.int32)
        self.context.decode(Batch(zeros, at, zeros, zeros == 0, embeddings=embeddings))
        return self.context.logits(n - 1).copy()

    def close(self) -> None:
        self.context.close()
        self.projector.close()
        self.model.close()


@pytest.fixture(scope="module")
def truth(folder: Path) -> Iterator[Truth]:
    found = Truth(folder / "model.gguf", folder / "mmproj.gguf")
    yield found
    found.close()


def drift(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.nanmax(np.abs(a - b)))


# --- what is computed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts",
    [
        ("What-is", CAT, " this?"),
        (CAT, "?"),
        ("Look:", CAT),
        ("One ", CAT, " and two ", DOG, " and the first again ", CAT, ": which?"),
        ("Twice ", CAT, CAT, "."),
    ],
    ids=["between", "first", "last", "several", "side by side"],
)
def test_an_image_is_evaluated_as_libmtmd_does(
    model: Model, truth: Truth, parts: tuple[str | Picture, ...]
) -> None:
    cold = truth(*parts)
    for _ in range(2):  # the second time from the cache
        assert drift(run(model, *parts)[1], cold) < TOLERANCE
    other = tuple(DOG if part is CAT else part for part in parts)
    assert drift(truth(*other), cold) > DAMAGE


def test_one_image_is_encoded_and_evaluated_once(
    model: Model, truth: Truth, encoded: list[LlamaImage]
) -> None:
    """In a fork, in a repeated request and in another question about it."""

    @tg.function
    def look(s: tg.State) -> None:
        s += ["Look-at", tg.image(CAT.data), "."]
        forks = s.fork(3)
        for n, branch in enumerate(forks):
            branch += [f"{n}: ", tg.gen("said", max_tokens=1, temperature=0.0, heal=False)]
        forks.join()

    look.run(model=model)
    look.run(model=model)
    assert len(encoded) == 1
    stats = model.stats()
    assert stats.evaluated_tokens == stats.minimum_tokens
    result, found = run(model, "Look-at", CAT, ".And now?")
    assert result.usage.cached_tokens == 1 + len("Look-at") + EYES.PATCHES + len(".")
    assert drift(found, truth("Look-at", CAT, ".And now?")) < TOLERANCE
    assert len(encoded) == 1


def test_another_image_shares_only_what_is_in_front_of_it(model: Model, truth: Truth) -> None:
    run(model, "What-is", CAT, " this?")
    result, found = run(model, "What-is", DOG, " this?")
    assert result.usage.cached_tokens == 1 + len("What-is")
    assert drift(found, truth("What-is", DOG, " this?")) < TOLERANCE


@pytest.mark.parametrize("architecture", ["lfm2", "gemma3"])
def test_models_whose_memory_cannot_be_cut_see_images_too(
    folder: Path, options: ModelOptions, architecture: str
) -> None:
    """One with a recurrent state, and one with a sliding window that is not much longer."""
    path = TINY.write_tiny_model(architecture, folder)
    truth, model = Truth(path, options.projector), Model("tiny", path, options)
    try:
        for parts in (("Look:", CAT, "?"), ("Look:", CAT, "!"), ("Look:", DOG, CAT, "?")) * 2:
            assert drift(run(model, *parts)[1], truth(*parts)) < TOLERANCE
    finally:
        model.close()
        truth.close()


def test_tiles_of_an_image_are_read_in_order(
    folder: Path, tmp_path: Path, options: ModelOptions
) -> None:
    path = EYES.write_projector(tmp_path / "mmproj.gguf", TINY.WIDTH, in_tiles=True)
    truth = Truth(folder / "model.gguf", path)
    model = Model("tiny", folder / "model.gguf", dataclasses.replace(options, projector=path))
    try:
        result, found = run(model, "Look:", CAT, "?")
        assert result.usage.prompt_tokens == 1 + len("Look:") + 3 * EYES.PATCHES + 1
        assert drift(found, truth("Look:", CAT, "?")) < TOLERANCE
    finally:
        model.close()
        truth.close()


def test_requests_with_and_without_images_run_side_by_side(model: Model, truth: Truth) -> None:
    prompts: list[tuple[str | Picture, ...]] = [
        (f"{n}: ", *((CAT,) if n % 3 == 0 else (DOG, "!", CAT) if n % 3 == 1 else ("no image",)))
        for n in range(12)
    ]
    handles = [model.submit(request(*parts, max_tokens=4)) for parts in prompts]
    for parts, handle in zip(prompts, handles, strict=True):
        result = handle.result(timeout=60)
        assert isinstance(result, GenResult)
        assert drift(logprobs_of(result), truth(*parts)) < TOLERANCE
    stats = model.stats()
    assert stats.evaluated_tokens == stats.minimum_tokens


def test_a_parked_image_comes_back_without_being_encoded(
    folder: Path, options: ModelOptions, truth: Truth, encoded: list[LlamaImage]
) -> None:
    """Preempted, parked and restored, beside texts that fill the context."""
    small = dataclasses.replace(options, n_ctx=256, idle_cells=0)
    model = Model("tiny", folder / "model.gguf", small)
    try:
        for n in range(3):
            _, found = run(model, "Look:", CAT, "?")
            assert drift(found, truth("Look:", CAT, "?")) < TOLERANCE
            run(model, f"{n} " + "long-text " * 18)
        _, found = run(model, "Look:", CAT, "!")
        assert drift(found, truth("Look:", CAT, "!")) < TOLERANCE
        assert model.stats().cache.restored_tokens_total > 0
        assert len(encoded) == 1
    finally:
        model.close()


def test_an_image_on_disk_is_not_encoded_by_the_next_process(
    folder: Path, tmp_path: Path, options: ModelOptions, truth: Truth, encoded: list[LlamaImage]
) -> None:
    """Its name is the same there; under another projector it is another one."""
    other = EYES.write_projector(tmp_path / "other.gguf", TINY.WIDTH, seed=4)
    on_disk = dataclasses.replace(options, disk_bytes=1 << 26, disk_folder=tmp_path / "kv")
    for projector, n_encoded in ((options.projector, 1), (options.projector, 1), (other, 2)):
        model = Model(
            "tiny", folder / "model.gguf", dataclasses.replace(on_disk, projector=projector)
        )
        try:
            result, found = run(model, "Look:", CAT, "?")
            is_same = drift(found, truth("Look:", CAT, "?")) < TOLERANCE
            assert is_same is (projector == options.projector)
        finally:
            model.close()
        assert len(encoded) == n_encoded
    assert result.usage.cached_tokens == 1 + len("Look:")


def test_choices_and_penalties_know_images(model: Model) -> None:
    chosen = model.submit(SelectRequest(prompt("Look:", CAT, " It is a "), ("cat", "dog")))
    assert isinstance(chosen.result(timeout=60), SelectResult)
    params = SamplingParams(temperature=0.0, repetition_penalty=1.5)
    handle = model.submit(GenRequest(prompt(CAT, "?"), params, max_tokens=4))
    assert isinstance(handle.result(timeout=60), GenResult)


def test_an_image_can_be_pinned(model: Model, encoded: list[LlamaImage]) -> None:
    @tg.function
    def look(s: tg.State, question: str) -> None:
        s += ["Look:", tg.image(CAT.data), question, tg.gen("said", max_tokens=1)]

    with look.cache(model=model) as pinned:
        assert pinned.tokens == 1 + len("Look:") + EYES.PATCHES
        look.run("what?", model=model)
    assert len(encoded) == 1


def test_the_engine_in_its_own_process_takes_images(
    folder: Path, options: ModelOptions, truth: Truth
) -> None:
    model = ModelProcess("tiny", folder / "model.gguf", options)
    try:
        result = model.submit(request("What-is", CAT, " this?")).result(timeout=60)
        assert isinstance(result, GenResult)
        assert drift(logprobs_of(result), truth("What-is", CAT, " this?")) < TOLERANCE
    finally:
        model.close()


def test_images_are_not_drafted(folder: Path, options: ModelOptions, truth: Truth) -> None:
    """A repeated generation is guessed from the cache, and there an image comes behind it."""

    @tg.function
    def look(s: tg.State) -> None:
        s += ["Write:", tg.gen("first", max_tokens=6, temperature=0.0, heal=False)]
        s += [tg.image(CAT.data), tg.gen("second", max_tokens=4, temperature=0.0, heal=False)]

    found = []
    for speculate in (False, True):
        model = Model(
            "tiny", folder / "model.gguf", dataclasses.replace(options, speculate=speculate)
        )
        try:
            for _ in range(4):
                state = look.run(model=model)
                found.append((state["first"], state["second"]))
        finally:
            model.close()
    assert len(set(found)) == 1


def test_images_share_a_full_context(folder: Path, options: ModelOptions, truth: Truth) -> None:
    """Preempted and taken up again in the middle of an image."""
    model = Model("tiny", folder / "model.gguf", dataclasses.replace(options, chunk_tokens=5))
    try:
        prompts = [(f"{n}:" + "x" * 60, CAT, DOG, f"{n}?") for n in range(8)]
        handles = [model.submit(request(*parts, max_tokens=30)) for parts in prompts]
        for parts, handle in zip(prompts, handles, strict=True):
            result = handle.result(timeout=60)
            assert isinstance(result, GenResult)
            assert drift(logprobs_of(result), truth(*parts)) < TOLERANCE
        assert model.stats().preempted > 0
    finally:
        model.close()


def test_a_runtime_gives_each_model_its_own_projector(folder: Path, options: ModelOptions) -> None:
    plain = dataclasses.replace(options, projector=None)
    models = {"blind": folder / "model.gguf", "eyes": folder / "model.gguf"}
    with tg.Runtime(models, options=plain, projectors={"eyes": folder / "mmproj.gguf"}) as runtime:
        runtime.model("eyes").submit(request(CAT)).result(timeout=60)
        with pytest.raises(ParameterError, match="without a projector"):
            runtime.model("blind").submit(request(CAT))
    with pytest.raises(ParameterError, match="no model 'nose' is named"):
        tg.Runtime(models, projectors={"nose": folder / "mmproj.gguf"})


# --- what is refused ---------------------------------------------------------------------------


def test_a_model_without_a_projector_names_the_option(folder: Path, options: ModelOptions) -> None:
    model = Model("tiny", folder / "model.gguf", dataclasses.replace(options, projector=None))
    try:
        with pytest.raises(ParameterError, match="ModelOptions\\(projector="):
            model.submit(request(CAT))
    finally:
        model.close()


def test_a_damaged_image_is_refused_and_nothing_else_suffers(model: Model) -> None:
    damaged = picture_of(CAT.data[:60])
    with pytest.raises(ParameterError, match="damaged"):
        model.submit(request("Look:", damaged))
    run(model, "Look:", CAT)


def test_an_image_is_not_cut_by_a_full_context(model: Model) -> None:
    shifting = dataclasses.replace(request(CAT), overflow="shift", sinks=4)
    with pytest.raises(ParameterError, match="shift") as error:
        model.submit(shifting)
    assert error.value.parameter == "overflow"


def test_two_dimensional_positions_are_refused(folder: Path, tmp_path: Path) -> None:
    path = TINY.write_vocabulary("qwen2vl", tmp_path)
    model = LlamaModel(path, vocab_only=True)
    try:
        with pytest.raises(ModelError, match=r"not supported: .*M-RoPE"):
            Projector(folder / "mmproj.gguf", model, n_threads=1, n_gpu_layers=0, exact=True)
    finally:
        model.close()


def test_a_model_without_the_tokens_around_an_image_is_refused(
    folder: Path, tmp_path: Path, options: ModelOptions
) -> None:
    path = EYES.write_projector(tmp_path / "mmproj.gguf", TINY.WIDTH, kind="idefics3")
    model = Model("tiny", folder / "model.gguf", dataclasses.replace(options, projector=path))
    try:
        with pytest.raises(ModelError, match="lacks tokens"):
            model.submit(request(CAT))
    finally:
        model.close()


@pytest.mark.parametrize("wrong", ["missing", "model", "width", "cut", "gemma3"])
def test_a_wrong_projector_is_refused(
    folder: Path, tmp_path: Path, options: ModelOptions, wrong: str
) -> None:
    path = tmp_path / "mmproj.gguf"
    expected = {
        "missing": "no such file",
        "model": "no projector of",
        "width": "n_embd = 64.*n_embd = 32",
        "cut": "no projector of",
        "gemma3": "not supported: .*Gemma 3",
    }
    if wrong == "model":
        path = folder / "model.gguf"
    elif wrong == "width":
        EYES.write_projector(path, 32)
    elif wrong == "cut":
        path.write_bytes((folder / "mmproj.gguf").read_bytes()[:-4096])
    elif wrong == "gemma3":
        EYES.write_projector(path, TINY.WIDTH, kind="gemma3")
    with pytest.raises(ModelError, match=expected[wrong]):
        Model("tiny", folder / "model.gguf", dataclasses.replace(options, projector=path))

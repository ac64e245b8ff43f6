"""LoRA adapters: each computes what its merged weights would, whoever runs beside it.

On tiny F32 models. The truth is a model whose file has the adapter's weights added in; another
adapter's logits, or KV computed under one, are off by 0.01 and more.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import treegram as tg
from treegram.lang.errors import ModelError, ParameterError
from treegram.radix_cache.cache import RadixCache
from treegram.runtime.adapters import Adapters
from treegram.runtime.base import Batch, Logits
from treegram.runtime.engine_process import ModelProcess
from treegram.runtime.llama import LlamaModel
from treegram.runtime.llama_context import LlamaContext
from treegram.runtime.loading import load_module
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions

pytestmark = pytest.mark.slow

TINY = load_module(Path(__file__).with_name("tiny_models.py"))
TOLERANCE = 1e-3
DAMAGE = 1e-2
ALPHA = 8.0
NAMES = ("", "sql", "poet")


def merged(seed: int) -> dict[str, np.ndarray]:
    return {name: ALPHA / len(a) * (b @ a) for name, (a, b) in TINY.lora(seed).items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, two adapters of it, and the models that these make of it."""
    path = tmp_path_factory.mktemp("adapters")
    TINY.write_plain_model(path / "base.gguf")
    for seed, name in enumerate(NAMES[1:], 1):
        TINY.write_adapter(path / f"{name}.gguf", TINY.lora(seed), alpha=ALPHA)
        TINY.write_plain_model(path / f"merged-{name}.gguf", merged(seed))
    (path / "merged-.gguf").symlink_to(path / "base.gguf")
    return path


@pytest.fixture(scope="module")
def options(folder: Path) -> ModelOptions:
    return ModelOptions(
        n_ctx=256,
        n_threads=1,
        max_running=4,
        idle_cells=32,
        exact=True,
        measure_minimum=True,
        adapters={name: folder / f"{name}.gguf" for name in NAMES[1:]},
    )


@pytest.fixture(scope="module")
def model(folder: Path, options: ModelOptions) -> Iterator[Model]:
    loaded = Model("base", folder / "base.gguf", options)
    yield loaded
    loaded.close()


# --- what is computed --------------------------------------------------------------------------


def batch(tokens: list[int], start: int, seq: int, adapter: str = "") -> Batch:
    wants = np.zeros(len(tokens) - start, np.bool_)
    wants[-1] = True
    return Batch(
        np.array(tokens[start:], np.int32),
        np.arange(start, len(tokens), dtype=np.int32),
        np.full(len(wants), seq, np.int32),
        wants,
        adapter,
    )


class Cold:
    """Evaluates prompts from nothing on the merged models."""

    def __init__(self, folder: Path) -> None:
        models = {name: LlamaModel(folder / f"merged-{name}.gguf") for name in NAMES}
        self.contexts = {
            name: LlamaContext(model, n_ctx=256, n_seqs=2, n_threads=1, exact=True)
            for name, model in models.items()
        }

    def run(self, tokens: list[int], adapter: str) -> Logits:
        context = self.contexts[adapter]
        context.clear()
        context.decode(batch(tokens, 0, 0))
        return context.logits(len(tokens) - 1).copy()


@pytest.fixture(scope="module")
def cold(folder: Path) -> Cold:
    return Cold(folder)


def drift(a: Logits, b: Logits) -> float:
    return float(np.abs(a - b).max())


@pytest.mark.parametrize("idle_cells", [10_000, 0], ids=["live", "parked"])
def test_branches_of_several_adapters_in_one_context(
    folder: Path, options: ModelOptions, cold: Cold, idle_cells: int
) -> None:
    """Forks under eviction, side by side: the cells are shared, what is in them never."""
    base = LlamaModel(folder / "base.gguf", adapters=options.adapters)
    context = LlamaContext(base, n_ctx=256, n_seqs=8, n_threads=1, exact=True)
    cache = RadixCache(context, idle_cells=idle_cells, host_bytes=100_000)
    rng, seen = random.Random(idle_cells), [[5] * 40]
    for _ in range(40):
        tokens = [*rng.choice(seen)[: rng.randint(1, 60)], *rng.choices(range(3, 259), k=20)]
        seen.append(tokens)
        leases = []
        for adapter in rng.sample(NAMES, 2):  # the second forks while the first holds its cells
            lease = cache.acquire(tokens, len(tokens) - 1, adapter)
            assert cache.reserve(len(tokens) - lease.length)
            context.decode(batch(tokens, lease.length, lease.seq, adapter))
            logits = context.logits(len(tokens) - lease.length - 1).copy()
            cache.extend(lease, len(tokens) - lease.length)
            cache.commit(lease, tokens)
            leases.append(lease)
            assert drift(logits, cold.run(tokens, adapter)) < TOLERANCE
        for lease in leases:
            cache.release(lease)
        cache.trim_idle()
        cache.check_integrity()
    assert cache.stats().hit_tokens_total > 200
    assert idle_cells or cache.stats().restored_tokens_total > 100
    context.close()


def test_another_adapters_kv_is_seen(folder: Path, options: ModelOptions, cold: Cold) -> None:
    """The comparison that the others rely on goes red where a prefix is of another adapter."""
    base = LlamaModel(folder / "base.gguf", adapters=options.adapters)
    context = LlamaContext(base, n_ctx=256, n_seqs=2, n_threads=1, exact=True)
    tokens = random.Random(3).choices(range(3, 259), k=30)
    for prefix, last in (("sql", ""), ("", "sql"), ("sql", "poet")):
        context.clear()
        context.decode(batch(tokens[:-1], 0, 0, prefix))
        context.decode(batch(tokens, len(tokens) - 1, 0, last))
        for adapter in NAMES:
            assert drift(context.logits(0), cold.run(tokens, adapter)) > DAMAGE
    context.close()


# --- through the engine ------------------------------------------------------------------------


@tg.function
def story(s: tg.State, text: str, tuned: str) -> None:
    s += ["Once there was a long story of ", text]
    s += tg.gen("reply", regex="[a-z]{12}", logprobs=0, adapter=tuned)
    s += tg.select("mood", ["good", "glad", "sad"], adapter=tuned)


ROWS = [{"text": f"row {i % 5}", "tuned": NAMES[i % 3]} for i in range(15)]


def assert_same(found: tg.State, expected: tg.State) -> None:
    for name in ("reply", "mood"):
        assert found[name] == expected[name]
    numbers = [
        [token.logprob for token in state.meta("reply").logprobs or ()]
        + [score.score for score in state.meta("mood").scores or ()]
        for state in (found, expected)
    ]
    assert numbers[0] == pytest.approx(numbers[1], abs=TOLERANCE)
    assert len(numbers[0]) == 15


def test_rows_of_several_adapters_in_one_batch(folder: Path, model: Model) -> None:
    """More rows than run at once, in a context too small for them, as each alone and merged."""
    states = story.run_batch(ROWS, model=model)
    for name in NAMES:
        alone = Model(name, folder / f"merged-{name}.gguf", ModelOptions(n_threads=1, exact=True))
        for row, state in zip(ROWS, states, strict=True):
            if row["tuned"] == name:
                expected = story.run(row["text"], "", model=alone)
                assert_same(state, expected)
        alone.close()
    stats = model.stats()
    assert stats.minimum_tokens is not None
    assert stats.evaluated_tokens < 1.3 * stats.minimum_tokens


def test_what_an_adapter_computed_is_cached_for_it_alone(model: Model) -> None:
    @tg.function
    def ask(s: tg.State) -> None:
        s += ["A prompt that nobody has asked before.", tg.gen("x", max_tokens=1, heal=False)]

    cached = [
        ask.run(model=model, adapter=name).meta("x").usage.cached_tokens
        for name in (*NAMES, *NAMES)
    ]
    assert max(cached[:3]) <= 1  # the token that begins every text
    assert min(cached[3:]) > 30


def test_an_engine_in_its_own_process(folder: Path, options: ModelOptions, model: Model) -> None:
    process = ModelProcess("base", folder / "base.gguf", options)
    states = story.run_batch(ROWS[:3], model=process)
    for found, expected in zip(states, story.run_batch(ROWS[:3], model=model), strict=True):
        assert_same(found, expected)
    with pytest.raises(ParameterError, match=r"no adapter 'cook'.*'sql', 'poet'"):
        story.run("", "cook", model=process)
    process.close()


def test_an_unknown_adapter_is_refused_with_the_known_ones(model: Model) -> None:
    with pytest.raises(ParameterError, match=r"no adapter 'cook'.*'sql', 'poet'") as caught:
        story.run("", "cook", model=model)
    assert caught.value.parameter == "adapter"


def test_prefixes_on_disk_belong_to_the_content_of_an_adapter(folder: Path, tmp_path: Path) -> None:
    """A new file under an old name finds nothing of the old one's; the old one does."""

    def cached(file: str) -> int:
        options = ModelOptions(
            n_threads=1,
            disk_bytes=1 << 24,
            disk_folder=tmp_path,
            adapters={"tuned": folder / file},
        )
        loaded = Model("base", folder / "base.gguf", options)
        state = story.run("the sea", "tuned", model=loaded)
        loaded.close()
        return state.meta("reply").usage.cached_tokens

    assert [cached(file) for file in ("sql.gguf", "poet.gguf")] == [0, 0]
    assert min(cached(file) for file in ("sql.gguf", "poet.gguf")) > 30
    assert not any(b"tuned" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


# --- on the command line -----------------------------------------------------------------------


def test_the_first_adapter_of_a_command_is_the_one_that_its_program_uses(
    cli: Callable[..., int], cards: Path, tmp_path: Path
) -> None:
    given = ["--adapter", "a=one.gguf", "--adapter", "two.gguf"]
    backend = tg.ScriptedBackend("x")
    assert cli("run", f"{cards}:card", "--arg", "text=x", *given, backend=backend) == 0
    assert backend.requests[0].adapter == "a"
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "x"}')
    assert cli("batch", f"{cards}:card", rows, *given[2:], backend=backend) == 0
    assert backend.requests[1].adapter == "two"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["a=x.gguf", "a=y.gguf"], "'a' is given twice"),
        (["=x.gguf"], "NAME=FILE"),
        (["a="], "FILE"),
    ],
)
def test_an_adapter_that_is_not_clear_is_refused(
    cli: Callable[..., int],
    cards: Path,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    reason: str,
) -> None:
    options = [part for text in given for part in ("--adapter", text)]
    assert cli("run", f"{cards}:card", "--arg", "text=x", *options) == 2
    assert reason in capsys.readouterr().err


# --- namespaces --------------------------------------------------------------------------------


def test_no_two_adapters_and_namespaces_share_a_name(folder: Path, options: ModelOptions) -> None:
    adapters = Adapters(folder / "base.gguf", options.adapters)
    sql = adapters.namespace("sql", "")
    own = ["", "a", "b", sql, f"{sql}\0", "\0", "\0a", "\ud800"]
    names = [adapters.namespace(adapter, name) for adapter in NAMES for name in own]
    assert len(set(names)) == len(names)
    assert names[0] == ""
    assert {len(name) for name in names[1:]} == {32}


# --- files that are none -----------------------------------------------------------------------


def truncated(path: Path) -> None:
    TINY.write_adapter(path, TINY.lora(1), alpha=ALPHA)
    path.write_bytes(path.read_bytes()[:-4000])


def without_one_half(path: Path) -> None:
    TINY.write_adapter(path, TINY.lora(1), alpha=ALPHA)
    data = path.read_bytes()
    assert data.count(b"blk.1.attn_q.weight.lora_b") == 1
    path.write_bytes(data.replace(b"blk.1.attn_q.weight.lora_b", b"blk.1.attn_q.weighx.lora_b"))


def for_another_width(path: Path) -> None:
    tensors = {
        "blk.0.attn_q.weight": (np.zeros((4, 32), np.float32), np.zeros((64, 4), np.float32))
    }
    TINY.write_adapter(path, tensors, alpha=ALPHA)


def of_another_rank(path: Path) -> None:
    tensors = {
        "blk.0.attn_q.weight": (np.zeros((4, 64), np.float32), np.zeros((64, 8), np.float32))
    }
    TINY.write_adapter(path, tensors, alpha=ALPHA)


def for_more_layers(path: Path) -> None:
    tensors = {name.replace("blk.1", "blk.9"): pair for name, pair in TINY.lora(1).items()}
    TINY.write_adapter(path, tensors, alpha=ALPHA)


def of_another_architecture(path: Path) -> None:
    TINY.write_adapter(path, TINY.lora(1), alpha=ALPHA, architecture="qwen2")


def with_a_cube(path: Path) -> None:
    """A third dimension, which llama.cpp would abort on when it first multiplies."""
    a, b = TINY.lora(1)["blk.0.attn_q.weight"]
    tensors = {"blk.0.attn_q.weight": (np.stack([a] * 3), np.stack([b] * 2))}
    TINY.write_adapter(path, tensors, alpha=ALPHA)


def a_model(path: Path) -> None:
    TINY.write_plain_model(path)


def empty(path: Path) -> None:
    TINY.write_adapter(path, {}, alpha=ALPHA)


def safetensors(path: Path) -> None:
    path.write_bytes(b"\x40\0\0\0\0\0\0\0{")


def activated(path: Path) -> None:
    TINY.write_adapter(path, TINY.lora(1), alpha=ALPHA, invoked_by=[5, 6])


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (truncated, "damaged"),
        (without_one_half, "missing one component"),
        (for_another_width, "incorrect shape"),
        (of_another_rank, "not transposed"),
        (for_more_layers, "does not exist in base model"),
        (of_another_architecture, "arch mismatch"),
        (with_a_cube, "no LoRA adapter of"),
        (a_model, "expect general.type to be 'adapter'"),
        (empty, "has no weights"),
        (safetensors, "convert_lora_to_gguf"),
        (activated, "activated LoRA"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_adapter_of_the_model_is_refused(
    folder: Path, tmp_path: Path, write: object, reason: str
) -> None:
    """Before llama.cpp gets to abort this process."""
    path = tmp_path / "wrong.gguf"
    assert callable(write)
    write(path)
    with pytest.raises(ModelError, match=reason) as caught:
        Model("base", folder / "base.gguf", ModelOptions(adapters={"wrong": path}))
    assert str(path) in str(caught.value)


def test_an_adapter_needs_a_name_and_a_file(folder: Path) -> None:
    with pytest.raises(ParameterError, match="a name"):
        Adapters(folder / "base.gguf", {"": folder / "sql.gguf"})
    with pytest.raises(ModelError, match="no such file"):
        Adapters(folder / "base.gguf", {"gone": folder / "gone.gguf"})

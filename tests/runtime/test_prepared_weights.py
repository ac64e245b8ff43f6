"""A copy of the weights is used only if it is whole, faster and as good; else the file as it is."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import pytest

from treegram.runtime import prepared_weights as module
from treegram.runtime import weights_probe
from treegram.runtime.gguf_tensors import read_tensors
from treegram.runtime.kv_binding import fingerprint
from treegram.runtime.llama import LlamaModel, ll
from treegram.runtime.loading import load_module
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.prepared_weights import prepared_weights
from treegram.runtime.weights_probe import Difference, Speed

TINY = load_module(Path(__file__).with_name("tiny_models.py"))
GIB = 1 << 30


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of copies, for one test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "treegram" / "weights"


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of which every copy is known to be faster: how fast it is no test can know."""
    monkeypatch.setattr(Speed, "is_gain", True)


def quantized(folder: Path, type_: int, architecture: str = "gemma3") -> Path:
    """A tiny random model whose matrices are of one type."""
    source: Path = TINY.write_tiny_model(architecture, folder)
    target = folder / f"tiny-{type_}.gguf"
    params = ll.llama_model_quantize_default_params()
    params.ftype, params.pure, params.nthread = type_, True, 1
    code = ll.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    assert code == 0
    return target


@pytest.fixture
def slow_file(tmp_path: Path) -> Path:
    return quantized(tmp_path, ll.LLAMA_FTYPE_MOSTLY_Q4_1)


def prepared(path: Path, most_bytes: int = GIB) -> Path:
    return prepared_weights(path, n_threads=1, most_bytes=most_bytes)


def no_child(*args: object, **kwargs: object) -> NoReturn:
    pytest.fail("a child process was started")


def types(path: Path) -> set[int]:
    return {tensor.type for tensor in read_tensors(path).tensors}


# --- what is used ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("faster")
def test_a_slow_type_becomes_q8_once(
    slow_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = prepared(slow_file)
    assert copy.parent == folder
    assert ll.GGML_TYPE_Q4_1 in types(slow_file)
    assert types(copy) == {ll.GGML_TYPE_Q8_0, ll.GGML_TYPE_F32}
    assert sorted(p.suffix for p in folder.iterdir()) == [".gguf", ".json", ".lock"]
    monkeypatch.setattr(subprocess, "run", no_child)
    assert prepared(slow_file) == copy


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["mamba2", "granitehybrid"])
def test_a_memory_that_cannot_be_cut_can_be_measured(
    tmp_path: Path, architecture: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    prepared(quantized(tmp_path, ll.LLAMA_FTYPE_MOSTLY_Q4_1, architecture))
    assert "of positions, divergence" in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("faster")
def test_other_tensors_stay_as_they_are(tmp_path: Path, slow_file: Path) -> None:
    """Only what is slow is rewritten: here everything else is Q4_0, which Q8_0 would only grow."""
    kept = {t.name: ll.GGML_TYPE_Q4_0 for t in read_tensors(slow_file).tensors if "ffn" in t.name}
    mixed = tmp_path / "mixed.gguf"
    params = ll.llama_model_quantize_default_params()
    params.ftype, params.pure, params.nthread = ll.LLAMA_FTYPE_MOSTLY_Q4_1, True, 1
    overrides = (ll.llama_model_tensor_override * 2)()
    overrides[0].pattern, overrides[0].type = b"ffn", ll.GGML_TYPE_Q4_0
    params.tt_overrides = overrides
    source = tmp_path / "tiny-gemma3.gguf"
    assert not ll.llama_model_quantize(
        str(source).encode(), str(mixed).encode(), ctypes.byref(params)
    )
    found = {t.name: t.type for t in read_tensors(prepared(mixed)).tensors}
    before = {t.name: t.type for t in read_tensors(mixed).tensors}
    assert {found[name] for name in kept if before[name] == ll.GGML_TYPE_Q4_0} == {
        ll.GGML_TYPE_Q4_0
    }
    changed = {name for name in found if found[name] != before[name]}
    assert changed == {name for name, type_ in before.items() if type_ == ll.GGML_TYPE_Q4_1}


def test_a_type_with_fast_kernels_is_not_touched(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = quantized(tmp_path, ll.LLAMA_FTYPE_MOSTLY_Q4_0)
    monkeypatch.setattr(subprocess, "run", no_child)
    assert prepared(source) == source
    assert not folder.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("faster")
def test_a_damaged_copy_is_made_again(
    slow_file: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = prepared(slow_file)
    whole = copy.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:9000] + b"\0" * 64 + whole[9064:]):
        copy.write_bytes(damaged)
        assert prepared(slow_file) == copy
        assert copy.read_bytes() == whole
        assert "is damaged" in caplog.text
        caplog.clear()
    copy.with_suffix(".json").write_text("{")
    assert prepared(slow_file) == copy
    assert "cannot be read" in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("faster")
def test_two_processes_at_once_prepare_it_once(slow_file: Path, folder: Path) -> None:
    code = (
        "import logging, sys; from pathlib import Path\n"
        "from treegram.runtime.prepared_weights import prepared_weights\n"
        "from treegram.runtime.weights_probe import Speed\n"
        "Speed.is_gain = True\n"
        "logging.basicConfig(level=logging.INFO)\n"
        f"print(prepared_weights(Path({str(slow_file)!r}), n_threads=1, most_bytes={GIB}))"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
        )
        for _ in range(2)
    ]
    ends = [child.communicate(timeout=120) for child in children]
    (printed,) = {out.decode().strip() for out, _ in ends}
    assert Path(printed).parent == folder
    assert sum(b"preparing it" in log for _, log in ends) == 1


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("faster")
def test_a_copy_that_answers_otherwise_is_refused(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Weights that a quantiser with another aim has written: here the copy of another model."""
    caplog.set_level(logging.INFO)
    source = quantized(tmp_path, ll.LLAMA_FTYPE_MOSTLY_Q5_1)
    tampered = weights_probe.__name__.replace("weights_probe", "llama")
    code = (
        f"import {tampered} as llama\n"
        "llama.ll.LLAMA_FTYPE_MOSTLY_Q8_0 = llama.ll.LLAMA_FTYPE_MOSTLY_Q4_0\n"
    )
    real_run = subprocess.run

    def run(command: list[str], **options: object) -> object:
        return real_run([*command[:2], code + command[2], *command[3:]], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", run)
    assert prepared(source) == source
    assert "Q5_1 stays: as Q8_0 the likeliest token is another at" in caplog.text
    assert [p.suffix for p in sorted(folder.iterdir())] == [".json", ".lock"]
    monkeypatch.setattr(subprocess, "run", no_child)
    assert prepared(source) == source


@pytest.mark.parametrize(
    ("child", "message", "is_remembered"),
    [
        ("import os; os.abort()", "Q4_1 stays: the probe ended with code -6", True),
        ("import os; os.kill(os.getpid(), 9)", "the probe ended with code -9", False),
        ("import no_such_module", "code 1: ModuleNotFoundError", False),
    ],
)
def test_a_crash_ends_the_child_only(
    slow_file: Path,
    folder: Path,
    child: str,
    message: str,
    is_remembered: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An abort of llama.cpp would happen again; what came from outside need not."""
    caplog.set_level(logging.INFO)
    real_run = subprocess.run

    def run(command: list[str], **options: object) -> object:
        return real_run([*command[:2], child], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", run)
    assert prepared(slow_file) == slow_file
    assert message in caplog.text
    assert bool(list(folder.glob("*.json"))) == is_remembered


def test_a_slow_copy_is_measured_again_another_day(
    slow_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine may have been busy with something else."""
    like = asdict(Difference(0.0, 0.0))
    printed = json.dumps({"gain": asdict(Speed(2.2, 0.5, 1.3)), "change": like, "drift": like})
    answer = subprocess.CompletedProcess([], 0, printed.encode(), b"")
    asked: list[object] = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        return answer

    monkeypatch.setattr(subprocess, "run", run)
    for days, times in ((0.0, 1), (0.9, 1), (1.1, 2)):
        now = time.time() + days * 86400
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda now=now: now)
            assert prepared(slow_file) == slow_file
        assert len(asked) == times
    assert not list(folder.glob("*.gguf"))


def test_a_probe_that_took_too_long_is_tried_again_another_day(
    slow_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked: list[object] = []

    def run(command: list[str], **options: object) -> NoReturn:
        asked.append(command)
        raise subprocess.TimeoutExpired(command, module.TIMEOUT_S)

    monkeypatch.setattr(subprocess, "run", run)
    for days, times in ((0.0, 1), (0.9, 1), (1.1, 2)):
        now = time.time() + days * 86400
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda now=now: now)
            assert prepared(slow_file) == slow_file
        assert len(asked) == times
    assert "the probe took over 900 s" in caplog.text


@pytest.mark.parametrize("printed", ["", "treegram", "{}", '{"gain": 1}', "[]"])
def test_a_child_that_says_nothing_useful(
    slow_file: Path,
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    answer = subprocess.CompletedProcess([], 0, printed.encode(), b"")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: answer)
    assert prepared(slow_file) == slow_file
    assert "the probe printed no result" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda patch: patch.setattr(module, "available_memory", lambda: 1000), "of memory"),
        (lambda patch: patch.setattr(module, "available_memory", lambda: None), "unknown amount"),
        (lambda patch: patch.setattr(sys, "executable", ""), "no Python interpreter"),
    ],
)
def test_what_cannot_be_tried_now_is_tried_the_next_time(
    slow_file: Path,
    folder: Path,
    change: Callable[[pytest.MonkeyPatch], None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(subprocess, "run", no_child)
    change(monkeypatch)
    assert prepared(slow_file) == slow_file
    assert message in caplog.text
    assert not list(folder.glob("*.json"))


def test_the_budget_is_kept(slow_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert prepared(slow_file, most_bytes=1000) == slow_file
    assert "prepared_bytes" in caplog.text


def test_a_folder_that_cannot_be_made(slow_file: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file is in the way")
    assert prepared(slow_file) == slow_file


# --- the judgement -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gain", "is_gain"),
    [
        (Speed(2.4, 1.0, 1.1), True),
        (Speed(1.0, 1.0, 1.5), True),
        (Speed(2.4, 0.7, 1.1), False),  # prompts at the cost of answers
        (Speed(1.1, 1.1, 1.1), False),  # not worth the disk
        (Speed(float("nan"), 1.0, 1.0), False),
    ],
)
def test_faster_means_at_nobodys_cost(gain: Speed, is_gain: bool) -> None:
    assert gain.is_gain == is_gain


@pytest.mark.parametrize(
    ("change", "is_like"),
    [
        (Difference(0.0086, 0.064), True),  # the embedded model as Q8_0, measured
        (Difference(0.12, 0.21), False),  # as Q5_0
        (Difference(0.40, 0.37), False),  # as Q4_0
        (Difference(0.004, 0.20), False),
        (Difference(float("nan"), 0.0), False),
    ],
)
def test_as_good_means_as_close_as_the_original_to_itself(
    change: Difference, is_like: bool
) -> None:
    assert change.is_like(Difference(0.0058, 0.043)) == is_like


def test_small_changes_are_free_where_the_original_does_not_drift() -> None:
    assert Difference(0.001, 0.03).is_like(Difference(0.0, 0.0))
    assert not Difference(0.005, 0.03).is_like(Difference(0.0, 0.0))


# --- the embedded model ------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.usefixtures("faster")
def test_the_embedded_model_is_as_good_as_q8(
    embedded_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    options = ModelOptions(n_ctx=256, n_threads=1)
    model = Model("smollm2", embedded_path, options)
    try:
        assert model.weights.parent == folder
        assert fingerprint(model.weights) != fingerprint(embedded_path)
        text = json.loads(model.weights.with_suffix(".json").read_text())["reason"]
        assert text in caplog.text
    finally:
        model.close()
    for unprepared in (
        ModelOptions(n_ctx=256, prepared_bytes=0),
        ModelOptions(n_ctx=256, exact=True),
    ):
        model = Model("smollm2", embedded_path, unprepared)
        assert model.weights == embedded_path
        model.close()


@pytest.mark.model
@pytest.mark.slow
def test_q4_0_would_ruin_it(
    embedded_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe tells a type that is fast from one that is good, even on a part of its text."""
    monkeypatch.setattr(weights_probe, "PASSAGE_TOKENS", 3)
    target = tmp_path / "q4_0.gguf"
    params = ll.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize = ll.LLAMA_FTYPE_MOSTLY_Q4_0, True
    assert not ll.llama_model_quantize(
        str(embedded_path).encode(), str(target).encode(), ctypes.byref(params)
    )
    original, fast = LlamaModel(embedded_path), LlamaModel(target)
    found = weights_probe.compare(original, fast, n_threads=1)
    original.close()
    fast.close()
    assert found.gain is None
    assert found.change.divergence > 10 * found.drift.divergence

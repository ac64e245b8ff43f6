"""Prefixes of recurrent and hybrid models that outlive their process, through real llama.cpp."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from tiny_models import write_tiny_model

import treegram as tg
from treegram.radix_cache.disk import SUFFIX
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions

pytestmark = pytest.mark.slow


@tg.function
def answer(s: tg.State, question: str) -> None:
    s += "".join(f"Word: {w}\nLength: {len(w)}\n\n" for w in "owl heron falcon ibis".split())
    s += ["Word: ", question, "\nLength: "]
    s += tg.gen("reply", max_tokens=8, ignore_eos=True)


@pytest.fixture(scope="module", params=["mamba2", "granitehybrid"])
def gguf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = write_tiny_model(request.param, tmp_path_factory.mktemp("tiny"))
    return path


@pytest.fixture(scope="module")
def cold(gguf: Path) -> dict[str, str]:
    """What is answered with nothing in the cache."""
    replies = {}
    for question in ("stork", "crane"):
        with closing(
            Model("cold", gguf, ModelOptions(n_ctx=512, n_threads=1, exact=True))
        ) as model:
            replies[question] = answer.run(question, model=model)["reply"]
    return replies


def start(gguf: Path, folder: Path, *, is_through: bool = False) -> Model:
    options = ModelOptions(
        n_ctx=512,
        n_threads=1,
        exact=True,
        disk_bytes=1 << 28,
        disk_folder=folder,
        disk_write="through" if is_through else "back",
    )
    return Model("tiny", gguf, options)


def test_a_second_start_evaluates_nothing_of_the_pinned_prompt(
    gguf: Path, cold: dict[str, str], tmp_path: Path
) -> None:
    with closing(start(gguf, tmp_path)) as model, answer.cache(model=model) as pinned:
        assert pinned.tokens > 80
        assert model.stats().cache.pinned_tokens == pinned.tokens
        first = answer.run("stork", model=model)
        assert first.meta("reply").usage.cached_tokens == pinned.tokens
        assert first["reply"] == cold["stork"]
    with closing(start(gguf, tmp_path)) as model, answer.cache(model=model) as again:
        assert again.tokens == pinned.tokens
        assert model.stats().evaluated_tokens == 0
        for question in ("crane", "stork"):
            state = answer.run(question, model=model)
            usage = state.meta("reply").usage
            assert usage.prompt_tokens - usage.cached_tokens < 20
            assert state["reply"] == cold[question]


def test_a_second_start_finds_where_rows_left_each_other(gguf: Path, tmp_path: Path) -> None:
    rows = [{"question": word} for word in ("stork", "crane")]
    with closing(start(gguf, tmp_path)) as model:
        answer.run_batch(rows, model=model)
    with closing(start(gguf, tmp_path)) as model:
        usage = answer.run("goose", model=model).meta("reply").usage
        assert usage.prompt_tokens - usage.cached_tokens < 20


def test_damaged_states_are_left_out_and_said_so(
    gguf: Path, cold: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(start(gguf, tmp_path)) as model, answer.cache(model=model):
        pass
    (path,) = tmp_path.glob(f"*{SUFFIX}")
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with closing(start(gguf, tmp_path)) as model, caplog.at_level(logging.WARNING):
        state = answer.run("stork", model=model)
    assert state.meta("reply").usage.cached_tokens == 0
    assert state["reply"] == cold["stork"]
    assert f"{path} is left out: its data was not written by this user's treegram" in caplog.text


def serve(gguf: Path, folder: Path) -> None:
    """What the process does that is killed: this file, run as a script."""
    model = start(gguf, folder, is_through=True)
    answer.cache(model=model)
    print("pinned", flush=True)
    signal.pause()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no signals here")
def test_a_process_that_is_killed_loses_nothing_that_was_written_through(
    gguf: Path, cold: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, __file__, str(gguf), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "pinned\n"
            deadline = time.monotonic() + 20
            while not any(tmp_path.glob(f"*{SUFFIX}")):  # another thread of the child writes it
                assert time.monotonic() < deadline
        finally:
            child.kill()
    with closing(start(gguf, tmp_path)) as model, answer.cache(model=model):
        assert model.stats().evaluated_tokens == 0
        assert answer.run("stork", model=model)["reply"] == cold["stork"]


if __name__ == "__main__":
    serve(*map(Path, sys.argv[1:]))

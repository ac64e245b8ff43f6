"""Prefixes that outlive their process, through the real model."""

from __future__ import annotations

from pathlib import Path

import pytest

from treegram.lang.base import GenRequest, GenResult, Text
from treegram.runtime.kv_binding import fingerprint
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.runtime import embedded_model_path

pytestmark = [pytest.mark.model, pytest.mark.slow]
SHOTS = "".join(f"Word: {w}\nLength: {len(w)}\n\n" for w in "owl heron falcon ibis wren".split())


def ask(folder: Path, word: str, *, exact: bool = False, disk_bytes: int = 1 << 28) -> GenResult:
    options = ModelOptions(
        n_ctx=512, disk_bytes=disk_bytes, disk_folder=folder, exact=exact, n_threads=2
    )
    model = Model("smollm2", embedded_model_path(), options)
    try:
        request = GenRequest((Text(f"{SHOTS}Word: {word}\nLength:"),), max_tokens=4)
        result = model.submit(request).result(120.0)
    finally:
        model.close()
    assert isinstance(result, GenResult)
    return result


def test_a_second_start_prefills_nothing_of_the_shared_prompt(tmp_path: Path) -> None:
    cold = ask(tmp_path, "stork")
    assert cold.usage.cached_tokens == 0
    other = ask(tmp_path, "crane")
    assert other.usage.prompt_tokens - other.usage.cached_tokens <= 6
    again = ask(tmp_path, "stork")
    assert again.usage.prompt_tokens - again.usage.cached_tokens <= 1
    assert again.text == cold.text


def test_saved_kv_of_another_format_is_not_used(tmp_path: Path) -> None:
    ask(tmp_path, "stork")
    assert ask(tmp_path, "stork", exact=True).usage.cached_tokens == 0


def test_a_fingerprint_tells_files_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    content = bytes(range(256)) * 40_000
    one.write_bytes(content)
    two.write_bytes(content[:-1] + b"\0")
    assert fingerprint(one) == fingerprint(one)
    assert fingerprint(one) != fingerprint(two)
    two.write_bytes(content + b"\0")
    assert fingerprint(one) != fingerprint(two)

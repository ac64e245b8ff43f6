"""When tables of masks are written: while nobody asks for anything, and when a model is closed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from treegram.lang.base import GenRequest, Text
from treegram.lang.compiler.cache_folder import LOCATION_VARIABLE
from treegram.lang.compiler.code_identity import code_identity
from treegram.lang.compiler.grammar_cache import language_identity
from treegram.lang.grammar import Grammar
from treegram.lang.sampling import SamplingParams
from treegram.runtime import engine as engine_module
from treegram.runtime.engine import Engine
from treegram.runtime.fake import FakeDecoder
from treegram.runtime.masks import walk_files
from treegram.runtime.masks.walk_files import user_files
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.request import EngineRequest


@pytest.mark.slow
def test_an_idle_engine_is_given_something_to_do_until_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a request, a little at a time, and never before there was one."""
    monkeypatch.setattr(engine_module, "IDLE_S", 0.05)
    left = [True, True, False]
    called, finished = threading.Event(), threading.Event()

    def on_idle() -> bool:
        called.set()
        if len(left) == 1:
            finished.set()
        return left.pop(0)

    engine = Engine(FakeDecoder(), on_idle=on_idle)
    engine.start()
    assert not called.wait(0.2)
    done = threading.Event()
    engine.submit(EngineRequest([1, 2, 3], 2, lambda *_: done.set()))
    assert done.wait(10)
    assert finished.wait(10)
    engine.close()
    assert left == []


@pytest.mark.model
@pytest.mark.slow
def test_a_model_reads_what_an_earlier_one_wrote(
    embedded_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if language_identity() is None or code_identity(Path(walk_files.__file__).parent) is None:
        pytest.skip("the code was edited since the tests began")
    monkeypatch.setenv(LOCATION_VARIABLE, str(tmp_path))
    grammar = Grammar.from_regex('"[a-z ]*"[0-9]{3,9}')
    params = SamplingParams(temperature=1.0, seed=1)
    request = GenRequest((Text("Write: "),), params, grammar, max_tokens=8)
    loaded: list[int] = []
    for _ in range(2):
        model = Model("smollm2", embedded_path, ModelOptions(n_threads=1))
        model.submit(request).result()
        model.close()
        loaded.append(model._trie.walks.stats().loaded)
    assert loaded[0] == 0 < loaded[1]


def test_nothing_is_kept_where_the_user_wants_nothing_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "0" * 64
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(LOCATION_VARIABLE, raising=False)
    files = user_files()
    assert files is not None
    files.keep(key, b"walks")
    assert [path.name for path in (tmp_path / "treegram" / "grammars").iterdir()] == [
        f"{key}.masks"
    ]
    monkeypatch.setenv(LOCATION_VARIABLE, "off")
    assert user_files() is None

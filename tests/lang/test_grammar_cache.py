"""The disk cache gives back what was kept, or nothing; never anything else, never an exception."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treegram.lang.compiler.cache_folder import LOCATION_VARIABLE, grammar_folder
from treegram.lang.compiler.grammar_cache import GrammarCache, cache_key, user_cache
from treegram.lang.ir.nodes import Alt, Literal, Repeat, Rules
from treegram.lang.ir.rules_format import Compiled, encode

MADE = Compiled(
    Rules("root", {"root": Repeat(Alt((Literal("é"), Literal("b"))), 1, 9)}), (("$", "format"),)
)
DATA = encode(MADE)
KEY = cache_key("regex", "(é|b){1,9}")


@pytest.fixture
def cache(tmp_path: Path) -> GrammarCache:
    return GrammarCache(tmp_path / "grammars")


def only_file(folder: Path) -> Path:
    (path,) = (folder / "grammars").iterdir()
    return path


def test_kept_and_found_by_another_process(cache: GrammarCache, tmp_path: Path) -> None:
    assert cache.load(KEY) is None
    cache.keep(KEY, DATA)
    assert GrammarCache(tmp_path / "grammars").load(KEY) == MADE


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_a_damaged_file_is_no_file(
    cache: GrammarCache, tmp_path: Path, data: st.DataObject
) -> None:
    """Bits flipped, the end cut off, bytes added: nothing is found, and the file goes."""
    cache.keep(KEY, DATA)
    path = only_file(tmp_path)
    good = path.read_bytes()
    damage = data.draw(st.sampled_from(["flip", "cut", "add"]))
    at = data.draw(st.integers(0, len(good) - 1))
    if damage == "flip":
        flipped = good[at] ^ data.draw(st.integers(1, 255))
        path.write_bytes(good[:at] + bytes([flipped]) + good[at + 1 :])
    else:
        path.write_bytes(good[:at] if damage == "cut" else good + good[at:])
    assert cache.load(KEY) is None
    assert not path.exists()


def test_a_file_under_another_name_is_foreign(cache: GrammarCache, tmp_path: Path) -> None:
    cache.keep(KEY, DATA)
    other = cache_key("regex", "x")
    path = only_file(tmp_path)
    path.rename(path.with_name(path.name.replace(KEY, other)))
    assert cache.load(other) is None


def test_rules_that_are_none_are_not_found(cache: GrammarCache) -> None:
    cache.keep(KEY, b'{"format":1}')
    assert cache.load(KEY) is None


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = GrammarCache(tmp_path, limit_bytes=4 * (len(DATA) + 60))
    keys = [cache_key(str(n)) for n in range(4)]
    for age, key in enumerate(keys):
        cache.keep(key, DATA)
        os.utime(tmp_path / f"{key}.grammar", (age, age))
    assert cache.load(keys[0]) == MADE  # used now
    cache.keep(KEY, DATA)
    assert [cache.load(key) is not None for key in [*keys, KEY]] == [True, False, True, True, True]


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    mine = tmp_path / "thesis.txt"
    mine.write_text("x" * 10_000)
    GrammarCache(tmp_path, limit_bytes=len(DATA) + 60).keep(KEY, DATA)
    assert mine.exists()


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path: Path) -> None:
    cache = GrammarCache(tmp_path, limit_bytes=10)
    cache.keep(KEY, DATA)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_only_means_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = GrammarCache(tmp_path / "file" / "grammars")
    cache.keep(KEY, DATA)
    assert cache.load(KEY) is None


def test_the_environment_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOCATION_VARIABLE, str(tmp_path / "here"))
    assert grammar_folder() == tmp_path / "here"
    monkeypatch.setenv(LOCATION_VARIABLE, "off")
    assert grammar_folder() is None
    user_cache().keep(KEY, DATA)
    assert user_cache().load(KEY) is None
    monkeypatch.delenv(LOCATION_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert grammar_folder() == tmp_path / "xdg" / "treegram" / "grammars"


def test_keys_differ_wherever_the_sources_do() -> None:
    sources = [("regex", "a", "b"), ("regex", "ab", ""), ("schema", "a", "b"), ("regex", "\ud800")]
    assert len({cache_key(*source) for source in sources}) == len(sources)

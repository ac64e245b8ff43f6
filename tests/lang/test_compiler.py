"""What is quick compiles here, the rest in a worker; slow results are kept on disk."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from treegram.lang.compiler import compile as compiler
from treegram.lang.compiler.compile import compile_source
from treegram.lang.compiler.front_ends import Source, compile_here
from treegram.lang.compiler.grammar_cache import GrammarCache
from treegram.lang.compiler.pool import CompilePool
from treegram.lang.errors import ConstraintError, RegexError

SMALL = Source("regex", "[a-f]{2,8}")
LARGE = Source("schema", json.dumps({"properties": {f"property {n}": {} for n in range(3_000)}}))


class Unused(CompilePool):
    """Fails the test that needs a worker."""

    def compile(self, source: Source) -> bytes:
        raise AssertionError("a worker was asked")


@pytest.fixture
def disk(tmp_path: Path) -> GrammarCache:
    return GrammarCache(tmp_path / "grammars")


@pytest.fixture
def pool() -> Iterator[CompilePool]:
    made = CompilePool(max_workers=1)
    yield made
    made.close()


def endless(source: Source) -> NoReturn:
    while True:
        pass


def test_small_sources_compile_here_and_are_not_kept(disk: GrammarCache, tmp_path: Path) -> None:
    assert compile_source(SMALL, disk=disk, pool=Unused()) == compile_here(SMALL)
    with pytest.raises(RegexError):
        compile_source(Source("regex", "["), disk=disk, pool=Unused())
    assert not (tmp_path / "grammars").exists()


@pytest.mark.slow
def test_large_sources_compile_in_a_worker_and_are_kept(
    disk: GrammarCache, pool: CompilePool
) -> None:
    made = compile_source(LARGE, disk=disk, pool=pool)
    assert made == compile_here(LARGE)
    assert compile_source(LARGE, disk=disk, pool=Unused()) == made


@pytest.mark.slow
def test_what_turns_out_slow_goes_to_a_worker(
    disk: GrammarCache, pool: CompilePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "compile_here", endless)
    monkeypatch.setattr(compiler, "COMPILERS", (__name__.partition(".")[0],))
    assert compile_source(SMALL, disk=disk, pool=pool) == compile_here(SMALL)


def test_without_a_worker_everything_compiles_here(
    disk: GrammarCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with caplog.at_level(logging.WARNING):
        assert compile_source(LARGE, disk=disk, pool=CompilePool()) == compile_here(LARGE)
    assert "without limits" in caplog.text


def test_deep_sources_are_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = sys.getrecursionlimit()
    nested = '{"items": ' * limit + "true" + "}" * limit
    with pytest.raises(ConstraintError, match="nested too deeply"):
        compile_here(Source("schema", nested))

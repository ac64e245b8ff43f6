"""FILE:FUNCTION names a program, or the error says what the file has instead."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from treegram.lang.errors import ProgramError
from treegram.runtime.loading import load_module, load_program, load_programs, split_reference

PROGRAMS = """\
import treegram as tg

@tg.function
def card(s, text: str):
    s += text

@tg.function
def other(s):
    s += "hi"

def plain(s):
    return 1

_hidden = card
"""


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    file = tmp_path / "loading_cards.py"
    file.write_text(PROGRAMS)
    return file


@pytest.fixture(autouse=True)
def _restore_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [n for n in sys.modules if n.startswith(("loading_", "treegram_program_"))]:
        del sys.modules[name]


def test_a_program_is_found_by_file_and_name(cards: Path) -> None:
    assert load_program(f"{cards}:card").name == "card"


def test_a_file_gives_all_its_public_programs(cards: Path) -> None:
    assert list(load_programs(cards)) == ["card", "other"]


@pytest.mark.parametrize("reference", ["cards.py", "cards.py:", ":card", "cards.py:1x", ""])
def test_another_form_shows_the_right_one(reference: str) -> None:
    with pytest.raises(ProgramError, match=r"expected FILE:NAME, for example"):
        split_reference(reference)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"no such file: .*absent\.py"):
        load_program(f"{tmp_path / 'absent.py'}:card")


def test_a_missing_name_lists_the_programs(cards: Path) -> None:
    with pytest.raises(ProgramError, match=r"has no 'crad'; its programs: card, other"):
        load_program(f"{cards}:crad")


def test_a_function_without_the_decorator_is_no_program(cards: Path) -> None:
    with pytest.raises(ProgramError, match=r"'plain' .* is a function, not a program"):
        load_program(f"{cards}:plain")


def test_a_file_without_programs_says_how_to_make_one(tmp_path: Path) -> None:
    file = tmp_path / "loading_empty.py"
    file.write_text("x = 1\n")
    with pytest.raises(ProgramError, match=r"@tg\.function"):
        load_programs(file)


def test_a_file_that_is_not_python_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "loading_notes.txt"
    file.write_text("hello")
    with pytest.raises(ProgramError, match=r"ends in \.py"):
        load_module(file)


def test_an_error_in_the_file_notes_its_line_and_leaves_no_module(tmp_path: Path) -> None:
    file = tmp_path / "loading_broken.py"
    file.write_text("x = 1\ny = 1 / 0\n")
    with pytest.raises(ZeroDivisionError) as caught:
        load_module(file)
    assert caught.value.__notes__ == [f"{file}:2: y = 1 / 0"]
    assert "loading_broken" not in sys.modules


def test_a_file_named_like_a_library_does_not_replace_it(tmp_path: Path) -> None:
    import json

    file = tmp_path / "json.py"
    file.write_text("x = 1\n")
    module = load_module(file)
    assert module.__dict__["x"] == 1
    assert sys.modules["json"] is json


def test_a_neighbouring_module_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "loading_neighbour.py").write_text("WORD = 'hello'\n")
    file = tmp_path / "loading_main.py"
    file.write_text("from loading_neighbour import WORD\n")
    assert load_module(file).__dict__["WORD"] == "hello"


def test_a_dataclass_with_postponed_annotations_can_be_defined(tmp_path: Path) -> None:
    """dataclasses look their module up in sys.modules while the file runs."""
    file = tmp_path / "loading_types.py"
    file.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from typing import ClassVar\n"
        "@dataclass\nclass P:\n    k: ClassVar[int] = 1\n    x: int = 2\n"
    )
    assert load_module(file).__dict__["P"]().x == 2

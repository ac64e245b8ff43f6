"""Every Python block of the README and the documents runs, in order, on the embedded model.

The blocks of one file continue each other. A block right after `<!-- not run -->` is left out.
"""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest

from treegram.lang.base import Backend
from treegram.runtime.model import Model

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(<!-- not run -->\s*)?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: Path) -> list[str]:
    """The blocks to run, each moved to its own line number so that a traceback names it."""
    text = document.read_text(encoding="utf-8")
    return [
        "\n" * text.count("\n", 0, match.start(2)) + match[2]
        for match in BLOCK.finditer(text)
        if match[1] is None
    ]


class OneModel:
    """A provider that gives one model under every name."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def model(self, name: str | None) -> Backend:
        return self._model


def test_the_tutorial_and_the_readme_have_blocks() -> None:
    assert len(blocks(ROOT / "README.md")) >= 1
    assert len(blocks(ROOT / "docs" / "tutorial.md")) >= 8


def test_a_marked_block_is_left_out(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        "# A\n```python\none\n```\n<!-- not run -->\n```python\ntwo\n```\n\n```python\nthree\n```\n"
    )
    assert [block.strip() for block in blocks(document)] == ["one", "three"]
    assert blocks(document)[0] == "\n\none\n"


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize("document", [d for d in DOCUMENTS if blocks(d)], ids=lambda d: d.name)
def test_blocks_run(
    document: Path,
    embedded_model: Model,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("treegram.lang.provider._Default.provider", OneModel(embedded_model))
    monkeypatch.chdir(tmp_path)
    # a module of its own: pydantic looks annotations up in sys.modules
    module = types.ModuleType(document.stem.lower())
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for source in blocks(document):
        exec(compile(source, document, "exec", dont_inherit=True), module.__dict__)
        assert capsys.readouterr().out or "print(" not in source

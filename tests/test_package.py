"""The package as it is imported: names, layout, and what importing costs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import treegram as tg
from treegram import lang


@pytest.mark.parametrize("module", [tg, lang])
def test_all_is_sorted_and_complete(module: types.ModuleType) -> None:
    """Every public name is in `__all__`, and every name in `__all__` exists."""
    assert module.__all__ == sorted(set(module.__all__))
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not isinstance(value, types.ModuleType)
        and name not in ("TYPE_CHECKING", "annotations")
    }
    lazy = (
        {"EngineStats", "Model", "ModelOptions", "Runtime", "__version__"}
        if module is tg
        else set()
    )
    assert public | lazy == set(module.__all__) | (public & lazy)
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_the_top_level_has_every_name_of_the_language() -> None:
    assert set(lang.__all__) <= set(tg.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_here"):
        tg.nothing_here  # noqa: B018


def test_the_code_folders_are_reached_through_the_package_only() -> None:
    for name in ("lang", "runtime", "radix_cache"):
        assert importlib.util.find_spec(f"treegram.{name}") is not None
        code = (
            f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{name}') is not None)"
        )
        # From the root folder, so that only what is installed can be found.
        subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60, cwd="/")


def test_the_links_of_the_source_layout_exist() -> None:
    root = Path(__file__).parent.parent
    for name in ("lang", "runtime", "radix_cache"):
        link = root / "src" / "treegram" / name
        assert link.is_symlink()
        assert link.resolve() == (root / name).resolve()
        assert not Path(link.readlink()).is_absolute()
    assert (root / "src" / "treegram" / "py.typed").is_file()


def test_programs_can_be_written_without_loading_llama_cpp() -> None:
    code = (
        "import sys, treegram as tg\n"
        "p = tg.function(lambda s: s.__iadd__(tg.gen('x')))\n"
        "p.run(model=tg.ScriptedBackend('A'))\n"
        "assert 'llama_cpp' not in sys.modules\n"
        "assert not any(m.startswith('treegram.runtime') for m in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_language_does_not_import_the_runtime() -> None:
    root = Path(__file__).parent.parent
    for folder in ("lang", "radix_cache"):
        for path in (root / folder).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            assert not re.search(r"from \.+runtime\b", source), path
            assert "treegram.runtime" not in source.replace("`treegram.runtime.Runtime`", ""), path


def test_the_version_is_the_distributions() -> None:
    from importlib.metadata import version

    assert tg.__version__ == version("treegram")

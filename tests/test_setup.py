"""What a newcomer without the tools reads: one line that says what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("bash", "cat", "cksum", "env", "tail", "uname")

pytestmark = pytest.mark.slow


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The set-up script in a folder of its own, with a PATH that holds no compiler."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/setup", tmp_path / ".ci/setup")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def setup(clone: Path, python: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(clone / ".ci/setup"), "core"],
        cwd=clone,
        env={"PATH": str(clone / "bin"), "PYTHON": python, "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_old_python_is_named_with_what_is_needed(clone: Path) -> None:
    old = clone / "bin/python3"
    old.write_text(
        '#!/usr/bin/env bash\n[ "$1" = --version ] && echo "Python 3.8.10" && exit\nexit 1\n'
    )
    old.chmod(0o755)
    done = setup(clone, str(old))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Python 3.8.10 is too old; treegram needs Python 3.11" in done.stderr


def test_no_python_at_all(clone: Path) -> None:
    done = setup(clone, "python3")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: no python3 found; install Python 3.11 or newer, or set PYTHON=/path/to/python3"
    ]


def test_a_missing_compiler_is_one_clear_line(clone: Path) -> None:
    done = setup(clone, sys.executable)
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: no C++ compiler found")
    assert "apt-get install g++ cmake" in error
    assert len(done.stderr.splitlines()) <= 2

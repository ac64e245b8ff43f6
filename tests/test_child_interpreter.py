"""A child runs one function with this process's import path, and not the user's script."""

from __future__ import annotations

import subprocess
import sys

import pytest

from treegram.child_interpreter import NoInterpreter, child_command, start_child


def test_a_child_imports_what_this_process_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, "/somewhere/else"])
    command = child_command("runpy", "print", 1, 2.5)
    command[2] = command[2].replace("from runpy import print\n", "") + "; print(sys.path)"
    with start_child(command, stderr=subprocess.DEVNULL) as child:
        said = child.communicate(timeout=30)[0].decode().split("\n")
    assert said[:2] == ["1 2.5", repr(sys.path)]


def test_a_program_without_an_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(NoInterpreter, match="no Python interpreter of its own"):
        child_command("a", "b")
    monkeypatch.setattr(sys, "executable", "program")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(NoInterpreter, match="no Python interpreter of its own"):
        child_command("a", "b")

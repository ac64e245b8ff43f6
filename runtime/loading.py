"""From what a command line names, `FILE:FUNCTION` or `FILE`, to programs."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from ..lang.errors import ProgramError
from ..lang.program import Program


def split_reference(reference: str) -> tuple[Path, str]:
    """`FILE:NAME` as its two parts. Raises ProgramError on another form."""
    file, colon, name = reference.rpartition(":")
    if not colon or not file or not name.isidentifier():
        raise ProgramError(f"expected FILE:NAME, for example cards.py:card; got {reference!r}")
    return Path(file), name


def load_module(file: Path) -> ModuleType:
    """Runs a Python file as a module named after it, with its folder importable.

    Raises ProgramError if there is no such file. What the file itself raises passes through, with
    a note that names the line.
    """
    if not file.is_file():
        raise ProgramError(f"no such file: {file}")
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    # a file may be called json.py; the real json must stay what it is
    name = file.stem if file.stem not in sys.modules else f"treegram_program_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ProgramError(f"{file} is not a Python file; expected a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    # dataclasses and pydantic look their module up while it runs
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as exc:
        del sys.modules[name]
        frames = [f for f in traceback.extract_tb(exc.__traceback__) if f.filename == str(file)]
        if frames:
            exc.add_note(f"{file}:{frames[-1].lineno}: {frames[-1].line}")
        raise
    return module


def load_program(reference: str) -> Program:
    """The program that `FILE:FUNCTION` names. Raises ProgramError."""
    file, name = split_reference(reference)
    module = load_module(file)
    found = getattr(module, name, None)
    if isinstance(found, Program):
        return found
    known = ", ".join(programs_in(module)) or "none; decorate one with @tg.function"
    if found is None:
        raise ProgramError(f"{file} has no {name!r}; its programs: {known}")
    raise ProgramError(
        f"{name!r} in {file} is a {type(found).__name__}, not a program; its programs: {known}"
    )


def load_programs(file: Path) -> Mapping[str, Program]:
    """Every program of a file by its name there. Raises ProgramError if it has none."""
    programs = programs_in(load_module(file))
    if not programs:
        raise ProgramError(f"{file} has no programs; decorate one with @tg.function")
    return programs


def programs_in(module: ModuleType) -> dict[str, Program]:
    """The programs among a module's public names."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, Program) and not name.startswith("_")
    }

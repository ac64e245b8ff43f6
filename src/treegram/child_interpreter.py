"""Fresh Python interpreters that run one function of this package, and nothing else.

Neither a fork (there are threads) nor a re-run of the user's script, as `multiprocessing` would
have it. A child imports what this process would: it gets the same `sys.path`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping


class NoInterpreter(Exception):
    """This program is frozen, or Python is embedded in it, and there is nothing to start."""


def child_command(module: str, function: str, *arguments: float) -> list[str]:
    """The command that calls a function of a module. Raises NoInterpreter."""
    if getattr(sys, "frozen", False) or not sys.executable:
        raise NoInterpreter("this program has no Python interpreter of its own to start")
    code = (
        "import sys; sys.path[:] = sys.argv[1:]\n"
        f"from {module} import {function}\n"
        f"{function}({', '.join(map(repr, arguments))})"
    )
    return [sys.executable, "-c", code, *sys.path]


def start_child(
    command: list[str], *, stderr: int, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts a child that is talked to through pipes. Raises OSError.

    `stderr` and `env` are those of `subprocess.Popen`.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        bufsize=0,  # a buffer's lock could be held by another thread when this one forks
        start_new_session=True,  # Ctrl-C is for the parent
        env=env,
    )

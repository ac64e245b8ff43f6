"""A script in a process of its own, whose record comes back and which cannot outlive its time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

Record: TypeAlias = dict[str, Any]
"""What the script wrote, or `failed` with the reason, or `late` with the limit in seconds."""


def run_child(script: Path, request: Mapping[str, object], limit_s: float) -> Record:
    """Runs `script REQUEST RECORD`: the request as JSON, and the path to write the record to.

    It gets a process group of its own, which ends with it whatever it started.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, str(script), json.dumps(request), str(path)],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(limit_s)
            except subprocess.TimeoutExpired:
                return {"late": limit_s}
            finally:
                _end_group(process)
        if process.returncode or not path.exists():
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return {"failed": lines[-1] if lines else f"exit status {process.returncode}"}
        record: Record = json.loads(path.read_text(encoding="utf-8"))
        return record


def _end_group(process: subprocess.Popen[bytes]) -> None:
    # the group is gone already where everything ended by itself, as it should
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

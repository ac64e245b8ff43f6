"""One engine on one workload, in a process of its own: memory and threads disturb no other.

`compare.py` starts this with the request as a JSON argument and the path of the file to write the
record to; standard output belongs to the engines, some of which print.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from peer import Setup, Unavailable
from workloads.base import Engine, Workload
from workloads.catalog import ENGINES, workload
from workloads.ceiling import measure
from workloads.data import MissingData, load

CEILING = "ceiling"


def run(name: str, setup: Setup, task: Workload) -> dict[str, Any]:
    """Runs one engine, or measures the ceiling, and gives the record. Raises Unavailable."""
    load_before = os.getloadavg()[0]
    if name == CEILING:
        found = measure(setup, task)
        times = {"seconds": found.seconds, "seconds_at_depth": found.seconds_at_depth}
        return {"load": load_before, **times, **asdict(found)}
    module, class_name, arguments = ENGINES[name]
    make: Callable[..., Engine] = getattr(
        importlib.import_module(f"workloads.{module}"), class_name
    )
    engine = make(setup, **arguments)
    try:
        engine.warm_up()
        started = time.perf_counter()
        answers = engine.run(task)
        seconds = time.perf_counter() - started
        counts = engine.counts()
    finally:
        engine.close()
    return {
        "load": load_before,
        "seconds": seconds,
        "rows": len(task.rows),
        "right": task.right(answers),
        **asdict(counts),
    }


def main() -> None:
    """Takes the request and the record's path from the command line."""
    request: dict[str, Any] = json.loads(sys.argv[1])
    paths = {
        key: Path(request[key]) if request[key] else None
        for key in ("llama_server", "example_server", "data")
    }
    setup = Setup(
        Path(request["model"]),
        int(request["threads"]),
        paths["llama_server"],
        paths["example_server"],
    )
    record: dict[str, Any]
    try:
        task = workload(request["workload"], load(paths["data"]), quick=bool(request["quick"]))
        record = run(request["engine"], setup, task)
    except (Unavailable, MissingData) as exc:
        record = {"skipped": str(exc)}
    Path(sys.argv[2]).write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main()

"""One engine, one run, in a process of its own: memory and threads of another cannot disturb it.

`extraction.py` starts this with the request as a JSON argument and the path of the file to write
the record to; standard output belongs to the engines, some of which print.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from busy import busy_thread
from peer import Peer, Setup, Unavailable
from workload import WARM_UP, extraction, judge

PEERS: Mapping[str, tuple[str, str, Mapping[str, int]]] = {
    "treegram": ("peer_treegram", "Treegram", {}),
    "treegram-prepared": ("peer_treegram", "Treegram", {"prepared_bytes": 1 << 30}),
    "llama-cpp-python": ("peer_llama_cpp_python", "LlamaCppPython", {}),
    "guidance": ("peer_guidance", "Guidance", {}),
    "llama-server-1": ("peer_llama_server", "LlamaServer", {"slots": 1}),
    "llama-server-4": ("peer_llama_server", "LlamaServer", {"slots": 4}),
}
"""Name -> module, class, arguments. A module is imported only in the process that runs it."""

CEILING = "ceiling"


def run(name: str, setup: Setup, rows: int, busy: bool) -> dict[str, object]:
    """Runs one engine and gives its record. Raises Unavailable."""
    workload = extraction(rows)
    load = os.getloadavg()[0]
    if name == CEILING:
        from ceiling import measure

        found = measure(setup, workload)
        times = {"seconds": found.seconds, "seconds_forced": found.seconds_forced}
        return {"load": load, **asdict(found), **times}
    module, class_name, arguments = PEERS[name]
    make: Callable[..., Peer] = getattr(importlib.import_module(module), class_name)
    peer = make(setup, **arguments)
    try:
        peer.warm_up(WARM_UP)
        with busy_thread() if busy else nullcontext():
            started = time.perf_counter()
            answers = peer.answer(workload)
            seconds = time.perf_counter() - started
    finally:
        peer.close()
    return {"load": load, "seconds": seconds, **asdict(judge(workload, answers))}


def main() -> None:
    """Takes the request and the record's path from the command line."""
    request: dict[str, Any] = json.loads(sys.argv[1])
    server = request["llama_server"]
    setup = Setup(Path(request["model"]), int(request["threads"]), Path(server) if server else None)
    record: dict[str, object]
    try:
        record = run(request["name"], setup, int(request["rows"]), bool(request["busy"]))
    except Unavailable as exc:
        record = {"skipped": str(exc)}
    Path(sys.argv[2]).write_text(json.dumps(record), encoding="utf-8")


if __name__ == "__main__":
    main()

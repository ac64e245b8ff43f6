"""llama-server: its own process on the loopback interface, one client thread per slot."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from peer import Peer, Setup, Unavailable
from server_process import ServerProcess, free_port
from workload import MAX_TOKENS, Workload

CELLS_PER_SLOT = 2048


def start(setup: Setup, slots: int) -> ServerProcess:
    """A server with a fixed number of slots. Raises Unavailable where there is no binary."""
    if setup.llama_server is None:
        raise Unavailable(
            "no llama-server; build it from llama-cpp-python's sdist (vendor/llama.cpp, "
            "target llama-server) and pass --llama-server PATH"
        )
    port = free_port()
    command = [
        *(str(setup.llama_server), "--model", str(setup.model)),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--threads", str(setup.threads), "--threads-batch", str(setup.threads)),
        *("--parallel", str(slots), "--ctx-size", str(slots * CELLS_PER_SLOT)),
        *("--flash-attn", "on", "--log-disable"),
    ]
    return ServerProcess("llama-server", command, port, "/health")


class LlamaServer(Peer):
    """A server with a fixed number of slots."""

    def __init__(self, setup: Setup, slots: int) -> None:
        self._slots = slots
        self._server = start(setup, slots)

    def warm_up(self, text: str) -> None:
        body = {"prompt": text, "n_predict": 4, "temperature": 0.0, "cache_prompt": False}
        with ThreadPoolExecutor(self._slots) as clients:
            list(clients.map(self._complete, [body] * self._slots))

    def answer(self, workload: Workload) -> list[str]:
        common = {
            "json_schema": workload.json_schema,
            "n_predict": MAX_TOKENS,
            "temperature": 0.0,
            "cache_prompt": True,
            "stop": ["\n"],
        }
        bodies = [{"prompt": prompt, **common} for prompt in workload.prompts]
        with ThreadPoolExecutor(self._slots) as clients:
            return list(clients.map(self._complete, bodies))

    def close(self) -> None:
        self._server.close()

    def _complete(self, body: Mapping[str, object]) -> str:
        return str(self._server.post("/completion", body)["content"])

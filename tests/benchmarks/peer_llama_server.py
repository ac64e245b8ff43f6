"""llama-server: its own process on the loopback interface, one client thread per slot."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from peer import Peer, Setup, Unavailable
from workload import MAX_TOKENS, Workload

CELLS_PER_SLOT = 2048
START_TIMEOUT_S = 60.0
REQUEST_TIMEOUT_S = 300.0


class LlamaServer(Peer):
    """A server with a fixed number of slots."""

    def __init__(self, setup: Setup, slots: int) -> None:
        if setup.llama_server is None:
            raise Unavailable(
                "no llama-server; build it from llama-cpp-python's sdist (vendor/llama.cpp, "
                "target llama-server) and pass --llama-server PATH"
            )
        self._slots = slots
        self._port = _free_port()
        command = [
            *(str(setup.llama_server), "--model", str(setup.model)),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--threads", str(setup.threads), "--threads-batch", str(setup.threads)),
            *("--parallel", str(slots), "--ctx-size", str(slots * CELLS_PER_SLOT)),
            *("--flash-attn", "on", "--log-disable"),
        ]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

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
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _complete(self, body: Mapping[str, object]) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_TIMEOUT_S)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/completion", json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"llama-server answered {response.status}: {text[:300]}")
        result: dict[str, Any] = json.loads(text)
        return str(result["content"])

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"llama-server ended with status {self._process.returncode}")
            if self._is_healthy():
                return
            time.sleep(0.1)
        raise RuntimeError(f"llama-server was not ready after {START_TIMEOUT_S:.0f} s")

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port

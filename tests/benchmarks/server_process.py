"""A peer's HTTP server as a child process on the loopback interface."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

START_TIMEOUT_S = 60.0
REQUEST_TIMEOUT_S = 300.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


class ServerProcess:
    """A server that answers JSON; ready once it is made. Thread-safe.

    Args:
        name: for messages.
        command: starts it on `port`.
        health: a path that answers 200 when it is ready.

    Raises RuntimeError if it ends or is not ready in time.
    """

    def __init__(self, name: str, command: Sequence[str], port: int, health: str) -> None:
        self._name = name
        self._port = port
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            self._wait_until_ready(health)
        except BaseException:
            self.close()
            raise

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """The answer to a request. Raises RuntimeError if it is refused."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_TIMEOUT_S)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"{self._name} answered {response.status}: {text[:300]}")
        result: dict[str, Any] = json.loads(text)
        return result

    def close(self) -> None:
        """Ends the process."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_until_ready(self, health: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"{self._name} ended with status {self._process.returncode}")
            if self._is_healthy(health):
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self._name} was not ready after {START_TIMEOUT_S:.0f} s")

    def _is_healthy(self, health: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", health)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

"""What the tests of the command line and of the server share."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from starlette.types import ASGIApp

from treegram.lang.base import Backend, ModelProvider


class OneModel:
    """The same backend under any name."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def model(self, name: str | None = None) -> Backend:
        return self.backend


@pytest.fixture(scope="session")
def one_model() -> Callable[[Backend], ModelProvider]:
    """Makes a provider of one backend."""
    return OneModel


@pytest.fixture
def live() -> Iterator[Callable[[ASGIApp], str]]:
    """Serves an application on a real socket; gives its URL. Every server ends with the test."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: ASGIApp) -> str:
        sock = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(app, lifespan="off", log_level="error", timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([sock],))
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join()

"""What the tests of the command line and of the server share."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.types import ASGIApp

from treegram.lang.base import Backend, ModelProvider
from treegram.lang.conversation import text_of
from treegram.lang.scripted import ScriptedBackend
from treegram.runtime.cli import main


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


PROGRAMS = """\
from dataclasses import dataclass
from typing import Literal

import treegram as tg

@dataclass
class Person:
    name: str
    age: int

@tg.function
def card(s, text: str, shots: int = 3, tags: list[str] | None = None):
    s += f"{text}|{shots}|{tags}>"
    s += tg.gen("reply", max_tokens=8)

@tg.function
def person(s, text: str):
    s += text
    s += tg.gen("person", schema=Person)

@tg.function
def twice(s):
    s += ["Hi, ", tg.gen("first"), " and ", tg.gen("second")]

@tg.function
def broken(s, text: str):
    s += text
    raise LookupError("nothing found")

@tg.function
def unresolved(s, text: "Missing"):
    s += text
"""


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file of programs, which is forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / "cli_cards.py"
    file.write_text(PROGRAMS)
    yield file
    sys.modules.pop("cli_cards", None)


@pytest.fixture
def cli(one_model: Callable[[Backend], ModelProvider]) -> Callable[..., int]:
    """Runs a command line on a backend (one that echoes its prompt, if none is given)."""

    def run(*argv: object, backend: Backend | None = None) -> int:
        provider = one_model(backend or ScriptedBackend(lambda r: f"<{text_of(r.prompt)}>"))
        return main([str(part) for part in argv], provider=provider)

    return run

"""llama-cpp-python's `examples/server/server.py`: a radix trie and continuous batching.

Constraints are its chat endpoint's `response_format` alone, so a choice or an extraction is asked
for as a user's message that holds the text so far.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_cpp import Llama
from peer import Setup, Unavailable
from pydantic import BaseModel
from server_process import ServerProcess, free_port

from .base import Counts
from .completions import Completions
from .engine_llama_cpp_python import NEVER

CLIENTS = 16
CELLS = 16384


class ExampleServer(Completions):
    """The server with the settings of its own smallest configuration file."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(CLIENTS)
        if setup.example_server is None:
            raise Unavailable(
                "no example server; pass --example-server examples/server/server.py of "
                "llama-cpp-python's sdist"
            )
        self._folder = tempfile.TemporaryDirectory()
        port = free_port()
        config = {
            "server": {"host": "127.0.0.1", "port": port},
            "model": {
                "path": str(setup.model),
                "alias": "model",
                "n_ctx": CELLS,
                "n_seq_max": 64,
                "n_batch": 128,
                "n_ubatch": 128,
                "threads": setup.threads,
                "threads_batch": setup.threads,
                "kv_unified": True,
                "flash_attn": True,
                "store_logits": False,
            },
        }
        file = Path(self._folder.name) / "config.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        command = [sys.executable, str(setup.example_server), "-C", str(file)]
        self._server = ServerProcess("the example server", command, port, "/healthz")
        self._lock = threading.Lock()
        self._generated = 0
        self._goes_on = {str(_end_of_text(setup.model)): NEVER}

    def complete(self, prompt: str, tokens: int) -> str:
        body = {"prompt": prompt, "max_tokens": tokens, "logit_bias": self._goes_on}
        return str(self._post("/v1/completions", body)["text"])

    def choose(self, prompt: str, options: Sequence[str]) -> str:
        # strings of JSON, without the space that a text would go on with
        schema = {"type": "string", "enum": [option.strip() for option in options]}
        chosen = json.loads(self._formatted(prompt, schema, 256))
        return next(option for option in options if option.strip() == chosen)

    def extract(self, prompt: str, schema: type[BaseModel], tokens: int) -> str:
        return self._formatted(prompt, schema.model_json_schema(), tokens)

    def reply(self, messages: Sequence[dict[str, str]], tokens: int) -> str:
        body = {"messages": list(messages), "max_tokens": tokens, "logit_bias": self._goes_on}
        return str(self._post("/v1/chat/completions", body)["message"]["content"])

    def counts(self) -> Counts:
        return Counts(generated=self._generated)

    def close(self) -> None:
        self._server.close()
        self._folder.cleanup()

    def _formatted(self, prompt: str, schema: dict[str, Any], tokens: int) -> str:
        wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        messages = [{"role": "user", "content": prompt}]
        body = {"messages": messages, "max_tokens": tokens, "response_format": wanted}
        return str(self._post("/v1/chat/completions", body)["message"]["content"])

    def _post(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        result = self._server.post(path, {"model": "model", "temperature": 0.0} | body)
        with self._lock:
            self._generated += result["usage"]["completion_tokens"]
        choice: dict[str, Any] = result["choices"][0]
        return choice


def _end_of_text(model: Path) -> int:
    vocabulary = Llama(str(model), vocab_only=True, verbose=False)
    try:
        return vocabulary.token_eos()
    finally:
        vocabulary.close()

"""llama-server: `/completion` and `/v1/chat/completions`, one client thread per slot."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from peer import Setup
from peer_llama_server import start
from pydantic import BaseModel

from .base import Counts
from .completions import Completions, choice_grammar


class LlamaServer(Completions):
    """A server with a fixed number of slots, which says how many tokens it evaluated."""

    def __init__(self, setup: Setup, slots: int) -> None:
        super().__init__(slots)
        self._server = start(setup, slots)
        self._lock = threading.Lock()
        self._generated = self._evaluated = 0

    def warm_up(self) -> None:
        super().warm_up()
        self._generated = self._evaluated = 0

    def complete(self, prompt: str, tokens: int) -> str:
        return self._complete({"prompt": prompt, "n_predict": tokens, "ignore_eos": True})

    def choose(self, prompt: str, options: Sequence[str]) -> str:
        grammar = choice_grammar(options)
        return self._complete({"prompt": prompt, "n_predict": 256, "grammar": grammar})

    def extract(self, prompt: str, schema: type[BaseModel], tokens: int) -> str:
        # its grammar lets white space follow the object; the stop string ends that at once
        return self._complete(
            {
                "prompt": prompt,
                "n_predict": tokens,
                "json_schema": schema.model_json_schema(),
                "stop": ["\n"],
            }
        )

    def reply(self, messages: Sequence[dict[str, str]], tokens: int) -> str:
        body = {
            "messages": list(messages),
            "max_tokens": tokens,
            "temperature": 0.0,
            "cache_prompt": True,
            "ignore_eos": True,
        }
        result = self._counted(self._server.post("/v1/chat/completions", body))
        return str(result["choices"][0]["message"]["content"])

    def counts(self) -> Counts:
        return Counts(generated=self._generated, evaluated=self._evaluated)

    def close(self) -> None:
        self._server.close()

    def _complete(self, body: dict[str, object]) -> str:
        result = self._server.post("/completion", {"temperature": 0.0, "cache_prompt": True} | body)
        return str(self._counted(result)["content"])

    def _counted(self, result: dict[str, Any]) -> dict[str, Any]:
        timings = result["timings"]
        with self._lock:
            self._generated += timings["predicted_n"]
            # the last generated token of an answer is not evaluated
            self._evaluated += timings["prompt_n"] + max(0, timings["predicted_n"] - 1)
        return result

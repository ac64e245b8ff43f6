"""llama-cpp-python: `Llama`, which reuses the longest prefix of its last call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from llama_cpp import Llama
from llama_cpp.llama_grammar import LlamaGrammar
from peer import Setup
from pydantic import BaseModel

from .base import Counts
from .completions import Completions, choice_grammar

N_CTX = 2048
NEVER = -100.0
"""A bias that keeps a token from being chosen."""


class LlamaCppPython(Completions):
    """One `Llama`, one call after another; choices and JSON by its own grammars."""

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self._llama = load(setup)
        self._goes_on = {self._llama.token_eos(): NEVER}
        self._schemas: dict[type[BaseModel], LlamaGrammar] = {}
        self._generated = 0

    def complete(self, prompt: str, tokens: int) -> str:
        return self._complete(prompt, max_tokens=tokens, logit_bias=self._goes_on)

    def choose(self, prompt: str, options: Sequence[str]) -> str:
        grammar = LlamaGrammar.from_string(choice_grammar(options), verbose=False)
        return self._complete(prompt, max_tokens=256, grammar=grammar)

    def extract(self, prompt: str, schema: type[BaseModel], tokens: int) -> str:
        if schema not in self._schemas:
            text = json.dumps(schema.model_json_schema())
            self._schemas[schema] = LlamaGrammar.from_json_schema(text, verbose=False)
        # its grammar lets white space follow the object; the stop string ends that at once
        grammar = self._schemas[schema]
        return self._complete(prompt, max_tokens=tokens, grammar=grammar, stop=["\n"])

    def reply(self, messages: Sequence[dict[str, str]], tokens: int) -> str:
        result = self._llama.create_chat_completion(
            cast("Any", list(messages)),
            max_tokens=tokens,
            temperature=0.0,
            logit_bias=cast("Any", self._goes_on),
        )
        return self._counted(cast("dict[str, Any]", result))["message"]["content"] or ""

    def counts(self) -> Counts:
        return Counts(generated=self._generated)

    def close(self) -> None:
        self._llama.close()

    def _complete(self, prompt: str, **options: Any) -> str:
        result = self._llama.create_completion(prompt, temperature=0.0, **options)
        return str(self._counted(cast("dict[str, Any]", result))["text"])

    def _counted(self, result: dict[str, Any]) -> dict[str, Any]:
        self._generated += result["usage"]["completion_tokens"]
        choice: dict[str, Any] = result["choices"][0]
        return choice


def load(setup: Setup) -> Llama:
    """The model with flash attention on, as all engines have it."""
    return Llama(
        str(setup.model),
        n_ctx=N_CTX,
        n_threads=setup.threads,
        n_threads_batch=setup.threads,
        flash_attn=True,
        verbose=False,
    )

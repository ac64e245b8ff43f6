"""llama-cpp-python: `Llama` with its own grammar; it reuses the longest prefix of the last call."""

from __future__ import annotations

import json
from typing import Any, cast

from llama_cpp import Llama
from llama_cpp.llama_grammar import LlamaGrammar
from peer import Peer, Setup
from workload import MAX_TOKENS, Workload


class LlamaCppPython(Peer):
    """One `Llama`, one call per row."""

    def __init__(self, setup: Setup) -> None:
        self._llama = Llama(
            str(setup.model),
            n_ctx=2048,
            n_threads=setup.threads,
            n_threads_batch=setup.threads,
            flash_attn=True,
            verbose=False,
        )

    def warm_up(self, text: str) -> None:
        self._llama.create_completion(text, max_tokens=4, temperature=0.0)

    def answer(self, workload: Workload) -> list[str]:
        schema = json.dumps(workload.json_schema)
        grammar = LlamaGrammar.from_json_schema(schema, verbose=False)
        return [self._complete(prompt, grammar) for prompt in workload.prompts]

    def _complete(self, prompt: str, grammar: LlamaGrammar) -> str:
        # its grammar lets white space follow the object; the stop string ends that at once
        result = self._llama.create_completion(
            prompt, grammar=grammar, max_tokens=MAX_TOKENS, temperature=0.0, stop=["\n"]
        )
        return str(cast("dict[str, Any]", result)["choices"][0]["text"])

    def close(self) -> None:
        self._llama.close()

"""outlines: `from_llamacpp` around llama-cpp-python, called with an output type."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Literal, cast

from peer import Setup, Unavailable
from pydantic import BaseModel

from .base import Counts
from .completions import Completions
from .engine_llama_cpp_python import NEVER, load

try:
    # by name, because neither it nor its types need be installed
    outlines: Any = importlib.import_module("outlines")
    # what it masks with by default where torch is not used
    importlib.import_module("outlines_core.kernels.numpy")
except ImportError as exc:
    raise Unavailable("pip install 'outlines[llamacpp]' numba") from exc


class Outlines(Completions):
    """One `Llama`; a generator per output type, kept as its documentation advises."""

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self._llama = load(setup)
        self._text = outlines.from_llamacpp(self._llama, chat_mode=False)
        self._chat = outlines.from_llamacpp(self._llama)
        self._goes_on = {self._llama.token_eos(): NEVER}
        self._generators: dict[object, Any] = {}

    def complete(self, prompt: str, tokens: int) -> str:
        options = {"max_tokens": tokens, "temperature": 0.0, "logit_bias": self._goes_on}
        return str(self._text(prompt, **options))

    def choose(self, prompt: str, options: Sequence[str]) -> str:
        wanted = cast("Any", Literal)[tuple(options)]
        return self._constrained(tuple(options), wanted, prompt, 256)

    def extract(self, prompt: str, schema: type[BaseModel], tokens: int) -> str:
        return self._constrained(schema, schema, prompt, tokens)

    def reply(self, messages: Sequence[dict[str, str]], tokens: int) -> str:
        chat = outlines.inputs.Chat(list(messages))
        options = {"max_tokens": tokens, "temperature": 0.0, "logit_bias": self._goes_on}
        return str(self._chat(chat, **options))

    def counts(self) -> Counts:
        return Counts()

    def close(self) -> None:
        self._llama.close()

    def _constrained(self, key: object, wanted: object, prompt: str, tokens: int) -> str:
        if key not in self._generators:
            self._generators[key] = outlines.Generator(self._text, wanted)
        return str(self._generators[key](prompt, max_tokens=tokens, temperature=0.0))

"""treegram: structured-generation programs on local GGUF models.

import treegram as tg

@tg.function
def capital(s, country):
    s += tg.user(f"What is the capital of {country}?")
    s += tg.assistant(tg.gen("answer", max_tokens=32))

print(capital.run("France")["answer"])
"""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING

from .lang import (
    Answer,
    Backend,
    BatchInterrupted,
    CancelledError,
    ChoiceScore,
    Confidence,
    ConstraintError,
    ContextOverflowError,
    Delta,
    EngineError,
    Fork,
    GenMeta,
    Grammar,
    GrammarError,
    Handle,
    JsonLayout,
    Message,
    ModelError,
    ModelProvider,
    Note,
    OrderReport,
    OutputError,
    ParameterError,
    Place,
    Program,
    ProgramError,
    RegexError,
    Region,
    SamplingParams,
    SchemaError,
    ScriptedBackend,
    State,
    Stream,
    SubstringOf,
    Tag,
    Tags,
    TokenLogprob,
    ToolCall,
    TreegramError,
    Usage,
    VariableError,
    assistant,
    assistant_begin,
    assistant_end,
    function,
    gen,
    gen_int,
    gen_string,
    image,
    reasoning,
    select,
    set_default_runtime,
    system,
    system_begin,
    system_end,
    tool_schemas,
    unordered,
    user,
    user_begin,
    user_end,
)

if TYPE_CHECKING:
    from .runtime.model import Model
    from .runtime.model_options import ModelOptions
    from .runtime.runtime import Runtime
    from .runtime.stats import EngineStats

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Backend",
    "BatchInterrupted",
    "CancelledError",
    "ChoiceScore",
    "Confidence",
    "ConstraintError",
    "ContextOverflowError",
    "Delta",
    "EngineError",
    "EngineStats",
    "Fork",
    "GenMeta",
    "Grammar",
    "GrammarError",
    "Handle",
    "JsonLayout",
    "Message",
    "Model",
    "ModelError",
    "ModelOptions",
    "ModelProvider",
    "Note",
    "OrderReport",
    "OutputError",
    "ParameterError",
    "Place",
    "Program",
    "ProgramError",
    "RegexError",
    "Region",
    "Runtime",
    "SamplingParams",
    "SchemaError",
    "ScriptedBackend",
    "State",
    "Stream",
    "SubstringOf",
    "Tag",
    "Tags",
    "TokenLogprob",
    "ToolCall",
    "TreegramError",
    "Usage",
    "VariableError",
    "__version__",
    "assistant",
    "assistant_begin",
    "assistant_end",
    "function",
    "gen",
    "gen_int",
    "gen_string",
    "image",
    "reasoning",
    "select",
    "set_default_runtime",
    "system",
    "system_begin",
    "system_end",
    "tool_schemas",
    "unordered",
    "user",
    "user_begin",
    "user_end",
]


# The runtime loads llama.cpp's shared library; programs can be written, and tested with a
# ScriptedBackend, without it.
_FROM_RUNTIME = {
    "EngineStats": ".runtime.stats",
    "Model": ".runtime.model",
    "ModelOptions": ".runtime.model_options",
    "Runtime": ".runtime.runtime",
}


def __getattr__(name: str) -> object:
    if name in _FROM_RUNTIME:
        return getattr(importlib.import_module(_FROM_RUNTIME[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _DefaultRuntime:
    """Makes the process's own Runtime when a program first runs without a backend."""

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        self._lock = threading.Lock()

    def model(self, name: str | None) -> Backend:
        from .runtime.runtime import Runtime

        with self._lock:
            if self._runtime is None:
                self._runtime = Runtime()
        return self._runtime.model(name)


set_default_runtime(_DefaultRuntime())

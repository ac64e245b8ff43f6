"""Tool calls: the model names one of several Python functions and writes its arguments.

The text is `{"name": ..., "arguments": {...}}`, with arguments as the function's signature declares
them. `tool_schemas` describes the same functions to the model, in the form of OpenAI's API, which
models are trained on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ParameterError


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model wrote: nothing is run until `call()`.

    `arguments` are validated values of the parameters' types, defaults filled in.
    """

    name: str
    arguments: Mapping[str, Any]
    function: Callable[..., Any]

    def call(self) -> Any:
        """Runs the function with the arguments; what it raises is raised."""
        return self.function(**self.arguments)


def tool_schemas(tools: Sequence[Callable[..., Any]]) -> list[dict[str, Any]]:
    """The functions as OpenAI's `tools`: name, docstring and the schema of the parameters.

    Raises ParameterError for what is no list of functions with different names, SchemaError for a
    parameter without a type that JSON can hold.
    """
    from .output import Arguments  # loads pydantic

    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": inspect.getdoc(function) or "",
                "parameters": Arguments(function).schema(),
            },
        }
        for name, function in checked_tools(tools).items()
    ]


def checked_tools(tools: Sequence[Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """The functions by name. Raises ParameterError."""
    if isinstance(tools, str) or not isinstance(tools, Sequence) or not tools:
        raise ParameterError("tools", f"expected a list of functions, got {tools!r:.80}")
    named: dict[str, Callable[..., Any]] = {}
    for number, tool in enumerate(tools):
        if not inspect.isroutine(tool):
            raise ParameterError(
                "tools", f"[{number}] is {tool!r:.80}, expected a function or a method"
            )
        if tool.__name__ in named:
            raise ParameterError(
                "tools", f"[{number}] is a second function called {tool.__name__!r}; rename one"
            )
        named[tool.__name__] = tool
    return named

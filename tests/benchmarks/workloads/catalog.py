"""All workloads and all engines, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .agent_loop import agent_loop
from .base import Workload
from .chat import chat_long, chat_short
from .completion_ranking import completion_following, completion_ranking
from .data import Data
from .json_extraction import json_extraction
from .judge import judge
from .multiple_choice import multiple_choice
from .rag import rag
from .shared_prefix import generated_shared_prefix, nothing_shared, prefix_repetition
from .skeleton_of_thought import skeleton_of_thought
from .tree_of_thought import tree_of_thought

Make = tuple[Callable[..., Workload], Mapping[str, int], Mapping[str, int]]

WORKLOADS: Mapping[str, Make] = {
    "multiple-choice": (
        multiple_choice,
        {"subjects": 4, "questions": 12},
        {"subjects": 2, "questions": 5},
    ),
    "ranking": (completion_ranking, {"rows": 24}, {"rows": 8}),
    "ranking-by-token": (completion_following, {"rows": 24}, {"rows": 8}),
    "agent": (agent_loop, {"rows": 8, "steps": 3}, {"rows": 3, "steps": 2}),
    "tree-of-thought": (tree_of_thought, {"rows": 6}, {"rows": 2}),
    "skeleton": (skeleton_of_thought, {"rows": 6}, {"rows": 2}),
    "judge": (judge, {"rows": 5, "words": 300}, {"rows": 2, "words": 200}),
    "json": (json_extraction, {"rows": 32}, {"rows": 10}),
    "chat-short": (chat_short, {"rows": 8, "turns": 4}, {"rows": 4, "turns": 3}),
    "chat-long": (
        chat_long,
        {"rows": 8, "turns": 3, "tokens": 48},
        {"rows": 4, "turns": 2, "tokens": 24},
    ),
    "rag": (
        rag,
        {"rows": 24, "documents": 6, "words": 150},
        {"rows": 8, "documents": 4, "words": 100},
    ),
    "shared-prefix": (
        generated_shared_prefix,
        {"rows": 36, "groups": 6, "words": 160},
        {"rows": 12, "groups": 3, "words": 100},
    ),
    "prefix-repetition": (
        prefix_repetition,
        {"rows": 24, "prefixes": 4, "words": 200},
        {"rows": 9, "prefixes": 3, "words": 120},
    ),
    "nothing-shared": (nothing_shared, {"rows": 16, "words": 80}, {"rows": 6, "words": 50}),
}
"""Name -> what makes it, its sizes, and its sizes for a quick run."""

ENGINES: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "treegram": ("engine_treegram", "Treegram", {}),
    "treegram-prepared": ("engine_treegram", "Treegram", {"prepared_bytes": 4 << 30}),
    "llama-cpp-python": ("engine_llama_cpp_python", "LlamaCppPython", {}),
    "guidance": ("engine_guidance", "Guidance", {}),
    "outlines": ("engine_outlines", "Outlines", {}),
    "llama-server-1": ("engine_llama_server", "LlamaServer", {"slots": 1}),
    "llama-server-8": ("engine_llama_server", "LlamaServer", {"slots": 8}),
    "example-server": ("engine_example_server", "ExampleServer", {}),
}
"""Name -> module, class, arguments. A module is imported only in the process that runs it."""


def workload(name: str, data: Data, *, quick: bool) -> Workload:
    """The workload of this name, at its usual or its quick size."""
    make, sizes, quick_sizes = WORKLOADS[name]
    return make(data, **(quick_sizes if quick else sizes))

"""What a model remembers of a text, which decides how prefixes can be shared."""

from __future__ import annotations

from enum import Enum


class MemoryKind(Enum):
    """How llama.cpp keeps a sequence (`llama_model::create_memory`).

    CELLS: a cell per token, for each layer that attends; any range can be shared.
    WINDOW: as CELLS, but some layers look back a window only, and llama.cpp recycles cells that
        have left the window of the one sequence that holds them.
    STATE: layers with a recurrent state, alone or beside others that attend (hybrid). It stands for
        all tokens so far, so a sequence is shared whole or not at all, and each takes memory.
    """

    CELLS = "cells"
    WINDOW = "window"
    STATE = "state"

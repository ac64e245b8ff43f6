"""Blocks of text that may come in any order: documents, examples, rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import ParameterError
from .expr import Expr
from .primitives import checked_variable


@dataclass(frozen=True, slots=True)
class Unordered(Expr):
    """Texts that are appended in the order that the program's planner chooses."""

    blocks: tuple[str, ...]
    separator: str
    name: str | None


def unordered(
    blocks: Sequence[str], *, separator: str = "\n\n", name: str | None = None
) -> Unordered:
    """Appends `blocks` in whatever order shares most with the program's other prompts.

    Prompts that begin alike and list the same documents or examples then share their KV cache,
    however the documents were ranked. `run_batch` looks at all rows before the first one starts.
    What it saved is in `program.order_report()`; whether answers suffer from the order is for a
    measurement on your task.

    Args:
        blocks: the texts.
        separator: what goes between two of them.
        name: a variable for the chosen order: a list of indices into `blocks`.

    Raises ParameterError for anything but a list of texts.
    """
    if isinstance(blocks, str) or not isinstance(blocks, Sequence):
        found = "one str" if isinstance(blocks, str) else type(blocks).__name__
        raise ParameterError("blocks", f"expected a list of texts, got {found}; put it in a list")
    for index, block in enumerate(blocks):
        if not isinstance(block, str):
            raise ParameterError(
                "blocks", f"[{index}] is {type(block).__name__} {block!r:.80}, expected a str"
            )
    if not isinstance(separator, str):
        raise ParameterError("separator", f"expected a str, got {separator!r:.80}")
    chosen = None if name is None else checked_variable(name)
    return Unordered(tuple(blocks), separator, chosen)

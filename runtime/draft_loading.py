"""Loads a draft model: a GGUF whose tokens are those of the model that it drafts for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..lang.errors import ModelError
from .draft_model import DraftModel
from .llama import LlamaModel
from .llama_context import LlamaContext
from .memory_kind import MemoryKind
from .model_options import ModelOptions

HOST_SHARE = 8
"""The part of `host_bytes` that its parked prefixes may take beside the large model's."""


class LoadedDraft(NamedTuple):
    """A draft model, and what frees it."""

    model: DraftModel
    close: Callable[[], None]


def load_draft(path: Path, target: LlamaModel, options: ModelOptions) -> LoadedDraft:
    """Loads `path`, which must have passed `check_gguf`, to draft for `target`.

    Raises:
        ModelError: it cannot be loaded, its memory cannot be cut back to what was really drawn, or
            its vocabulary is another one.
    """
    llama = LlamaModel(path, n_gpu_layers=options.n_gpu_layers)
    try:
        reason = llama.unsupported
        if reason is None and llama.memory_kind is MemoryKind.STATE:
            reason = "its state cannot go back to what was really drawn; take one that attends only"
        reason = reason or vocabulary_difference(target, llama)
        if reason is not None:
            raise ModelError(f"{path}: cannot draft for {target.path.name}: {reason}")
        context = LlamaContext(
            llama, n_ctx=options.n_ctx, n_threads=options.cpu_threads, exact=options.exact
        )
    except BaseException:
        llama.close()
        raise

    def close() -> None:
        context.close()
        llama.close()

    try:
        model = DraftModel(
            context,
            host_bytes=options.host_bytes // HOST_SHARE,
            idle_cells=options.idle_cells,
        )
    except BaseException:
        close()
        raise
    return LoadedDraft(model, close)


def vocabulary_difference(target: LlamaModel, draft: LlamaModel) -> str | None:
    """The first token that two models spell differently, in words; None if there is none.

    What one has more at the end may be there as long as it spells nothing: embeddings are padded,
    often by another number in each size of a model.
    """
    for token in range(max(target.n_vocab, draft.n_vocab)):
        ours, theirs = _spelling(target, token), _spelling(draft, token)
        if ours != theirs:
            return (
                f"token {token} is {theirs} there and {ours} here; expected the same "
                "vocabulary, as smaller models of one family have it"
            )
    return None


def _spelling(model: LlamaModel, token: int) -> str:
    pieces = model.vocabulary.pieces
    if token < len(pieces):
        if pieces[token]:
            return repr(pieces[token])
        if text := model.control_text(token):
            return f"the control token {text!r}"
    return "unused"

"""Interfaces inside the runtime: what the engine asks of a model and of a constraint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..lang.base import Backend
from ..radix_cache.base import KVStore
from .stats import EngineStats

BoolMask = NDArray[np.bool_]
Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A model's tokens as bytes.

    Attributes:
        pieces: the bytes of each token id; b"" for control and unused tokens, which no text spells.
        eog: ids that end a generation (end of sequence, end of turn).
        controls: control tokens that a grammar may name, by id; none of them ends a generation.
    """

    pieces: tuple[bytes, ...]
    eog: frozenset[int]
    controls: Mapping[int, str] = field(default_factory=dict, hash=False)

    def __len__(self) -> int:
        return len(self.pieces)


class Tokenizer(Protocol):
    """Text to token ids, as the model's own tokeniser does it."""

    @property
    def vocabulary(self) -> Vocabulary: ...

    def encode(self, text: str, *, special: bool = False, start: bool = False) -> list[int]:
        """Token ids of `text`.

        `special`: control tokens spelled in the text are parsed (template text only).
        `start`: the text begins the prompt (a leading-space or BOS convention applies); otherwise
        it is tokenised as a continuation, so that joining the pieces gives `text` exactly.
        """
        ...


class Matcher(Protocol):
    """One generation's walk through its constraint. Owned by one request; not thread-safe."""

    def mask(self) -> BoolMask | None:
        """Legal next tokens, bool[n_vocab], shared and read-only; None if every token is legal.

        End-of-generation tokens are legal exactly where the constraint accepts.
        """
        ...

    def allows(self, token: int) -> bool:
        """Whether `token` is legal next; cheaper than a mask."""
        ...

    def advance(self, token: int) -> None:
        """Takes a legal token. Raises ValueError on one that is not legal."""
        ...

    def forced(self) -> list[int]:
        """Tokens that must come next whatever the model says; the matcher has advanced over them.

        The last token of a forced run stays open (not returned) until the next byte is known,
        unless the constraint ends there.
        """
        ...

    def open_tokens(self) -> Sequence[int]:
        """The tokeniser's own tokens for text that is decided but not yet spelled: a good guess at
        what is drawn next, no more. Empty where there is none."""
        ...

    def legal_prefix(self, tokens: Sequence[int]) -> int:
        """How many leading `tokens` are legal one after the other, at most; may be too many where
        to know would cost more than to try."""
        ...

    @property
    def is_accepting(self) -> bool:
        """Whether the text so far is complete (end-of-generation is legal)."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether the text is complete and nothing can follow."""
        ...


class MatcherFactory(Protocol):
    """A compiled constraint bound to a vocabulary; shared by all requests that use it."""

    def start(self, prefix: bytes = b"", canonical: bool = True) -> Matcher:
        """A fresh walk. `prefix`: text already in the prompt, backed up by token healing, that the
        first tokens must spell again before the constraint begins."""
        ...


@dataclass(slots=True)
class Batch:
    """Tokens for one llama_decode: parallel arrays of length n <= n_batch.

    `adapter` is the LoRA adapter that computes them all, "" for none. With `embeddings`,
    float32[n, n_embd], those are evaluated, and `tokens` are only what stands for them.
    """

    tokens: NDArray[np.int32]
    positions: NDArray[np.int32]
    seqs: NDArray[np.int32]
    wants_logits: NDArray[np.bool_]
    adapter: str = ""
    embeddings: NDArray[np.float32] | None = None


class NoSlot(Exception):
    """llama_decode found no free cells; nothing was changed."""


class Decoder(KVStore, Protocol):
    """A model context: KV cells plus the forward pass. Owned by the engine's thread."""

    @property
    def n_vocab(self) -> int: ...

    @property
    def n_batch(self) -> int: ...

    @property
    def attends_in_tiles(self) -> bool:
        """Whether rows of a large batch pay for each other's cells, see `tiles.py`."""
        ...

    def decode(self, batch: Batch) -> None:
        """Evaluates a batch. Raises NoSlot (nothing changed) or EngineError (fatal)."""
        ...

    def logits(self, index: int) -> Logits:
        """Logits of the batch's token `index`, float32[n_vocab]: a view until the next decode."""
        ...

    def clear(self) -> None:
        """Frees every cell of every sequence."""
        ...


class LoadedModel(Backend, Protocol):
    """A GGUF that is loaded, wherever its engine runs."""

    name: str
    n_ctx: int

    @property
    def weights(self) -> Path:
        """The file that is really loaded: the one given, or its copy for this machine."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` as user text."""
        ...

    def stats(self) -> EngineStats:
        """What the engine and its cache did since they started."""
        ...

    def close(self) -> None:
        """Stops the engine and frees the model; running requests fail. Idempotent."""
        ...

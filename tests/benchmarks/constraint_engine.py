"""What the constraint benchmark asks of an engine: compile a schema, then masks along a text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from treegram.runtime.base import Vocabulary
from treegram.runtime.llama import LlamaModel


class Refused(Exception):
    """The engine says that it cannot compile this schema, and why."""


@dataclass
class Lexicon:
    """The vocabulary that every engine gets: token bytes, the tokeniser, the end token."""

    path: Path
    model: LlamaModel = field(init=False)
    vocabulary: Vocabulary = field(init=False)
    eos: int = field(init=False)

    def __post_init__(self) -> None:
        self.model = LlamaModel(self.path, vocab_only=True)
        self.vocabulary = self.model.vocabulary
        eog = self.vocabulary.eog
        self.eos = self.model.eos if self.model.eos in eog else min(eog)

    def encode(self, text: str) -> list[int]:
        """The tokeniser's own tokens for `text`, as a continuation."""
        return self.model.encode(text)


class Walk(ABC):
    """One text on its way through a constraint."""

    @abstractmethod
    def mask(self) -> None:
        """Computes which tokens of the whole vocabulary are legal next. Timed."""

    @abstractmethod
    def allowed(self, token: int) -> bool:
        """Whether the last mask has `token`. Not timed."""

    @abstractmethod
    def advance(self, token: int) -> None:
        """Takes a legal token. Timed."""

    def check(self, token: int) -> bool:
        """Whether `token` is legal, without a mask; only of engines with `mask_every` > 1."""
        raise NotImplementedError


class Compiled(ABC):
    """A schema bound to a vocabulary."""

    @abstractmethod
    def start(self) -> Walk:
        """A walk at the beginning of the text."""

    def cache_bytes(self) -> int | None:
        """What the engine says that it keeps in memory for this schema; None if it does not say."""
        return None


class Engine(ABC):
    """An engine with a vocabulary loaded; nothing before `compile` is timed.

    Attributes:
        mask_every: a mask is computed at every so many positions; between them the engine is asked
            about the one token, where masks take too long to finish a sample.
    """

    mask_every = 1

    @abstractmethod
    def __init__(self, lexicon: Lexicon) -> None: ...

    @abstractmethod
    def compile(self, schema: Any) -> Compiled:
        """Raises Refused."""


def in_bitmask(words: Any, token: int) -> bool:
    """Whether `token`'s bit is set in int32 `words`, the format that several engines share."""
    return bool((int(words[token >> 5]) >> (token & 31)) & 1)

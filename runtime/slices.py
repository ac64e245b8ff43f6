"""What each running request has in a batch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .pseudo_tokens import Embeddings
from .request import EngineRequest
from .speculation import NO_DRAFT, Draft


@dataclass(slots=True)
class Slice:
    """One request's share of a batch: tokens [start, stop) of it and a draft of what comes next.

    Attributes:
        at: the batch index of the first.
        others: requests whose texts are the same up to now, and which draw from the same logits.
    """

    request: EngineRequest
    start: int
    stop: int
    draft: Draft = NO_DRAFT
    at: int = 0
    others: list[EngineRequest] = field(default_factory=list)

    def __len__(self) -> int:
        return self.stop - self.start + len(self.draft)

    def first(self, n: int) -> Slice:
        """The first `n` of its tokens, or it itself if those are all."""
        return self if n >= len(self) else Slice(self.request, self.start, self.start + n)

    @property
    def is_drawn(self) -> bool:
        """Whether tokens are drawn from its logits."""
        return self.request.generation is not None and self.stop == len(self.request.tokens)

    @property
    def last(self) -> int:
        """The batch index of its last token before the draft."""
        return self.at + self.stop - self.start - 1


def first_rows(slices: list[Slice], most: int) -> list[Slice]:
    """As many of the slices as have `most` tokens; the last one may be cut.

    Not if it is shared: the others would have to evaluate its tokens, too.
    """
    kept: list[Slice] = []
    for piece in slices:
        if most <= 0:
            break
        if piece.others and most < len(piece) and kept:
            continue
        kept.append(piece.first(most))
        most -= len(kept[-1])
    return kept


def most_cells(slices: list[Slice]) -> int:
    """Cells that a batch takes once those who share logits have gone their own ways."""
    return sum(len(s) * (1 + len(s.others)) for s in slices)


def embeddings(slices: list[Slice]) -> Embeddings | None:
    """What is evaluated where the slices are images, float32[n, n_embd]."""
    at_images = [s for s in slices if s.request.is_at_image]
    rows = [row for s in at_images for row in s.request.image_rows(s.start, s.stop)]
    return np.concatenate(rows) if rows else None

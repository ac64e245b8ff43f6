"""A tokeniser without a model: all single bytes, some longer pieces, longest match first.

For tests of constraints, samplers and caches: every text has tokens, and known ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from .base import Vocabulary


class ByteTokenizer:
    """Implements `runtime.base.Tokenizer`. Ids: the bytes, `merges`, `control`, `eog`, in order.

    Two merges may have the same text; the tokeniser uses the first.
    """

    def __init__(self, merges: Sequence[bytes] = ()) -> None:
        pieces = [*(bytes([byte]) for byte in range(256)), *merges]
        self.control = len(pieces)
        self.eog = len(pieces) + 1
        self._vocabulary = Vocabulary((*pieces, b"", b""), frozenset({self.eog}))
        self._ids = {piece: i for i, piece in reversed(list(enumerate(pieces)))}
        self._longest = max(map(len, pieces))

    @property
    def vocabulary(self) -> Vocabulary:
        return self._vocabulary

    def encode(self, text: str, *, special: bool = False, start: bool = False) -> list[int]:
        """See `Tokenizer.encode`; there is no special text and no start convention."""
        data = text.encode()
        tokens: list[int] = []
        at = 0
        while at < len(data):
            size = next(n for n in range(self._longest, 0, -1) if data[at : at + n] in self._ids)
            tokens.append(self._ids[data[at : at + size]])
            at += size
        return tokens

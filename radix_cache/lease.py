"""A sequence of the KV store on loan."""

from __future__ import annotations

from dataclasses import dataclass

from .tree import Node


@dataclass(slots=True, eq=False)
class Lease:
    """A sequence on loan, with the cached prefix it began with.

    The holder evaluates tokens at positions `length`, `length + 1`, ... of sequence `seq`, reports
    them with `RadixCache.extend`, and gives the lease back with `RadixCache.release`. The cache
    keeps the fields up to date; the holder only reads them.

    Attributes:
        seq: the sequence id; -1 after release.
        namespace: where in the tree the tokens belong.
        node: the end of the committed part.
        cached_tokens: how long the prefix was that `acquire` found.
        length: tokens in the sequence: committed and private ones.
        priority: of the request that it is for.
    """

    seq: int
    namespace: str
    node: Node
    cached_tokens: int
    length: int
    priority: int = 0

    @property
    def committed(self) -> int:
        """Leading tokens of the sequence that are in the tree."""
        return self.node.stop

    @property
    def private(self) -> int:
        """Tokens of the sequence that are not in the tree."""
        return self.length - self.node.stop

    def cells_in_common(self, other: Lease) -> int:
        """How many cells both sequences hold: those of the prefix that both have from the tree."""
        a: Node | None = self.node
        b: Node | None = other.node
        while a is not b:
            if a is None or b is None:
                return 0
            if a.stop >= b.stop:
                a = a.parent
            else:
                b = b.parent
        return a.stop if a is not None else 0

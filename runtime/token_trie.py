"""A vocabulary as a trie of bytes, in arrays that numpy can walk a whole level at a time.

Nodes are numbered level by level (breadth first), and within a level in byte order, so that
children of a node, and nodes of a level, are contiguous:

    node      0 | 1  2  3 | 4  5 ...
    depth     0 |    1    |   2
    parent    - | 0  0  0 | 1  1 ...

A walk keeps one automaton state per node; each level is one gather from the level above it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .base import Vocabulary


class TokenTrie:
    """The byte trie of a vocabulary. Immutable; shared by every constraint on the model.

    Tokens without text (`b""`) and end-of-generation tokens are not in it.

    Attributes:
        parent: int32[n_nodes], -1 for the root.
        byte: uint8[n_nodes], the last byte of the node's text.
        first_child: int32[n_nodes], the first of `n_children` consecutive nodes.
        level_starts: n_levels + 1 node numbers; level d is `level_starts[d]:level_starts[d + 1]`.
        token_node: int32[n_vocab], the node that spells the token; -1 for tokens not in the trie.
        longest_token_bytes: depth of the deepest node.
        alphabet: the bytes that occur in tokens.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        pieces = vocabulary.pieces
        ids = [i for i, piece in enumerate(pieces) if piece and i not in vocabulary.eog]
        ids.sort(key=pieces.__getitem__)
        lengths = np.array([len(pieces[i]) for i in ids], dtype=np.int64)
        text = np.frombuffer(b"".join(pieces[i] for i in ids), dtype=np.uint8)
        self.alphabet = frozenset(np.unique(text).tolist())
        offsets = np.cumsum(lengths) - lengths
        order = np.array(ids, dtype=np.int64)

        self.n_vocab = len(pieces)
        self.longest_token_bytes = int(lengths.max(initial=0))
        self.token_node = np.full(self.n_vocab, -1, dtype=np.int32)
        parents, level_bytes = [np.array([-1])], [np.array([0], dtype=np.uint8)]
        self.level_starts = [0, 1]
        alive = np.arange(len(ids))
        at = np.zeros(len(ids), dtype=np.int64)  # node of each live token, one level up
        for depth in range(self.longest_token_bytes):
            byte = text[offsets[alive] + depth]
            # sorted pieces: equal (parent, byte) pairs are adjacent
            is_new = np.ones(len(alive), dtype=bool)
            is_new[1:] = (at[1:] != at[:-1]) | (byte[1:] != byte[:-1])
            node = np.cumsum(is_new) - 1 + self.level_starts[-1]
            parents.append(at[is_new])
            level_bytes.append(byte[is_new])
            self.level_starts.append(self.level_starts[-1] + int(is_new.sum()))
            ends = lengths[alive] == depth + 1
            self.token_node[order[alive[ends]]] = node[ends]
            alive, at = alive[~ends], node[~ends]

        self.parent: NDArray[np.int32] = np.concatenate(parents).astype(np.int32)
        self.byte: NDArray[np.uint8] = np.concatenate(level_bytes)
        self.n_nodes = len(self.parent)
        self.n_children: NDArray[np.int32] = np.bincount(
            self.parent[1:], minlength=self.n_nodes
        ).astype(np.int32)
        self.first_child: NDArray[np.int32] = (
            np.cumsum(self.n_children) - self.n_children + 1
        ).astype(np.int32)

        in_trie = np.flatnonzero(self.token_node >= 0)
        by_node = in_trie[np.argsort(self.token_node[in_trie], kind="stable")]
        counts = np.bincount(self.token_node[by_node], minlength=self.n_nodes)
        self._tokens: NDArray[np.int64] = by_node
        self._token_ends: NDArray[np.int64] = np.cumsum(counts)
        self._token_starts: NDArray[np.int64] = self._token_ends - counts

    def __len__(self) -> int:
        return self.n_nodes

    def tokens_at(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids of all tokens that end at any of `nodes`, each as often as its node occurs."""
        starts = self._token_starts[nodes]
        return self._tokens[_ranges(starts, self._token_ends[nodes] - starts)]

    def children_of(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """All children of `nodes`, in the order of the nodes."""
        return _ranges(self.first_child[nodes], self.n_children[nodes])

    def find(self, text: bytes) -> int | None:
        """The node that spells `text`, or None if no token begins with it."""
        node = 0
        for value in text:
            first = int(self.first_child[node])
            bytes_here = self.byte[first : first + int(self.n_children[node])]
            at = int(np.searchsorted(bytes_here, value))
            if at == len(bytes_here) or bytes_here[at] != value:
                return None
            node = first + at
        return node

    def prefixes_of(self, text: bytes) -> list[int]:
        """Ids of the tokens that are `text` or a beginning of it, shortest first."""
        nodes = []
        for end in range(1, len(text) + 1):
            node = self.find(text[:end])
            if node is None:
                break
            nodes.append(node)
        return [int(token) for token in self.tokens_at(np.array(nodes, dtype=np.int64))]


def _ranges(starts: NDArray[np.integer], lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Concatenation of `arange(start, start + length)` over all pairs."""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    shifts: NDArray[np.int64] = np.repeat(starts - ends + lengths, lengths)
    return np.arange(total, dtype=np.int64) + shifts

"""A vocabulary as a trie of bytes: the tokens are its entries."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ...lang.automaton.network import CONTROL_MARK, control_bytes
from ...lang.compiler.file_cache import FileCache
from ...lang.ir.controls import numbered
from ..base import Vocabulary
from .byte_trie import ByteTrie
from .terminal_walks import TerminalWalks
from .walk_files import WalkFiles


class TokenTrie(ByteTrie):
    """The byte trie of a vocabulary. Shared by every constraint on the model.

    Tokens without text (`b""`), tokens with a byte that no text has (0xFF) and end-of-generation
    tokens are not in it.

    Attributes:
        token_node: int32[n_vocab], the node that spells the token; -1 for tokens not in the trie.
        longest_token_bytes: depth of the deepest node.
        alphabet: the bytes that occur in tokens.
        pieces: the bytes that each token stands for; a control token's are `control_bytes`.
        walks: what is known about terminals over this vocabulary.
    """

    def __init__(self, vocabulary: Vocabulary, files: FileCache | None = None) -> None:
        """`files`: where what is known about terminals is kept for other processes, if anywhere."""
        # no text has the byte that marks control tokens, so no other token needs it
        spelled = [b"" if CONTROL_MARK in piece else piece for piece in vocabulary.pieces]
        for token in vocabulary.controls:
            spelled[token] = control_bytes(numbered(token))
        pieces = self.pieces = tuple(spelled)
        ids = [i for i, piece in enumerate(pieces) if piece and i not in vocabulary.eog]
        ids.sort(key=pieces.__getitem__)
        lengths = np.array([len(pieces[i]) for i in ids], dtype=np.int64)
        text = np.frombuffer(b"".join(pieces[i] for i in ids), dtype=np.uint8)
        self.alphabet = frozenset(b"".join(vocabulary.pieces)) - frozenset(CONTROL_MARK)
        offsets = np.cumsum(lengths) - lengths
        order = np.array(ids, dtype=np.int64)

        self.n_vocab = len(pieces)
        self.longest_token_bytes = int(lengths.max(initial=0))
        self.token_node: NDArray[np.int32] = np.full(self.n_vocab, -1, dtype=np.int32)
        parents, level_bytes = [np.array([-1])], [np.array([0], dtype=np.uint8)]
        level_starts = [0, 1]
        alive = np.arange(len(ids))
        at = np.zeros(len(ids), dtype=np.int64)  # node of each live token, one level up
        for depth in range(self.longest_token_bytes):
            byte = text[offsets[alive] + depth]
            # sorted pieces: equal (parent, byte) pairs are adjacent
            is_new = np.ones(len(alive), dtype=bool)
            is_new[1:] = (at[1:] != at[:-1]) | (byte[1:] != byte[:-1])
            node = np.cumsum(is_new) - 1 + level_starts[-1]
            parents.append(at[is_new])
            level_bytes.append(byte[is_new])
            level_starts.append(level_starts[-1] + int(is_new.sum()))
            ends = lengths[alive] == depth + 1
            self.token_node[order[alive[ends]]] = node[ends]
            alive, at = alive[~ends], node[~ends]

        in_trie = np.flatnonzero(self.token_node >= 0)
        super().__init__(
            np.concatenate(parents).astype(np.int32),
            np.concatenate(level_bytes),
            level_starts,
            in_trie,
            self.token_node[in_trie].astype(np.int64),
        )

        self.walks = TerminalWalks(self, None if files is None else WalkFiles(files, self))
        self._with: dict[bytes, NDArray[np.bool_]] = {}

    def tokens_with(self, pattern: bytes) -> NDArray[np.bool_]:
        """The tokens, bool[n_vocab], in which a regex is found; `.` is any byte. Remembered."""
        found = self._with.get(pattern)
        if found is None:
            search = re.compile(pattern, re.DOTALL).search
            flags = [search(piece) is not None for piece in self.pieces]
            found = self._with[pattern] = np.array(flags, dtype=bool)
        return found

    def prefixes_of(self, text: bytes) -> list[int]:
        """Ids of the tokens that are `text` or a beginning of it, shortest first."""
        found: list[int] = []
        node = 0
        for value in text:
            child = self.children(node).get(value)
            if child is None:
                break
            node = child
            found += self.entries_of(node).tolist()
        return found

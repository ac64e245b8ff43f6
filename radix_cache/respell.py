"""Prompts addressed by their bytes: resent text is given the tokens that it was generated as.

A client that resends a conversation as text has it tokenised anew, and a model does not always
write what its tokeniser would: from the first such place on, nothing would be found in the tree.
So where a prompt leaves the tree, the tree is searched for other tokens that spell the same bytes.
A detour counts where it ends between two of the prompt's own tokens, which then go on as they are.

Tokens that spell nothing (control tokens) are matched by their ids only. The work at one place is
bounded by the longest token and MAX_STEPS, whatever the size of the tree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .tree import Node, TokenArray, common_prefix

WINDOW = 64
"""Tokens of the prompt that one detour may replace; the next one can go on from there."""

MAX_STEPS = 4 * WINDOW
"""Tokens of the tree that are tried for one detour."""


class Pieces:
    """A vocabulary as bytes, in both directions.

    Args:
        pieces: the bytes of each token id, b"" for tokens that spell nothing.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._longest = max(map(len, pieces), default=0)
        self._tokens: dict[bytes, list[int]] = {}
        for token, piece in enumerate(pieces):
            if piece:
                self._tokens.setdefault(piece, []).append(token)

    def of(self, token: int) -> bytes:
        """What `token` spells; pseudo tokens, which are negative, spell nothing."""
        return self._pieces[token] if token >= 0 else b""

    def at(self, data: bytes, start: int) -> list[int]:
        """Tokens that spell what begins at `data[start]`, shortest first."""
        found: list[int] = []
        for stop in range(start + 1, min(start + self._longest, len(data)) + 1):
            found += self._tokens.get(data[start:stop], ())
        return found


def respelled(root: Node, tokens: TokenArray, pieces: Pieces) -> TokenArray:
    """`tokens`, int32[n], with stretches replaced by tokens of the tree that spell the same bytes.

    Only what is longer in the tree that way is replaced; the same object is returned if nothing is.
    """
    parts: list[TokenArray] = []
    node, depth, at, copied = root, root.stop, 0, 0
    while True:
        node, depth, at = _follow(node, depth, tokens, at)
        if at == len(tokens):
            break
        detour = _detour(node, depth, tokens[at : at + WINDOW], pieces)
        if detour is None:
            break
        node, depth, spelled, replaced = detour
        parts += [tokens[copied:at], np.array(spelled, np.int32)]
        at += replaced
        copied = at
    return np.concatenate((*parts, tokens[copied:])) if parts else tokens


def _follow(node: Node, depth: int, tokens: TokenArray, at: int) -> tuple[Node, int, int]:
    """Walks down from `depth` on the edge of `node` as far as the tree has `tokens[at:]`."""
    while True:
        same = common_prefix(node.tokens[depth - node.start :], tokens[at:])
        depth, at = depth + same, at + same
        if depth < node.stop or at == len(tokens):
            return node, depth, at
        child = node.children.get(int(tokens[at]))
        if child is None:
            return node, depth, at
        node = child


def _detour(
    node: Node, depth: int, tokens: TokenArray, pieces: Pieces
) -> tuple[Node, int, list[int], int] | None:
    """The longest way on from a place in the tree that spells a beginning of `tokens`.

    Returns where it ends, the tree's tokens, and how many of `tokens` they replace.
    """
    ends = {0: 0}  # bytes -> how many of `tokens` they are
    data = b""
    for count, token in enumerate(tokens.tolist(), 1):
        piece = pieces.of(token)
        if not piece:
            break
        data += piece
        ends[len(data)] = count
    best: tuple[Node, int, list[int], int] | None = None
    work: list[tuple[Node, int, int, list[int]]] = [(node, depth, 0, [])]
    for _ in range(MAX_STEPS):
        if not work:
            break
        node, depth, size, spelled = work.pop()
        replaced = ends.get(size, 0)
        if replaced and (best is None or replaced > best[3]):
            best = node, depth, spelled, replaced
        if depth < node.stop:
            token = int(node.tokens[depth - node.start])
            piece = pieces.of(token)
            following = [(node, token)] if piece and data.startswith(piece, size) else []
        else:
            children = node.children
            following = [(children[t], t) for t in pieces.at(data, size) if t in children]
        for below, token in following:
            work.append((below, depth + 1, size + len(pieces.of(token)), [*spelled, token]))
    return best

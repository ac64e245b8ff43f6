"""Known text as tokens: how the model's own tokeniser would write bytes that must come next."""

from __future__ import annotations

from collections import OrderedDict

from .base import Tokenizer
from .masks.token_trie import TokenTrie

_MEMO_SIZE = 4096


class Speller:
    """Spells text that is already decided, for one model. Not thread-safe.

    Raises nothing: text that the tokeniser cannot reproduce exactly has no canonical spelling.
    """

    def __init__(self, tokenizer: Tokenizer, trie: TokenTrie) -> None:
        self._tokenizer = tokenizer
        self._pieces = tokenizer.vocabulary.pieces
        self._trie = trie
        self._memo: OrderedDict[bytes, tuple[int, ...] | None] = OrderedDict()

    def canonical(self, text: bytes) -> tuple[int, ...] | None:
        """The tokeniser's own tokens for `text`, or None.

        None means that `text` is not whole characters, or that the tokens do not join to it again
        (a normalising tokeniser).
        """
        if text in self._memo:
            self._memo.move_to_end(text)
            return self._memo[text]
        try:
            tokens = tuple(self._tokenizer.encode(text.decode()))
        except UnicodeDecodeError:
            tokens = ()
        pieces = self._pieces
        spelled = tokens if b"".join(pieces[t] for t in tokens) == text else None
        self._memo[text] = spelled
        if len(self._memo) > _MEMO_SIZE:
            self._memo.popitem(last=False)
        return spelled

    def first_tokens(self, text: bytes, canonical: bool) -> tuple[int, ...]:
        """Tokens shorter than `text` that may begin to spell it.

        Canonical: only the tokeniser's own first token, and none if `text` is one token.
        Otherwise: every token that is a beginning of `text`.
        """
        if not text:
            return ()
        if canonical:
            tokens = self.canonical(text)
            if tokens is not None:
                return tokens[:1] if len(tokens) > 1 else ()
        shorter = [t for t in self._trie.prefixes_of(text) if len(self._pieces[t]) < len(text)]
        return tuple(shorter[-1:]) if canonical else tuple(shorter)

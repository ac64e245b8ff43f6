"""A generation's walk through its constraint, on treegram's own automaton.

A matcher stands at a configuration of the automaton with some *pending* bytes before it: text that
is decided (a healed prompt ending, or forced by the grammar) and not yet spelled by a token. The
next token spells the pending bytes and goes on as it likes:

    ... {"name" |  :␣"   | A d a ...
        tokens  ^ pending ^ configuration

So a token boundary is never put where the tokeniser would not put one just because the grammar's
text happened to end there. The choice between such tokens stays the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..lang.automaton.automaton import Automaton
from ..lang.automaton.configuration import Configuration
from ..lang.automaton.network import CONTROL_MARK, any_bytes
from ..lang.regular.utf8 import complete_length
from .base import BoolMask, Vocabulary
from .masks.masks import MaskStats, MaskTable
from .masks.token_trie import TokenTrie
from .spelling import Speller

if TYPE_CHECKING:
    from ..lang.grammar import Grammar

FORCED_TOKENS = 512
"""Forced tokens given at a time; the text of `a{1000000}` must not hold up the other requests."""


class GrammarMatcherFactory:
    """A grammar bound to a vocabulary. Not thread-safe: one engine thread owns it.

    Without a grammar only the healed prefix is a constraint, and after it every token is legal.
    Bytes that no token of the vocabulary holds are taken out of the grammar, so that no generation
    can reach text that it cannot continue.

    Raises GrammarError if nothing is left: the vocabulary can spell no text of the grammar.
    """

    def __init__(
        self,
        grammar: Grammar | None,
        vocabulary: Vocabulary,
        speller: Speller,
        trie: TokenTrie,
    ) -> None:
        self.vocabulary = vocabulary
        self.pieces = trie.pieces
        self.is_free = grammar is None
        self.automaton = Automaton(
            any_bytes() if grammar is None else grammar.rules,
            alphabet=trie.alphabet,
            controls=vocabulary.controls,
        )
        self.masks = MaskTable(self.automaton, trie, vocabulary.eog)
        self.speller = speller

    def start(self, prefix: bytes = b"", canonical: bool = True) -> GrammarMatcher:
        """A fresh walk; see `MatcherFactory.start`.

        `canonical`: text that the grammar forces is tokenised as the tokeniser would; otherwise
        nothing is forced and every token sequence that spells a legal text is legal.
        """
        return GrammarMatcher(self, prefix, canonical)

    def stats(self) -> MaskStats:
        return self.masks.stats()


class _Position(NamedTuple):
    configuration: Configuration
    pending: bytes
    ended: bool = False


class GrammarMatcher:
    """See `Matcher`. Made by `GrammarMatcherFactory.start`."""

    __slots__ = ("_at", "_canonical", "_checked", "_factory")

    def __init__(self, factory: GrammarMatcherFactory, prefix: bytes, canonical: bool) -> None:
        self._factory = factory
        self._canonical = canonical
        self._at = _Position(factory.automaton.start, prefix)
        self._checked: tuple[int, _Position | None] | None = None

    def mask(self) -> BoolMask | None:
        """See `Matcher.mask`. Raises GrammarError if the vocabulary cannot continue the text."""
        configuration, pending, ended = self._at
        if ended:
            return np.zeros(len(self._factory.vocabulary), dtype=bool)
        if self._factory.is_free and not pending:
            return None
        also = self._factory.speller.first_tokens(pending, self._canonical)
        return self._factory.masks.mask(configuration, pending, also)

    def allows(self, token: int) -> bool:
        return self._after(token) is not None

    def advance(self, token: int) -> None:
        after = self._after(token)
        if after is None:
            raise ValueError(f"token {token} is not legal here")
        self._at, self._checked = after, None

    def forced(self) -> list[int]:
        taken: list[int] = []
        if self._canonical:
            while len(taken) < FORCED_TOKENS and (tokens := self._take_forced()):
                taken += tokens
        return taken

    def open_tokens(self) -> Sequence[int]:
        return self._factory.speller.canonical(self._at.pending) or ()

    def legal_prefix(self, tokens: Sequence[int]) -> int:
        here, count = self._at, 0
        try:
            for token in tokens:
                after = self._follow(token)
                if after is None:
                    break
                self._at = after
                count += 1
        finally:
            self._at = here
        return count

    @property
    def is_accepting(self) -> bool:
        return self._at.ended or (self._at.configuration.accepting and not self._at.pending)

    @property
    def is_done(self) -> bool:
        return self._at.ended or (self.is_accepting and not self._at.configuration.places)

    def _after(self, token: int) -> _Position | None:
        """Where `token` leads, or None if it is not legal."""
        if self._checked is None or self._checked[0] != token:
            self._checked = (token, self._follow(token))
        return self._checked[1]

    def _follow(self, token: int) -> _Position | None:
        factory, (configuration, pending, ended) = self._factory, self._at
        if ended or not 0 <= token < len(factory.vocabulary):
            return None
        if token in factory.vocabulary.eog:
            return _Position(configuration, b"", True) if self.is_accepting else None
        if factory.is_free and not pending:
            return self._at
        piece = factory.pieces[token]
        if len(piece) < len(pending):
            if token not in factory.speller.first_tokens(pending, self._canonical):
                return None
            return _Position(configuration, pending[len(piece) :])
        if not piece or not piece.startswith(pending):
            return None
        after = factory.automaton.run(configuration, piece[len(pending) :])
        return None if after is None else _Position(after, b"")

    def _take_forced(self) -> list[int]:
        """Tokens of the forced text from here; what must stay open becomes pending.

        Empty if nothing is forced, or nothing more than what stays open.
        """
        factory, (configuration, pending, ended) = self._factory, self._at
        if ended:
            return []
        text, end = factory.automaton.forced_run(configuration)
        text, mark, _ = (pending + text).partition(CONTROL_MARK)
        if not text:
            return self._take_only_legal() if mark else []
        is_last = bool(mark) or (end.accepting and not end.places)
        known = max(complete_length(text), len(pending))
        tokens = factory.speller.canonical(text[:known])
        if tokens is None:
            return []
        count = len(tokens) if is_last and known == len(text) else _closed(tokens, factory)
        spelled = sum(len(factory.vocabulary.pieces[t]) for t in tokens[:count])
        here = factory.automaton.run(configuration, text[len(pending) : known])
        assert here is not None, "forced text is legal"
        self._at, self._checked = _Position(here, text[spelled:known]), None
        return list(tokens[:count]) or self._take_only_legal()

    def _take_only_legal(self) -> list[int]:
        """The one token that can spell the pending text, if there is only one."""
        legal = self.mask()
        if legal is None or int(np.count_nonzero(legal)) != 1:
            return []
        token = int(legal.argmax())
        self.advance(token)
        return [token]


def _closed(tokens: tuple[int, ...], factory: GrammarMatcherFactory) -> int:
    """How many of `tokens` what follows cannot change: all but the last whole character's."""
    pieces = factory.vocabulary.pieces
    count = len(tokens) - 1
    # open text starts at a character, or the tokeniser could not be asked about it again
    while count > 0 and pieces[tokens[count]][0] & 0xC0 == 0x80:
        count -= 1
    return max(count, 0)

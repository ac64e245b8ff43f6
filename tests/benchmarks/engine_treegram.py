"""treegram: `Grammar.from_schema`, and masks from the matcher that generations use."""

from __future__ import annotations

from typing import Any

from constraint_engine import Compiled, Engine, Lexicon, Refused, Walk

from treegram.lang.errors import ConstraintError
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout
from treegram.runtime.base import BoolMask, Matcher
from treegram.runtime.masks.masks import MEMO_BYTES
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.matcher import GrammarMatcherFactory
from treegram.runtime.spelling import Speller


class Treegram(Engine):
    """Every text of every valid value: any key order, white space and escapes.

    Every token string that spells a legal text is legal (`canonical=False`), as elsewhere.
    """

    layout = Layout.accepting()

    def __init__(self, lexicon: Lexicon) -> None:
        self._vocabulary = lexicon.vocabulary
        self._trie = TokenTrie(lexicon.vocabulary)
        self._speller = Speller(lexicon.model, self._trie)

    def compile(self, schema: Any) -> Compiled:
        try:
            grammar = Grammar.from_schema(schema, self.layout)
            factory = GrammarMatcherFactory(grammar, self._vocabulary, self._speller, self._trie)
        except ConstraintError as error:
            raise Refused(str(error)) from error
        return _Compiled(factory, len(self._vocabulary))


class TreegramGen(Treegram):
    """The one text per value that a `gen` writes: keys in the order of the schema."""

    layout = Layout()


class _Compiled(Compiled):
    def __init__(self, factory: GrammarMatcherFactory, n_vocab: int) -> None:
        self._factory = factory
        self._n_vocab = n_vocab

    def start(self) -> Walk:
        return _Walk(self._factory.start(canonical=False))

    def cache_bytes(self) -> int:
        """The masks that are kept, one byte per token each."""
        return min(MEMO_BYTES, self._factory.stats().computed * self._n_vocab)


class _Walk(Walk):
    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher
        self._mask: BoolMask | None = None

    def mask(self) -> None:
        self._mask = self._matcher.mask()

    def allowed(self, token: int) -> bool:
        return self._mask is None or bool(self._mask[token])

    def advance(self, token: int) -> None:
        self._matcher.advance(token)

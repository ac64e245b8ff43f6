"""llama.cpp's grammar sampler, on the GBNF that treegram prints where GBNF can hold the schema."""

from __future__ import annotations

from typing import Any

from constraint_engine import Compiled, Engine, Lexicon, Refused, Walk

from treegram.lang.errors import ConstraintError
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout
from treegram.runtime.base import BoolMask
from treegram.runtime.llama_grammar import LlamaGrammarFactory, LlamaGrammarMatcher
from treegram.runtime.masks.token_trie import TokenTrie
from treegram.runtime.spelling import Speller


class LlamaCpp(Engine):
    """A full mask looks at every token of the vocabulary, so few are computed."""

    mask_every = 16

    def __init__(self, lexicon: Lexicon) -> None:
        self._model = lexicon.model
        self._speller = Speller(lexicon.model, TokenTrie(lexicon.vocabulary))

    def compile(self, schema: Any) -> Compiled:
        try:
            return _Compiled(
                LlamaGrammarFactory(
                    Grammar.from_schema(schema, Layout()), self._model, self._speller
                )
            )
        except ConstraintError as error:
            raise Refused(str(error)) from error


class _Compiled(Compiled):
    def __init__(self, factory: LlamaGrammarFactory) -> None:
        self._factory = factory

    def start(self) -> Walk:
        return _Walk(self._factory.start(canonical=False))


class _Walk(Walk):
    def __init__(self, matcher: LlamaGrammarMatcher) -> None:
        self._matcher = matcher
        self._mask: BoolMask | None = None

    def mask(self) -> None:
        self._mask = self._matcher.mask()

    def allowed(self, token: int) -> bool:
        return self._mask is not None and bool(self._mask[token])

    def advance(self, token: int) -> None:
        self._matcher.advance(token)

    def check(self, token: int) -> bool:
        return self._matcher.allows(token)

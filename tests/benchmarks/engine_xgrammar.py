"""xgrammar: `GrammarCompiler.compile_json_schema`, absent keywords meaning what they should."""

from __future__ import annotations

import importlib
import json
from typing import Any

from constraint_engine import Compiled, Engine, Lexicon, Refused, Walk, in_bitmask
from peer import Unavailable

try:
    # by name, because neither it nor its types need be installed
    xgrammar: Any = importlib.import_module("xgrammar")
except ImportError as exc:
    raise Unavailable(f"pip install xgrammar (and torch, which it imports): {exc}") from exc


class Xgrammar(Engine):
    """One compiler for all schemas, one thread; its cache is on, as by default.

    `strict_mode=False`: absent `additionalProperties` and `items` allow what JSON Schema allows.
    """

    def __init__(self, lexicon: Lexicon) -> None:
        info = xgrammar.TokenizerInfo(
            list(lexicon.vocabulary.pieces),
            vocab_type=xgrammar.VocabType.RAW,
            stop_token_ids=[lexicon.eos],
        )
        self._compiler: Any = xgrammar.GrammarCompiler(info, max_threads=1)
        self._n_vocab = len(lexicon.vocabulary)

    def compile(self, schema: Any) -> Compiled:
        try:
            compiled = self._compiler.compile_json_schema(json.dumps(schema), strict_mode=False)
        except RuntimeError as error:
            raise Refused(str(error)) from error
        return _Compiled(compiled, self._n_vocab)


class _Compiled(Compiled):
    def __init__(self, grammar: Any, n_vocab: int) -> None:
        self._grammar = grammar
        self._n_vocab = n_vocab

    def start(self) -> Walk:
        return _Walk(xgrammar.GrammarMatcher(self._grammar), self._n_vocab)

    def cache_bytes(self) -> int:
        return int(self._grammar.memory_size_bytes)


class _Walk(Walk):
    def __init__(self, matcher: Any, n_vocab: int) -> None:
        self._matcher = matcher
        self._bits: Any = xgrammar.allocate_token_bitmask(1, n_vocab)
        self._words: Any = self._bits.numpy()[0]

    def mask(self) -> None:
        self._matcher.fill_next_token_bitmask(self._bits)

    def allowed(self, token: int) -> bool:
        return in_bitmask(self._words, token)

    def advance(self, token: int) -> None:
        self._matcher.accept_token(token)

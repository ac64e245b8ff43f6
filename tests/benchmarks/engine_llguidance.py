"""llguidance: `LLMatcher` on its own JSON Schema grammar, at its defaults."""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np
from constraint_engine import Compiled, Engine, Lexicon, Refused, Walk, in_bitmask
from peer import Unavailable

try:
    # by name, because neither it nor its types need be installed
    llguidance: Any = importlib.import_module("llguidance")
    llguidance_numpy: Any = importlib.import_module("llguidance.numpy")
except ImportError as exc:
    raise Unavailable("pip install llguidance") from exc


class Llguidance(Engine):
    """One tokenizer for all schemas, with llguidance's default slices."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._tokenizer: Any = llguidance.LLTokenizer(
            llguidance.TokenizerWrapper(_Tokenizer(lexicon))
        )
        self._n_vocab = len(lexicon.vocabulary)

    def compile(self, schema: Any) -> Compiled:
        grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
        matcher = llguidance.LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise Refused(matcher.get_error())
        return _Compiled(matcher, self._n_vocab)


class _Tokenizer:
    """What `TokenizerWrapper` reads off a tokenizer."""

    def __init__(self, lexicon: Lexicon) -> None:
        pieces = lexicon.vocabulary.pieces
        self.eos_token_id = lexicon.eos
        self.bos_token_id = None
        self.special_token_ids = [i for i, piece in enumerate(pieces) if not piece]
        self.tokens = [
            piece or (lexicon.model.control_text(i) or f"<[{i}]>").encode()
            for i, piece in enumerate(pieces)
        ]
        self._encode = lexicon.encode

    def __call__(self, text: bytes | str) -> list[int]:
        return self._encode(text.decode(errors="replace") if isinstance(text, bytes) else text)


class _Compiled(Compiled):
    def __init__(self, matcher: Any, n_vocab: int) -> None:
        self._matcher = matcher
        self._n_vocab = n_vocab

    def start(self) -> Walk:
        return _Walk(self._matcher.deep_copy(), self._n_vocab)


class _Walk(Walk):
    def __init__(self, matcher: Any, n_vocab: int) -> None:
        self._matcher = matcher
        self._bits = np.zeros((1, (n_vocab + 31) // 32), dtype=np.int32)

    def mask(self) -> None:
        llguidance_numpy.fill_next_token_bitmask(self._matcher, self._bits, 0)
        if self._matcher.is_error():
            raise RuntimeError(self._matcher.get_error())

    def allowed(self, token: int) -> bool:
        return in_bitmask(self._bits[0], token)

    def advance(self, token: int) -> None:
        self._matcher.consume_token(token)

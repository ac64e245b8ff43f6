"""outlines-core: the schema as one regex, its index over the vocabulary, a guide per text."""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np
from constraint_engine import Compiled, Engine, Lexicon, Refused, Walk, in_bitmask
from peer import Unavailable

try:
    # by name, because neither it nor its types need be installed
    outlines_core: Any = importlib.import_module("outlines_core")
    json_schema: Any = importlib.import_module("outlines_core.json_schema")
except ImportError as exc:
    raise Unavailable("pip install outlines-core") from exc


class OutlinesCore(Engine):
    """One vocabulary for all schemas."""

    def __init__(self, lexicon: Lexicon) -> None:
        tokens: dict[bytes, list[int]] = {}
        for token, piece in enumerate(lexicon.vocabulary.pieces):
            if piece and token not in lexicon.vocabulary.eog:
                tokens.setdefault(piece, []).append(token)
        self._vocabulary: Any = outlines_core.Vocabulary(lexicon.eos, tokens)
        self._n_vocab = len(lexicon.vocabulary)

    def compile(self, schema: Any) -> Compiled:
        try:
            regex = json_schema.build_regex_from_schema(json.dumps(schema))
            index = outlines_core.Index(regex, self._vocabulary)
        except (ValueError, TypeError, RuntimeError) as error:
            raise Refused(str(error)) from error
        return _Compiled(index, self._n_vocab)


class _Compiled(Compiled):
    def __init__(self, index: Any, n_vocab: int) -> None:
        self._index = index
        self._n_vocab = n_vocab

    def start(self) -> Walk:
        return _Walk(outlines_core.Guide(self._index), self._n_vocab)


class _Walk(Walk):
    def __init__(self, guide: Any, n_vocab: int) -> None:
        self._guide = guide
        self._bits = np.zeros((n_vocab + 31) // 32, dtype=np.int32)

    def mask(self) -> None:
        self._guide.write_mask_into(self._bits.ctypes.data, self._bits.size, self._bits.itemsize)

    def allowed(self, token: int) -> bool:
        return in_bitmask(self._bits, token)

    def advance(self, token: int) -> None:
        self._guide.advance(token, return_tokens=False)

"""lm-format-enforcer: its `TokenEnforcer` over its character-level schema parser."""

from __future__ import annotations

import importlib
from typing import Any

from constraint_engine import Compiled, Engine, Lexicon, Refused, Walk
from peer import Unavailable

try:
    # by name, because neither it nor its types need be installed
    enforcer: Any = importlib.import_module("lmformatenforcer.tokenenforcer")
    parsers: Any = importlib.import_module("lmformatenforcer")
except ImportError as exc:
    raise Unavailable("pip install lm-format-enforcer") from exc


class LmFormatEnforcer(Engine):
    """It works on characters: tokens that end inside one are not in its vocabulary."""

    def __init__(self, lexicon: Lexicon) -> None:
        pieces = lexicon.vocabulary.pieces
        texts = ((i, piece.decode(errors="replace")) for i, piece in enumerate(pieces) if piece)
        regular = [(i, text, text.startswith(" ")) for i, text in texts if "\ufffd" not in text]
        self._data: Any = enforcer.TokenEnforcerTokenizerData(
            regular,
            lambda ids: b"".join(pieces[i] for i in ids).decode(errors="replace"),
            lexicon.eos,
            False,
            len(pieces),
        )

    def compile(self, schema: Any) -> Compiled:
        try:
            parser = parsers.JsonSchemaParser(schema)
            return _Compiled(enforcer.TokenEnforcer(self._data, parser))
        except Exception as error:  # it documents no error of its own
            raise Refused(f"{type(error).__name__}: {error}") from error


class _Compiled(Compiled):
    def __init__(self, token_enforcer: Any) -> None:
        self._enforcer = token_enforcer

    def start(self) -> Walk:
        return _Walk(self._enforcer)


class _Walk(Walk):
    def __init__(self, token_enforcer: Any) -> None:
        self._enforcer = token_enforcer
        self._tokens: list[int] = []
        self._allowed: Any = None

    def mask(self) -> None:
        self._allowed = self._enforcer.get_allowed_tokens(self._tokens)

    def allowed(self, token: int) -> bool:
        return bool(self._allowed.is_token_allowed(token))

    def advance(self, token: int) -> None:
        self._tokens.append(token)

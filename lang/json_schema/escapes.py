"""Which characters JSON escapes, and how: the tables behind `strings.py`."""

from __future__ import annotations

import json

from ..ir.nodes import SURROGATES

BACKSLASH = 0x5C

SHORT = {0x22: '"', BACKSLASH: "\\", 0x08: "b", 0x0C: "f", 0x0A: "n", 0x0D: "r", 0x09: "t"}
"""Code points that a backslash and a letter stand for."""

CONTROLS = frozenset(range(0x20)) - frozenset(SHORT)
"""Code points that are written as \\u00 and two digits, lower-case ones by default."""

ALWAYS_ESCAPED = ((0x00, 0x1F), (0x22, 0x22), (BACKSLASH, BACKSLASH))
"""The code points of both, as ranges."""

FIRST_ESCAPABLE = 0x7F
"""From here on `json.dumps(..., ensure_ascii=True)` escapes every code point."""


def has_one_spelling(text: str) -> bool:
    """Whether no character of it may also be written as \\uXXXX, or in digits of either case."""
    return text.isascii() and text.isprintable()


def quote(text: str) -> str:
    """`text` as a JSON string literal. Raises ValueError if it holds a surrogate (no UTF-8 has)."""
    if any(SURROGATES[0] <= ord(c) <= SURROGATES[1] for c in text):
        raise ValueError("a lone surrogate cannot be written as UTF-8 text")
    return json.dumps(text, ensure_ascii=False)

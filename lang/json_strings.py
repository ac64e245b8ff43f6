"""JSON strings: from languages over decoded text to languages over the escaped text.

Constraints on a string (`minLength`, `pattern`, a format) speak about its decoded code points; a
model writes the encoded ones. Every code point has exactly one spelling here, the one of
`json.dumps(..., ensure_ascii=False)`: a quote, a backslash and the control characters are escaped,
all else is itself. One spelling keeps constants forced and declared keys exactly excludable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from .ir import (
    EMPTY,
    MAX_CODE_POINT,
    SURROGATES,
    Alt,
    CharClass,
    Literal,
    Node,
    Ref,
    Repeat,
    Seq,
)

Ranges = tuple[tuple[int, int], ...]

ANY_CHAR = CharClass(((0, SURROGATES[0] - 1), (SURROGATES[1] + 1, MAX_CODE_POINT)))
CHAR_RULE = "char"
ESCAPE_RULE = "escape"

_SHORT = {0x22: '"', 0x5C: "\\", 0x08: "b", 0x0C: "f", 0x0A: "n", 0x0D: "r", 0x09: "t"}
_ESCAPED = frozenset((*range(0x20), *_SHORT))


def quote(text: str) -> str:
    """`text` as a JSON string literal. Raises ValueError if it holds a surrogate (no UTF-8 has)."""
    if any(SURROGATES[0] <= ord(c) <= SURROGATES[1] for c in text):
        raise ValueError("a lone surrogate cannot be written as UTF-8 text")
    return json.dumps(text, ensure_ascii=False)


def subtract(ranges: Ranges, holes: Iterable[int]) -> Ranges:
    """`ranges` without the code points `holes`."""
    left = list(ranges)
    for hole in holes:
        split: list[tuple[int, int]] = []
        for low, high in left:
            if low <= hole <= high:
                split += [r for r in ((low, hole - 1), (hole + 1, high)) if r[0] <= r[1]]
            else:
                split.append((low, high))
        left = split
    return tuple(left)


def _ranges(codes: Iterable[int]) -> Ranges:
    """The code points as sorted, disjoint ranges."""
    joined: list[tuple[int, int]] = []
    for code in sorted(codes):
        if joined and joined[-1][1] == code - 1:
            joined[-1] = (joined[-1][0], code)
        else:
            joined.append((code, code))
    return tuple(joined)


def _escapes(codes: Iterable[int]) -> Node:
    """The escape sequences of these code points, each of which must be escaped."""
    codes = set(codes)
    options: list[Node] = []
    if short := _ranges(ord(_SHORT[c]) for c in codes if c in _SHORT):
        options.append(Seq((Literal("\\"), CharClass(short))))
    for high in (0, 1):
        digits = _ranges(ord(f"{c & 15:x}") for c in codes if c not in _SHORT and c >> 4 == high)
        if digits:
            options.append(Seq((Literal(f"\\u00{high}"), CharClass(digits))))
    return options[0] if len(options) == 1 else Alt(tuple(options))


def encode_class(ranges: Ranges) -> Node:
    """One code point of `ranges`, as it is spelled inside a JSON string."""
    if ranges == ANY_CHAR.ranges:
        return Ref(CHAR_RULE)
    escaped = {c for c in _ESCAPED if any(low <= c <= high for low, high in ranges)}
    if not escaped:
        return CharClass(ranges)
    escapes = Ref(ESCAPE_RULE) if escaped == _ESCAPED else _escapes(escaped)
    raw = subtract(ranges, escaped)
    return Alt((CharClass(raw), escapes)) if raw else escapes


STRING_RULES: Mapping[str, Node] = MappingProxyType(
    {
        CHAR_RULE: Alt((CharClass(subtract(ANY_CHAR.ranges, _ESCAPED)), Ref(ESCAPE_RULE))),
        ESCAPE_RULE: _escapes(_ESCAPED),
    }
)
"""The rules that encoded nodes may refer to: one code point, encoded, and one escape sequence."""


def encode(node: Node) -> Node:
    """The language of `node`, which is over decoded text, as it is spelled inside a JSON string.

    The result may refer to `STRING_RULES`; `node` holds no references.
    """
    match node:
        case Literal(text):
            return Literal(quote(text)[1:-1])
        case CharClass(ranges):
            return encode_class(ranges)
        case Seq(items):
            return Seq(tuple(encode(item) for item in items))
        case Alt(options):
            return Alt(tuple(encode(option) for option in options))
        case Repeat(item, low, high):
            return Repeat(encode(item), low, high)
        case Ref(name):
            raise AssertionError(f"a string constraint cannot refer to the rule {name!r}")


def quoted(content: Node) -> Node:
    """A JSON string whose encoded content is `content`."""
    return Seq((Literal('"'), content, Literal('"')))


def lengths(node: Node) -> tuple[int, int | None]:
    """The least and the greatest length, in code points, of a text of `node`; None is no bound.

    A node that matches nothing has lengths (0, 0).
    """
    match node:
        case Literal(text):
            return len(text), len(text)
        case CharClass():
            return 1, 1
        case Seq(items):
            bounds = [lengths(item) for item in items]
            highs = [high for _, high in bounds]
            return sum(low for low, _ in bounds), _sum(highs)
        case Alt(options):
            bounds = [lengths(option) for option in options] or [(0, 0)]
            tops = [high for _, high in bounds]
            top = None if None in tops else max(high for high in tops if high is not None)
            return min(low for low, _ in bounds), top
        case Repeat(item, low, high):
            item_low, item_high = lengths(item)
            if item_high == 0 or high == 0:
                return 0, 0
            unbounded = item_high is None or high is None
            return item_low * low, None if unbounded else (item_high or 0) * (high or 0)
        case Ref(name):
            raise AssertionError(f"a string constraint cannot refer to the rule {name!r}")


def _sum(values: list[int | None]) -> int | None:
    return None if None in values else sum(value for value in values if value is not None)


def with_length(node: Node, low: int, high: int | None) -> Node | None:
    """The texts of `node` that have from `low` to `high` code points, or None if not this simple.

    Covers what schemas really combine: a language whose texts all have such a length, and one whose
    length varies in a single repetition of fixed-length items (`[a-z][a-z0-9]*`).
    """
    least, greatest = lengths(node)
    if least >= low and (high is None or (greatest is not None and greatest <= high)):
        return node
    match node:
        case Alt(options):
            narrowed = [with_length(option, low, high) for option in options]
            kept = [option for option in narrowed if option is not None]
            return Alt(tuple(kept)) if len(kept) == len(narrowed) else None
        case Seq(items):
            varying = [i for i, item in enumerate(items) if len(set(lengths(item))) > 1]
            if len(varying) != 1:
                return None if varying else Alt(())
            at = varying[0]
            fixed = sum(lengths(item)[0] for i, item in enumerate(items) if i != at)
            rest = None if high is None else high - fixed
            if rest is not None and rest < 0:
                return Alt(())
            inner = with_length(items[at], max(0, low - fixed), rest)
            return None if inner is None else Seq((*items[:at], inner, *items[at + 1 :]))
        case Repeat(item, item_min, item_max):
            size, largest = lengths(item)
            if size != largest or size == 0:
                return None
            fewest = max(item_min, -(-low // size))
            most = item_max if high is None else high // size
            if item_max is not None and most is not None:
                most = min(most, item_max)
            return Repeat(item, fewest, most) if most is None or fewest <= most else Alt(())
        case _:
            return Alt(())


def any_text(low: int, high: int | None) -> Node:
    """Any decoded text of `low` to `high` code points."""
    return Repeat(ANY_CHAR, low, high) if high != 0 else EMPTY

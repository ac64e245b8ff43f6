"""JSON strings: from languages over decoded text to languages over the escaped text.

Constraints on a string (`minLength`, `pattern`, a format) speak about its decoded code points; a
model writes the encoded ones. By default every code point has exactly one spelling, the one of
`json.dumps(..., ensure_ascii=False)`: a quote, a backslash and the control characters are escaped,
all else is itself. One spelling keeps constants forced and declared keys exactly excludable. With
`escapes`, what is not printable ASCII may also be written as \\uXXXX, in digits of either case and
in pairs above U+FFFF.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from ..ir.dfa import Dfa, Edge
from ..ir.measured import Measured
from ..ir.nodes import MAX_CODE_POINT, Alt, CharClass, Literal, Node, Repeat, Seq, Terminal
from ..ir.walk import fold, with_children
from ..regex.sets import ANY, Ranges, complement, intersection, union
from .escapes import (
    ALWAYS_ESCAPED,
    BACKSLASH,
    CONTROLS,
    FIRST_ESCAPABLE,
    SHORT,
    has_one_spelling,
    quote,
)
from .strings_dfa import encode_dfa

ESCAPABLE: Ranges = intersection(ANY, ((FIRST_ESCAPABLE, MAX_CODE_POINT),))
"""What is escaped in `json.dumps(..., ensure_ascii=True)` only."""

_RAW = complement(ALWAYS_ESCAPED)
_CACHED_CLASSES = 256

_MAX_COUNTED = 8
"""Alternatives of one string that run beside a number of their own."""

_FEW = 16
"""Repetitions that are counted by the states of an automaton."""


def quoted(content: Node) -> Node:
    """A JSON string whose encoded content is `content`."""
    if isinstance(content, Measured):
        return _quoted_measured(content)
    return Seq((Literal('"'), content, Literal('"')))


def terminals(content: Node) -> Node:
    """The JSON strings whose encoded content is `content`, as units that run on their own.

    Alternatives that count far are units of their own: each then runs beside a number of its own,
    and positions far from its bounds are alike.
    """
    options = content.options if isinstance(content, Alt) else (content,)
    counted = [option for option in options if _counts(option)]
    others = tuple(option for option in options if not _counts(option))
    if len(counted) > _MAX_COUNTED or len(options) == 1:
        return Terminal(quoted(content))
    parts = [*counted, *([others[0] if len(others) == 1 else Alt(others)] if others else [])]
    units = tuple(Terminal(quoted(part)) for part in parts)
    return units[0] if len(units) == 1 else Alt(units)


def _counts(option: Node) -> bool:
    match option:
        case Repeat(_, low, high):
            return max(low, high or 0) > _FEW
        case _:
            return isinstance(option, Measured)


def _quoted_measured(content: Measured) -> Measured:
    """With the quotes inside: the opening one leads to a state of a unit, so it counts as one."""
    quote, last = ord('"'), len(content.dfa.edges) + 1
    edges: list[tuple[Edge, ...]] = [((quote, quote, 1),)]
    for state, following in enumerate(content.dfa.edges):
        moved = [(low, high, to + 1) for low, high, to in following]
        if state in content.dfa.accepting:
            moved.append((quote, quote, last))
        edges.append(tuple(sorted(moved)))
    edges.append(())
    high = None if content.max is None else content.max + 1
    dfa = Dfa(tuple(edges), frozenset((last,)))
    return Measured(dfa, content.units + 1, content.min + 1, high)


def encode(node: Node, *, escapes: bool = False) -> Node:
    """The language of `node`, which is over decoded text, as it is spelled inside a JSON string.

    `node` holds no references.
    """

    def visit(node: Node, below: list[Node]) -> Node:
        match node:
            case Literal(text):
                return _encode_text(text, escapes)
            case CharClass(ranges):
                return encode_class(ranges, escapes=escapes)
            case Seq() | Alt() | Repeat():
                return with_children(node, below)
            case Dfa():
                return encode_dfa(node, escapes=escapes)
            case Measured(dfa, units, low, high):
                # the states of the spellings come after those of the automaton
                return Measured(encode_dfa(dfa, escapes=escapes), units, low, high)
            case _:
                raise AssertionError(f"{type(node).__name__} is no language of decoded text")

    return fold(node, visit)


def _encode_text(text: str, escapes: bool) -> Node:
    if not escapes or has_one_spelling(text):
        return Literal(quote(text)[1:-1])
    return Seq(tuple(encode_class(((ord(char), ord(char)),), escapes=escapes) for char in text))


@lru_cache(_CACHED_CLASSES)
def encode_class(ranges: Ranges, *, escapes: bool = False) -> Node:
    """One code point of `ranges`, as it is spelled inside a JSON string."""
    options: list[Node] = []
    if raw := intersection(ranges, _RAW):
        options.append(CharClass(raw))
    inside = {code for low, high in ranges for code in range(low, min(high, BACKSLASH) + 1)}
    if short := union((ord(SHORT[c]), ord(SHORT[c])) for c in inside if c in SHORT):
        options.append(Seq((Literal("\\"), CharClass(short))))
    for high in (0, 1):
        low_digits = union((c & 15, c & 15) for c in inside if c in CONTROLS and c >> 4 == high)
        if low_digits:
            options.append(
                Seq(
                    (
                        Literal(f"\\u00{high}"),
                        _digit(low_digits, "abcdefABCDEF" if escapes else "abcdef"),
                    )
                )
            )
    if escapes:
        options += _hexadecimal(intersection(ranges, ESCAPABLE))
    return options[0] if len(options) == 1 else Alt(tuple(options))


def _hexadecimal(ranges: Ranges) -> Iterator[Node]:
    """The \\uXXXX spellings of code points beyond ASCII."""
    for low, high in intersection(ranges, ((0, 0xFFFF),)):
        for box in _boxes(low, high, 4):
            yield Seq((Literal("\\u"), *map(_hex_digit, box)))
    for low, high in intersection(ranges, ((0x10000, MAX_CODE_POINT),)):
        for first, last, rest in _pairs(low, high):
            heads = list(_boxes(first, last, 4))
            tails = list(_boxes(*rest, 4))
            yield Seq((_escaped_units(heads), _escaped_units(tails)))


def _escaped_units(boxes: list[tuple[tuple[int, int], ...]]) -> Node:
    units = [Seq((Literal("\\u"), *map(_hex_digit, box))) for box in boxes]
    return units[0] if len(units) == 1 else Alt(tuple(units))


def _pairs(low: int, high: int) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Surrogate pairs: the first and last of their high halves, and the range of the low ones."""
    low, high = low - 0x10000, high - 0x10000
    while low <= high:
        unit, start = divmod(low, 0x400)
        if start or high - low < 0x3FF:
            last = min(high, (unit + 1) * 0x400 - 1)
            yield 0xD800 + unit, 0xD800 + unit, (0xDC00 + start, 0xDC00 + last % 0x400)
            low = last + 1
        else:
            end = (high + 1) // 0x400
            yield 0xD800 + unit, 0xD800 + end - 1, (0xDC00, 0xDFFF)
            low = end * 0x400


def _boxes(low: int, high: int, digits: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Ranges of hexadecimal digits whose products are the numbers `low` to `high`."""
    if digits == 0:
        yield ()
        return
    size = 16 ** (digits - 1)
    first, last = low // size, high // size
    if first == last:
        for rest in _boxes(low % size, high % size, digits - 1):
            yield ((first, first), *rest)
        return
    if low % size:
        for rest in _boxes(low % size, size - 1, digits - 1):
            yield ((first, first), *rest)
        first += 1
    partial = high % size != size - 1
    if first <= last - partial:
        yield ((first, last - partial), *[(0, 15)] * (digits - 1))
    if partial:
        for rest in _boxes(0, high % size, digits - 1):
            yield ((last, last), *rest)


def _hex_digit(values: tuple[int, int]) -> Node:
    return _digit((values,), "abcdefABCDEF")


def _digit(values: Iterable[tuple[int, int]], letters: str) -> CharClass:
    """Hexadecimal digits with these values; those above nine are among `letters`."""
    wanted = {value for low, high in values for value in range(low, high + 1)}
    return CharClass(
        union((ord(c), ord(c)) for c in "0123456789" + letters if int(c, 16) in wanted)
    )


CHAR = encode_class(ANY)
"""Any one code point."""

CHAR_OR_ESCAPE = encode_class(ANY, escapes=True)
"""Any one code point, what is not ASCII in either spelling."""

STRING = Terminal(quoted(Repeat(CHAR, 0, None)))
"""Any JSON string in the default spelling."""

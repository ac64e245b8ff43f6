"""Names and addresses of hosts, and mail addresses: RFC 1123, 4291, 5321, 5890 and their kin."""

from __future__ import annotations

import unicodedata
from functools import cache

from ..ir.nodes import Literal, Node, Seq
from ..regex.anchors import alt
from ..regex.expressions import parse_fullmatch
from ..regex.sets import union
from ..regular.table import Table, combine

_OCTET = r"(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])"
IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"

_GROUP = r"[0-9A-Fa-f]{1,4}"
_LOW_32_BITS = rf"({_GROUP}:{_GROUP}|{IPV4})"
IPV6 = "|".join(
    [
        rf"({_GROUP}:){{6}}{_LOW_32_BITS}",
        *(
            rf"{left}::({_GROUP}:){{{5 - n}}}{_LOW_32_BITS}"
            for n in range(6)
            for left in ([f"(({_GROUP}:){{0,{n - 1}}}{_GROUP})?"] if n else [""])
        ),
        rf"(({_GROUP}:){{0,5}}{_GROUP})?::{_GROUP}",
        rf"(({_GROUP}:){{0,6}}{_GROUP})?::",
    ]
)

LONGEST_HOSTNAME = 253
LONGEST_MAIL_PATH = 254

ANY_HOSTNAME = r"[A-Za-z0-9.-]+"
"""No host name is outside of this."""

_EDGE, _INNER = "[A-Za-z0-9]", "[A-Za-z0-9-]"


def _label(most: int | None = None, first: str = _EDGE) -> str:
    """A label of at most `most` characters that begins with `first`.

    Never with hyphens in the third and fourth place: those mark encoded names (`xn--...`), and no
    grammar tells the valid ones.
    """
    middle = f"{_INNER}*" if most is None else f"{_INNER}{{0,{most - 5}}}"
    return rf"{first}({_INNER}{{0,2}}{_EDGE}|{_INNER}({_EDGE}{_INNER}|-{_EDGE}){middle}{_EDGE})?"


@cache
def hostname() -> Node:
    """Labels of at most 63 characters with dots between, of any length together.

    The last label is not a number, so that no name looks like an address.
    """
    dotted = parse_fullmatch(rf"{_label(63)}(\.{_label(63)})*")
    numeric = parse_fullmatch(r"(.*\.)?\d+")
    return combine([Table.of_node(dotted)], [Table.of_node(numeric)]).dfa


_ATOM_CHARS = "A-Za-z0-9!#$%&'*+/=?^_`{|}~-"
_QUOTED = r'"([ !#-\[\]-~]|\\[ -~]){0,31}"'
_ADDRESS = rf"\[({IPV4}|IPv6:({IPV6}))\]"


def email() -> Node:
    """Of any length together."""
    return Seq((_local(_ATOM_CHARS), Literal("@"), _mail_domain()))


def idn_hostname() -> Node:
    """Labels of ASCII, or of at most eleven letters, which stay below 63 characters encoded."""
    ascii_label = _label(59, "[A-Za-z]")
    rightward = "".join(map(_letters, _RIGHTWARD))
    leftward = "|".join(f"[{_letters(script)}]{{1,11}}" for script in _LEFTWARD)
    label = rf"{ascii_label}|[a-z{rightward}][a-z0-9{rightward}]{{0,10}}|{leftward}"
    return alt([parse_fullmatch(rf"({label})(\.({label})){{0,2}}"), hostname()])


def idn_email() -> Node:
    """Addresses with letters beyond ASCII on either side of the @."""
    local = _local(_ATOM_CHARS + "".join(map(_letters, (*_RIGHTWARD, *_LEFTWARD))))
    return Seq((local, Literal("@"), alt([_mail_domain(), idn_hostname()])))


@cache
def _mail_domain() -> Node:
    return Table.of_node(alt([hostname(), parse_fullmatch(_ADDRESS)])).dfa


def _local(chars: str) -> Node:
    """The part before the @, at most 64 characters."""
    atoms = Table.of_node(parse_fullmatch(rf"[{chars}]+(\.[{chars}]+)*"))
    short = combine([atoms, Table.of_lengths(1, 64)]).dfa
    return alt([short, parse_fullmatch(_QUOTED)])


_RIGHTWARD = (
    (0xDF, 0x17F),  # Latin
    (0x3AC, 0x3CE),  # Greek
    (0x430, 0x45F),  # Cyrillic
    (0x904, 0x939),  # Devanagari
    (0xE01, 0xE30),  # Thai
    (0x3041, 0x3096),  # Hiragana
    (0x30A1, 0x30FA),  # Katakana
    (0x4E00, 0x9FFF),  # Han
    (0xAC00, 0xD7A3),  # Hangul
)
"""Scripts whose letters may stand in one label."""

_LEFTWARD = ((0x5D0, 0x5EA), (0x620, 0x64A))
"""Hebrew and Arabic, which mix with nothing (RFC 5893)."""


@cache
def _letters(script: tuple[int, int]) -> str:
    """The letters of a script that a name may hold (RFC 5892), as the inside of a class."""
    codes = (code for code in range(script[0], script[1] + 1) if _is_stable_letter(chr(code)))
    return "".join(
        rf"\u{low:04x}-\u{high:04x}" for low, high in union((code, code) for code in codes)
    )


def _is_stable_letter(char: str) -> bool:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char).casefold())
    return unicodedata.category(char) in ("Ll", "Lo") and folded == char

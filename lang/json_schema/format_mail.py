"""Mail addresses: the `Mailbox` of RFC 5321, and of RFC 6531 with letters beyond ASCII."""

from __future__ import annotations

from ..ir.nodes import MAX_CODE_POINT, Literal, Node, Seq
from ..regex.anchors import alt
from ..regex.expressions import parse_fullmatch
from ..regular.alphabet import distinguish
from ..regular.table import DEAD, Table, combine
from .format_hosts import IPV4, IPV6, hostname
from .format_idn import ordinary_letters

LONGEST_MAIL_PATH = 254
_LONGEST_LOCAL = 64

ANY_EMAIL = r"(?s:.*@.*)"

_ATOM = "A-Za-z0-9!#$%&'*+/=?^_`{|}~-"
_BEYOND_ASCII = r"\u0080-\u{10ffff}"
_ADDRESS = rf"\[({IPV4}|IPv6:({IPV6}))\]"


def email() -> Node:
    """With a host name behind the @, or an address in brackets."""
    return _mailbox("", hostname(), parse_fullmatch(_ADDRESS))


def whole_email() -> Node:
    """With any name of letters, digits and hyphens behind the @, as the RFC has it."""
    return _mailbox("", parse_fullmatch(rf"{_names('')}|{_ADDRESS}"))


def idn_email() -> Node:
    """With letters beyond ASCII before the @, and host names of them behind it."""
    letters = ordinary_letters()
    label = rf"[a-z{letters}][a-z0-9{letters}]{{0,10}}"
    names = parse_fullmatch(rf"{label}(\.{label}){{0,2}}|{_ADDRESS}")
    return _mailbox(letters, hostname(), names)


def whole_idn_email() -> Node:
    """With any characters beyond ASCII on both sides, as the syntax of the RFC has it."""
    return _mailbox(_BEYOND_ASCII, parse_fullmatch(rf"{_names(_BEYOND_ASCII)}|{_ADDRESS}"))


def _mailbox(letters: str, *domains: Node) -> Node:
    """Of any length together; at most 64 bytes before the @, with `letters` beside ASCII."""
    atom = f"[{letters}{_ATOM}]+"
    quoted = rf'"([ !#-\[\]-~{letters}]|\\[ -~])*"'
    local = Table.of_node(parse_fullmatch(rf"{atom}(\.{atom})*|{quoted}"))
    local = combine([local, _bytes(_LONGEST_LOCAL)])
    return Seq((local.dfa, Literal("@"), Table.of_node(alt(domains)).dfa))


def _names(letters: str) -> str:
    edge = f"[A-Za-z0-9{letters}]"
    label = f"{edge}([A-Za-z0-9{letters}-]{{0,61}}{edge})?"
    return rf"{label}(\.{label})*"


def _bytes(most: int) -> Table:
    """The texts of at most so many bytes in UTF-8."""
    ends = (0x7F, 0x7FF, 0xFFFF, MAX_CODE_POINT)
    sizes = [((low, high),) for low, high in zip((0, *(e + 1 for e in ends)), ends, strict=False)]
    alphabet, classes = distinguish(sizes)
    size_of = {number: size for size, (number,) in enumerate(classes, 1)}
    sums = ([used + size_of[number] for number in range(alphabet.size)] for used in range(most + 1))
    rows = [tuple(to if to <= most else DEAD for to in row) for row in sums]
    return Table(alphabet, tuple(rows), frozenset(range(most + 1)))

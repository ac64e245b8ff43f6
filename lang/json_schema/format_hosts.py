"""Names and addresses of hosts: RFC 1123, 3986 and 4291."""

from __future__ import annotations

from functools import cache

from ..ir.nodes import Node
from ..regex.expressions import parse_fullmatch
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

ANY_HOSTNAME = r"[A-Za-z0-9.-]+"
"""No host name is outside of this."""

_EDGE, _INNER = "[A-Za-z0-9]", "[A-Za-z0-9-]"


def ascii_label(first: str = _EDGE) -> str:
    """A label of at most 63 characters that begins with `first`.

    Never with hyphens in the third and fourth place: those mark encoded names (`xn--...`), and no
    grammar tells the valid ones.
    """
    long = rf"{_INNER}({_EDGE}{_INNER}|-{_EDGE}){_INNER}{{0,58}}{_EDGE}"
    return rf"{first}({_INNER}{{0,2}}{_EDGE}|{long})?"


@cache
def hostname() -> Node:
    """Labels of at most 63 characters with dots between, of any length together.

    The last label is not a number, so that no name looks like an address.
    """
    dotted = parse_fullmatch(rf"{ascii_label()}(\.{ascii_label()})*")
    numeric = parse_fullmatch(r"(.*\.)?\d+")
    return combine([Table.of_node(dotted)], [Table.of_node(numeric)]).dfa

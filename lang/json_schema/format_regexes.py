"""The format `regex`: patterns of ECMA-262 as far as they are regular.

The set of all patterns is not, because groups nest and names are compared. Here groups nest to a
depth of three or four, and what else must be compared (the ends of a range, the bounds of a count)
is written out where people write it. What is written is valid in Python as well. What is accepted
has more escapes, classes and counts, lookbehind, lookarounds inside groups, and one named group
outside of all others. Neither has references back to a group.
"""

from __future__ import annotations

from functools import cache

from ..ir.nodes import Alt, Literal, Node, Repeat, Seq
from ..regex.expressions import parse_fullmatch
from ..regular.algebra import from_node

_DEPTH, _ECMA_DEPTH = 3, 4
_SYNTAX = r"\\\^$.*+?()\[\]{}|"
_HEX = "[0-9A-Fa-f]"
_PLACES = r"\^|\$|\\[bB]|\|"


def regex_of_regexes() -> str:
    """A pattern of the patterns that are written."""
    inside = _alternatives(_ATOMS, _COUNT)
    for _ in range(_DEPTH - 1):
        inside = _alternatives(_group(inside), _COUNT)
    return _alternatives(_group(inside), _COUNT, rf"\(\?[=!]({inside})\)")


def whole_regexes() -> Node:
    """The patterns that are accepted."""
    opening, look = _automaton(r"\((\?:)?"), _automaton(r"\(\?<?[=!]")
    named, closing = _automaton(r"\(\?<[A-Za-z_$][\w$]*>"), Literal(")")
    flat = inside = _terms()
    for _ in range(_ECMA_DEPTH - 1):
        group = Seq((opening, inside, closing))
        inside = _terms(group, Seq((look, flat, closing)))
    around = _terms(Seq((opening, inside, closing)), Seq((look, inside, closing)))
    simple = _terms(Seq((opening, flat, closing)))
    return Seq((around, Repeat(Seq((named, simple, closing, _count(), simple)), 0, 1)))


def _terms(group: Node | None = None, look: Node | None = None) -> Node:
    """Atoms, groups and places in any number, with bars between."""
    atom = _automaton(_ECMA_ATOMS) if group is None else Alt((_automaton(_ECMA_ATOMS), group))
    place = _automaton(_PLACES) if look is None else Alt((_automaton(_PLACES), look))
    return Repeat(Alt((Seq((atom, _count())), place)), 0, None)


def _count() -> Node:
    return Repeat(_automaton(_ECMA_COUNT), 0, 1)


@cache
def _automaton(pattern: str) -> Node:
    """The smallest one, of which there will be many copies."""
    return from_node(parse_fullmatch(pattern))


def _group(inside: str) -> str:
    return rf"{_ATOMS}|\((\?:)?({inside})\)"


def _alternatives(atom: str, count: str, look: str | None = None) -> str:
    """Terms in any number, with bars between."""
    place = _PLACES if look is None else f"{_PLACES}|{look}"
    return rf"(({atom})({count})?|{place})*"


def _ranges(first: str, last: str) -> str:
    """Ranges with one end free, from `first` or up to `last`."""
    return rf"{first}-[{first}-{last}]|[{first}-{last}]-{last}"


_WORDS = "|".join([_ranges("0", "9"), _ranges("a", "z"), _ranges("A", "Z")])

_ESCAPE = rf"\\([dDwWsSnrtfv{_SYNTAX}/]|x{_HEX}{{2}}|u[0-9A-Ca-c]{_HEX}{{3}})"
# two of these in a row, or a bracket, will mean sets of sets in Python
_SINGLE = r"[^\\\[\]\^\-&|~]"
_ATOMS = rf"[^{_SYNTAX}]|\.|{_ESCAPE}|\[\^?({_SINGLE}|{_WORDS}|{_ESCAPE}|\\-)+-?\]"
_ORDERED = "|".join(rf"{low},([{low}-9]|[1-9]\d{{1,2}})" for low in range(10))
_COUNT = rf"([*+?]|\{{(0|[1-9]\d{{0,2}},?|0,|{_ORDERED}|[1-9]\d,[1-9]\d\d)\}})\??"

_CATEGORY = "C[cfnos]?|L[Clmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?"
_ECMA_ESCAPE = (
    rf"\\([dDwWsSnrtfv !-/:-@\[-\^`{{-~]|c[A-Za-z]|x{_HEX}{{2}}|u{_HEX}{{4}}"
    rf"|[pP]\{{({_CATEGORY})\}})"
)
_ASCII = r"[ -,.-\[_-~]"
_ECMA_RANGES = "|".join(
    [
        _WORDS,
        *(rf"{low}-[{low}-9]" for low in range(1, 9)),
        r"A-[_-z]",
        rf" -{_ASCII}|!-[!-,.-\[_-~]|{_ASCII}-~",
        rf"{_ASCII}-[\u0080-\u{{10ffff}}]",
        *(
            rf"\u{first:04x}-[\u{first:04x}-\u{{10ffff}}]"
            for first in (0xA0, 0xC0, 0x391, 0x3B1, 0x400, 0x410, 0x430, 0x5D0, 0x600)
        ),
        *(rf"\u{first:04x}-[\u{first:04x}-\u{{10ffff}}]" for first in (0x3041, 0x30A1, 0x4E00)),
        rf"\\x0{_HEX}-\\x[1-9A-Fa-f]{_HEX}",
        rf"\\u0{_HEX}{{3}}-\\u[1-9A-Fa-f]{_HEX}{{3}}",
        rf"\\u4[Ee]00-\\u[5-9A-Fa-f]{_HEX}{{3}}",
    ]
)
_ECMA_CLASS = rf"\[\^?-?([^\\\]\-]|\\-|{_ECMA_ESCAPE}|({_ECMA_RANGES})-?)*-?\]"
_ECMA_ATOMS = rf"[^{_SYNTAX}]|\.|{_ECMA_ESCAPE}|{_ECMA_CLASS}"
_ECMA_ORDERED = "|".join(
    [
        *(rf"{low},([{low}-9]|[1-9]\d+)" for low in range(10)),
        *(rf"{tens}\d,([{tens + 1}-9]\d|[1-9]\d\d+)" for tens in range(1, 9)),
        *(rf"{tens}0,{tens}\d" for tens in range(1, 10)),
        r"9\d,[1-9]\d\d+",
        r"[1-9]\d\d,[1-9]\d{3,}",
    ]
)
_ECMA_COUNT = rf"([*+?]|\{{(\d+,?|{_ECMA_ORDERED})\}})\??"

"""The format `regex`: a regular part of ECMAScript's regexes, all of them valid in Python as well.

The set of all regexes is not regular, because brackets nest. Here they nest to a depth of three,
and what must be compared (the ends of a range, the bounds of a count) is written out. Left out are
backreferences, named groups, lookbehind, lookahead inside groups, `\\p{...}`, and ranges with
neither end at an end of `0-9`, `a-z` or `A-Z`.
"""

from __future__ import annotations

_DEPTH = 3
_SYNTAX = r"\\\^$.*+?()\[\]{}|"
_ESCAPE = rf"\\([dDwWsSnrtfv{_SYNTAX}/]|x[0-9A-Fa-f]{{2}}|u[0-9A-Ca-c][0-9A-Fa-f]{{3}})"


def regex_of_regexes() -> str:
    """A pattern of patterns."""
    inside = _alternatives()
    for _ in range(_DEPTH - 1):
        inside = _alternatives(rf"\((\?:)?({inside})\)")
    return _alternatives(rf"\((\?:)?({inside})\)", rf"\(\?[=!]({inside})\)")


def _alternatives(group: str | None = None, lookahead: str | None = None) -> str:
    """Terms in any number, with bars between."""
    atoms = [rf"[^{_SYNTAX}]", r"\.", _ESCAPE, _CLASS, group]
    places = [r"\^", r"\$", r"\\[bB]", lookahead]
    atom = "|".join(part for part in atoms if part)
    place = "|".join(part for part in places if part)
    return rf"(({atom})({_QUANTIFIER})?|{place}|\|)*"


def _ranges(first: str, last: str) -> str:
    """Ranges with one end free, from `first` or up to `last`."""
    return rf"{first}-[{first}-{last}]|[{first}-{last}]-{last}"


# two of these in a row, or a bracket, will mean sets of sets in Python
_SINGLE = r"[^\\\[\]\^\-&|~]"
_MEMBER = rf"({_SINGLE}|{_ranges('0', '9')}|{_ranges('a', 'z')}|{_ranges('A', 'Z')}|{_ESCAPE}|\\-)"
_CLASS = rf"\[\^?{_MEMBER}+-?\]"

_ORDERED = "|".join(rf"{low},([{low}-9]|[1-9]\d{{1,2}})" for low in range(10))
_QUANTIFIER = rf"([*+?]|\{{(0|[1-9]\d{{0,2}},?|0,|{_ORDERED}|[1-9]\d,[1-9]\d\d)\}})\??"

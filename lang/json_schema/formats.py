"""The formats of JSON Schema as languages over the decoded string.

A format has two of them: `inner`, the texts that a grammar writes, all of which are valid by the
RFC and for the usual validators, and `outer`, which holds every valid text. `not` of a format
leaves out the outer one, so that what lies between is on neither side. Most formats are regular and
both are the same; `docs/regex.md` lists the others. A format that the standard does not define is
an annotation and constrains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from ..ir.nodes import Node
from ..regex.expressions import parse_fullmatch
from ..regular.table import Table
from .format_dates import ANY_DATE, ANY_DURATION, ANY_TIME, DATE, DURATION, TIME
from .format_hosts import (
    ANY_HOSTNAME,
    IPV4,
    IPV6,
    LEAN_EMAIL,
    LEAN_HOSTNAME,
    email,
    hostname,
    idn_email,
    idn_hostname,
)
from .format_regexes import regex_of_regexes
from .format_uris import (
    ANY_URI_TEMPLATE,
    IRI,
    IRI_REFERENCE,
    LEAN_URI,
    LEAN_URI_REFERENCE,
    URI,
    URI_REFERENCE,
    URI_TEMPLATE,
)

_HEX = "[0-9A-Fa-f]"
_UUID = rf"{_HEX}{{8}}(-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
_JSON_POINTER = r"(/([^~/]|~[01])*)*"
_ANY_EMAIL = r"(?s:.*@.*)"
_LONGEST_URI = 128


@dataclass(frozen=True, slots=True)
class Lean:
    """A small automaton, right for texts of at most `longest` characters."""

    pattern: str
    longest: int


@dataclass(frozen=True, slots=True)
class _Format:
    """Languages of the whole decoded string.

    Attributes:
        inner, outer: as above; an `outer` of None: none is known.
        lean: what stands for `inner` where its automaton would have to count to a maxLength.
    """

    inner: str | Callable[[], Node]
    outer: str | None
    lean: Lean | None = None


_LEAN_EMAIL = Lean(LEAN_EMAIL, 65)


def _exact(pattern: str, lean: str | None = None) -> _Format:
    return _Format(pattern, pattern, None if lean is None else Lean(lean, _LONGEST_URI))


_FORMATS: Mapping[str, _Format] = {
    "date": _Format(DATE, ANY_DATE),
    "time": _Format(TIME, ANY_TIME),
    "date-time": _Format(rf"({DATE})[Tt]({TIME})", rf"({ANY_DATE})[Tt ]({ANY_TIME})"),
    "duration": _Format(DURATION, ANY_DURATION),
    "email": _Format(email, _ANY_EMAIL, _LEAN_EMAIL),
    "idn-email": _Format(idn_email, _ANY_EMAIL, _LEAN_EMAIL),
    "hostname": _Format(hostname, ANY_HOSTNAME, Lean(LEAN_HOSTNAME, 63)),
    "idn-hostname": _Format(idn_hostname, None, Lean(LEAN_HOSTNAME, 63)),
    "ipv4": _exact(IPV4),
    "ipv6": _exact(IPV6),
    "uuid": _exact(_UUID),
    "uri": _exact(URI, LEAN_URI),
    "uri-reference": _exact(URI_REFERENCE, LEAN_URI_REFERENCE),
    "iri": _exact(IRI, LEAN_URI),
    "iri-reference": _exact(IRI_REFERENCE, LEAN_URI_REFERENCE),
    "uri-template": _Format(URI_TEMPLATE, ANY_URI_TEMPLATE),
    "json-pointer": _exact(rf"(?s){_JSON_POINTER}"),
    # a validator in wide use takes a digit behind a 0 for a leading zero
    "relative-json-pointer": _Format(
        rf"(0|[1-9]+0?)(#|{_JSON_POINTER})", rf"(0|[1-9]\d*)(#|{_JSON_POINTER})"
    ),
    "regex": _Format(regex_of_regexes(), None),
}

STANDARD_FORMATS = frozenset(_FORMATS)
"""What the drafts 4 to 2020-12 define; every other name is an annotation."""


@cache
def format_node(name: str) -> Node:
    """The decoded strings of a standard format that a grammar writes."""
    inner = _FORMATS[name].inner
    return _automaton(inner) if isinstance(inner, str) else inner()


@cache
def outer_format_node(name: str) -> Node | None:
    """Decoded strings that hold all of a standard format's; None if none useful are known."""
    outer = _FORMATS[name].outer
    return None if outer is None else _automaton(outer)


def lean_format(name: str) -> Lean | None:
    """What stands for a format together with a maxLength that its texts can exceed."""
    return _FORMATS[name].lean


def _automaton(pattern: str) -> Node:
    return Table.of_node(parse_fullmatch(pattern)).dfa

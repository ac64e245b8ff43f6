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
    LONGEST_HOSTNAME,
    LONGEST_MAIL_PATH,
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
    URI,
    URI_REFERENCE,
    URI_TEMPLATE,
)

_HEX = "[0-9A-Fa-f]"
_UUID = rf"{_HEX}{{8}}(-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
_JSON_POINTER = r"(/([^~/]|~[01])*)*"
_ANY_EMAIL = r"(?s:.*@.*)"


@dataclass(frozen=True, slots=True)
class _Format:
    """Languages of the whole decoded string.

    Attributes:
        inner, outer: as above; an `outer` of None: none is known.
        longest: the most characters that a text of `inner` may have, beyond what it says itself.
    """

    inner: str | Callable[[], Node]
    outer: str | None
    longest: int | None = None


def _exact(pattern: str) -> _Format:
    return _Format(pattern, pattern)


_FORMATS: Mapping[str, _Format] = {
    "date": _Format(DATE, ANY_DATE),
    "time": _Format(TIME, ANY_TIME),
    "date-time": _Format(rf"({DATE})[Tt]({TIME})", rf"({ANY_DATE})[Tt ]({ANY_TIME})"),
    "duration": _Format(DURATION, ANY_DURATION),
    "email": _Format(email, _ANY_EMAIL, LONGEST_MAIL_PATH),
    "idn-email": _Format(idn_email, _ANY_EMAIL, LONGEST_MAIL_PATH),
    "hostname": _Format(hostname, ANY_HOSTNAME, LONGEST_HOSTNAME),
    "idn-hostname": _Format(idn_hostname, None, LONGEST_HOSTNAME),
    "ipv4": _exact(IPV4),
    "ipv6": _exact(IPV6),
    "uuid": _exact(_UUID),
    "uri": _exact(URI),
    "uri-reference": _exact(URI_REFERENCE),
    "iri": _exact(IRI),
    "iri-reference": _exact(IRI_REFERENCE),
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


def format_node(name: str) -> Node:
    """The decoded strings of a standard format that a grammar writes, up to its longest."""
    inner = _FORMATS[name].inner
    return _table(inner).dfa if isinstance(inner, str) else _built(inner)


@cache
def format_table(name: str) -> Table:
    """The same strings as a table."""
    inner = _FORMATS[name].inner
    return _table(inner) if isinstance(inner, str) else Table.of_node(_built(inner))


def longest_of_format(name: str) -> int | None:
    """The most characters that a text of a standard format has; None: its node says it all."""
    return _FORMATS[name].longest


def outer_format_table(name: str) -> Table | None:
    """Decoded strings that hold all of a standard format's; None if none useful are known."""
    outer = _FORMATS[name].outer
    return None if outer is None else _table(outer)


@cache
def _built(build: Callable[[], Node]) -> Node:
    return build()


@cache
def _table(pattern: str) -> Table:
    return Table.of_node(parse_fullmatch(pattern))

"""The formats of JSON Schema as languages over the decoded string.

A format has three, each inside the next: what is `written`, valid by the RFC and for the usual
validators; what is `accepted`, all that is valid by the RFC, or as much of that as is regular; and
`outer`, which surely holds every valid text. `not` of a format leaves out the outer one, so that
what lies between is on neither side. `docs/regex.md` lists where they differ. A format that the
standard does not define is an annotation and constrains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from ..ir.nodes import Node
from ..regex.expressions import parse_fullmatch
from ..regular.table import Table
from .format_dates import (
    ANY_DATE_TIME,
    ANY_TIME,
    DATE,
    DATE_TIME,
    DURATION,
    TIME,
    WHOLE_DATE,
    WHOLE_DURATION,
    whole_date_time,
    whole_time,
)
from .format_hosts import ANY_HOSTNAME, IPV4, IPV6, LONGEST_HOSTNAME, hostname
from .format_idn import ANY_IDN_HOSTNAME, idn_hostname, whole_idn_hostname
from .format_mail import (
    ANY_EMAIL,
    LONGEST_MAIL_PATH,
    email,
    idn_email,
    whole_email,
    whole_idn_email,
)
from .format_regexes import regex_of_regexes, whole_regexes
from .format_uris import (
    IRI,
    IRI_REFERENCE,
    URI,
    URI_REFERENCE,
    URI_TEMPLATE,
    WHOLE_URI_TEMPLATE,
)

_HEX = "[0-9A-Fa-f]"
_UUID = rf"{_HEX}{{8}}(-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
_JSON_POINTER = r"(/([^~/]|~[01])*)*"

_Language: TypeAlias = "str | Callable[[], Node]"


@dataclass(frozen=True, slots=True)
class _Format:
    """Languages of the whole decoded string.

    Attributes:
        written, accepted, outer: as above; an `outer` of None: none is known.
        longest: the most characters that a text may have, beyond what the languages say.
    """

    written: _Language
    accepted: _Language
    outer: str | None
    longest: int | None = None


def _exact(pattern: str, written: str | None = None) -> _Format:
    return _Format(written or pattern, pattern, pattern)


_FORMATS: Mapping[str, _Format] = {
    "date": _exact(WHOLE_DATE, DATE),
    "time": _Format(TIME, whole_time, ANY_TIME),
    "date-time": _Format(DATE_TIME, whole_date_time, ANY_DATE_TIME),
    "duration": _exact(WHOLE_DURATION, DURATION),
    "email": _Format(email, whole_email, ANY_EMAIL, LONGEST_MAIL_PATH),
    "idn-email": _Format(idn_email, whole_idn_email, ANY_EMAIL, LONGEST_MAIL_PATH),
    "hostname": _Format(hostname, hostname, ANY_HOSTNAME, LONGEST_HOSTNAME),
    "idn-hostname": _Format(idn_hostname, whole_idn_hostname, ANY_IDN_HOSTNAME, LONGEST_HOSTNAME),
    "ipv4": _exact(IPV4),
    "ipv6": _exact(IPV6),
    "uuid": _exact(_UUID),
    "uri": _exact(URI),
    "uri-reference": _exact(URI_REFERENCE),
    "iri": _exact(IRI),
    "iri-reference": _exact(IRI_REFERENCE),
    "uri-template": _exact(WHOLE_URI_TEMPLATE, URI_TEMPLATE),
    "json-pointer": _exact(_JSON_POINTER),
    # a validator in wide use takes a digit behind a 0 for a leading zero
    "relative-json-pointer": _exact(
        rf"(0|[1-9]\d*)(#|{_JSON_POINTER})", rf"(0|[1-9]+0?)(#|{_JSON_POINTER})"
    ),
    "regex": _Format(regex_of_regexes(), whole_regexes, None),
}

STANDARD_FORMATS = frozenset(_FORMATS)
"""What the drafts 4 to 2020-12 define; every other name is an annotation."""


def accepted_format(name: str) -> Node:
    """The decoded strings of a standard format, up to its longest."""
    return _node(_FORMATS[name].accepted)


def written_format(name: str) -> Node:
    """Those of them that a model is best given: the usual validators know them, too."""
    return _node(_FORMATS[name].written)


def longest_of_format(name: str) -> int | None:
    """The most characters that a text of a standard format has; None: its node says it all."""
    return _FORMATS[name].longest


def outer_format(name: str) -> Node | None:
    """Decoded strings that hold all of a standard format's; None if none useful are known."""
    outer = _FORMATS[name].outer
    return None if outer is None else _node(outer)


@cache
def _node(language: _Language) -> Node:
    return Table.of_node(parse_fullmatch(language)).dfa if isinstance(language, str) else language()

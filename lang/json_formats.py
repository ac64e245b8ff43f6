"""The formats of JSON Schema as regular expressions over the decoded string.

Each is a subset of its RFC that every validator agrees on, never a superset: dates follow the
calendar, times have an offset, addresses are ASCII. A format that the standard does not define is
an annotation and constrains nothing; one that it defines and that has no grammar here is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from .ir import Node
from .regex import parse_fullmatch

_YEAR = r"(\d{3}[1-9]|\d{2}[1-9]0|\d[1-9]00|[1-9]000)"
_LEAP_YEAR = r"(\d\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"({_YEAR}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)"
    rf"|02-(0[1-9]|1\d|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_HOUR_MINUTE = r"([01]\d|2[0-3]):[0-5]\d"
_TIME = rf"{_HOUR_MINUTE}:[0-5]\d(\.\d{{1,9}})?(Z|[+-]{_HOUR_MINUTE})"

_DAYS = r"\d{1,6}D"
_CLOCK = r"T(\d{1,6}H(\d{1,6}M(\d{1,6}S)?)?|\d{1,6}M(\d{1,6}S)?|\d{1,6}S)"
_DURATION = (
    rf"P(\d{{1,6}}W|(\d{{1,4}}Y(\d{{1,4}}M({_DAYS})?)?|\d{{1,4}}M({_DAYS})?|{_DAYS})({_CLOCK})?"
    rf"|{_CLOCK})"
)

# Two shapes of at most 253 characters: few labels of the full 63, or many shorter ones. The last
# label starts with a letter, so that no host name looks like an address.
_LETTER_LABEL = r"[A-Za-z]([A-Za-z0-9-]{{0,{n}}}[A-Za-z0-9])?"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{{0,{n}}}[A-Za-z0-9])?"


def _dotted(least: int) -> str:
    return "|".join(
        rf"({_LABEL.format(n=size)}\.){{{least},{dots}}}{_LETTER_LABEL.format(n=size)}"
        for size, dots in ((61, 2), (26, 7))
    )


_HOSTNAME, _DOMAIN = _dotted(0), _dotted(1)
_IDN_LABEL = r"[A-Za-z][A-Za-z0-9]{0,19}(-[A-Za-z0-9]{1,20})?"
_IDN_HOSTNAME = rf"({_IDN_LABEL}\.){{0,4}}{_IDN_LABEL}"

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_EMAIL = rf"{_ATOM}(\.{_ATOM})*@({_DOMAIN})"

_OCTET = r"(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])"
_IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"
_GROUP = r"[0-9A-Fa-f]{1,4}"
_LOW_32_BITS = rf"({_GROUP}:{_GROUP}|{_IPV4})"
_IPV6 = "|".join(
    [
        rf"({_GROUP}:){{6}}{_LOW_32_BITS}",
        *(
            rf"{_left}::({_GROUP}:){{{5 - n}}}{_LOW_32_BITS}"
            for n in range(6)
            for _left in ([f"(({_GROUP}:){{0,{n - 1}}}{_GROUP})?"] if n else [""])
        ),
        rf"(({_GROUP}:){{0,5}}{_GROUP})?::{_GROUP}",
        rf"(({_GROUP}:){{0,6}}{_GROUP})?::",
    ]
)

_PERCENT = r"%[0-9A-Fa-f]{2}"
_PCHAR = rf"([A-Za-z0-9._~!$&'()*+,;=:@-]|{_PERCENT})"
_SEGMENT_CHAR = rf"([A-Za-z0-9._~!$&'()*+,;=:@/-]|{_PERCENT})"
_QUERY_CHAR = rf"([A-Za-z0-9._~!$&'()*+,;=:@/?-]|{_PERCENT})"
_NO_COLON_CHAR = rf"([A-Za-z0-9._~!$&'()*+,;=@-]|{_PERCENT})"
_AUTHORITY = rf"({_HOSTNAME}|{_IPV4}|\[({_IPV6})\])(:\d{{1,4}})?"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]{0,19}"


def _uri(path: str = "*", rest: str = "*") -> str:
    """Absolute URIs; the arguments say how long path, query and fragment may be, as repetitions."""
    return (
        rf"{_SCHEME}:(//{_AUTHORITY}(/{_SEGMENT_CHAR}{path})?|/?{_PCHAR}{_SEGMENT_CHAR}{path})"
        rf"(\?{_QUERY_CHAR}{rest})?(#{_QUERY_CHAR}{rest})?"
    )


def _http_url(path: str = "*", rest: str = "*") -> str:
    return (
        rf"https?://({_IDN_HOSTNAME})(:[1-9][0-9]{{0,3}})?(/{_SEGMENT_CHAR}{path})?"
        rf"(\?{_QUERY_CHAR}{rest})?(#{_QUERY_CHAR}{rest})?"
    )


_RELATIVE = (
    rf"(/({_PCHAR}{_SEGMENT_CHAR}*)?|{_NO_COLON_CHAR}+(/{_SEGMENT_CHAR}*)?)?"
    rf"(\?{_QUERY_CHAR}*)?(#{_QUERY_CHAR}*)?"
)
_JSON_POINTER = r"(/([^~/]|~[01])*)*"


_HEX = "[0-9A-Fa-f]"


def _uuid(version: int) -> str:
    return rf"{_HEX}{{8}}-{_HEX}{{4}}-{version}{_HEX}{{3}}-[89ABab]{_HEX}{{3}}-{_HEX}{{12}}"


FORMATS: Mapping[str, str] = {
    "date": _DATE,
    "time": _TIME,
    "date-time": rf"{_DATE}T{_TIME}",
    "duration": _DURATION,
    "email": _EMAIL,
    "idn-email": _EMAIL,
    "hostname": _HOSTNAME,
    "idn-hostname": _IDN_HOSTNAME,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uuid": rf"{_HEX}{{8}}(-{_HEX}{{4}}){{3}}-{_HEX}{{12}}",
    # pydantic's names for its UUID1 to UUID8 and for addresses of both kinds
    **{f"uuid{n}": _uuid(n) for n in (1, 3, 4, 5, 6, 7, 8)},
    "ipvanyaddress": rf"{_IPV4}|{_IPV6}",
    "http-url": _http_url(),  # pydantic's HttpUrl
    "uri": _uri(),
    "iri": _uri(),
    "uri-reference": rf"{_uri()}|{_RELATIVE}",
    "iri-reference": rf"{_uri()}|{_RELATIVE}",
    "json-pointer": _JSON_POINTER,
}
"""Format -> pattern of the whole decoded string."""

REFUSED_FORMATS = frozenset({"regex", "relative-json-pointer", "uri-template"})
"""Formats that the standard defines and that no grammar here describes."""

# Scheme, host and port are at most 281 characters; each further one may be percent-encoded.
_URI_FIXED = 290


def format_node(name: str, max_length: int | None = None) -> Node | None:
    """The decoded strings of a format, or None if the standard does not define one of this name.

    With `max_length`, a URI is narrowed to texts of at most that many characters, if it can be.
    """
    bounded = {"uri": _uri, "iri": _uri, "http-url": _http_url}.get(name)
    if bounded and max_length is not None and max_length > _URI_FIXED + 40:
        spare = (max_length - _URI_FIXED) // 3
        return _parse(bounded(f"{{0,{spare // 2}}}", f"{{0,{spare // 4}}}"))
    pattern = FORMATS.get(name)
    return None if pattern is None else _parse(pattern)


@cache
def _parse(pattern: str) -> Node:
    return parse_fullmatch(pattern)

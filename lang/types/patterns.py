r"""Patterns of the texts that pydantic reads as dates, networks, bytes and the like.

Each is a set of texts that pydantic takes and that holds what it writes (`model_dump_json`), with
the exceptions given. Where the standard has a format with exactly these texts, that is used instead
(`schemas.py`); its `date-time`, for one, must have an offset, and Python's need not.

Users' own patterns are another dialect: pydantic reads `\D`, `\W` and `\S` as Unicode does, so what
they leave out is more than ASCII.
"""

from __future__ import annotations

import re
from datetime import date

from pydantic import ByteSize

INTEGER = r"^(0|-?[1-9]\d{0,18})$"
NUMBER = r"^-?(0|[1-9]\d{0,18})(\.\d{1,18})?([eE][+-]?\d{1,2})?$"

_YEAR = r"(\d{3}[1-9]|\d{2}[1-9]0|\d[1-9]00|[1-9]000)"
_LEAP_YEAR = r"(\d\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"({_YEAR}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)"
    rf"|02-(0[1-9]|1\d|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_HOUR_MINUTE = r"([01]\d|2[0-3]):[0-5]\d"
_CLOCK = rf"{_HOUR_MINUTE}:[0-5]\d(\.\d{{1,6}})?"
_OFFSET = rf"(Z|[+-]{_HOUR_MINUTE})"
_OFFSETS = {"aware": _OFFSET, "naive": "", None: f"{_OFFSET}?"}


def time_pattern(tz_constraint: str | None) -> str:
    """Times of a `datetime.time`; the constraint is "aware", "naive" or None for both."""
    return rf"^{_CLOCK}{_OFFSETS[tz_constraint]}$"


def datetime_pattern(tz_constraint: str | None) -> str:
    """Moments of a `datetime.datetime`; the constraint is "aware", "naive" or None for both."""
    return rf"^{_DATE}T{_CLOCK}{_OFFSETS[tz_constraint]}$"


_SECONDS = r"\d{1,6}(\.\d{1,6})?S"
_TIME_OF_DURATION = rf"T(\d{{1,6}}H(\d{{1,6}}M)?({_SECONDS})?|\d{{1,6}}M({_SECONDS})?|{_SECONDS})"
_DAYS = r"(\d{1,6}Y(\d{1,6}D)?|\d{1,6}D)"
DURATION = rf"^-?P(\d{{1,6}}W|{_DAYS}({_TIME_OF_DURATION})?|{_TIME_OF_DURATION})$"
"""pydantic's years are of 365 days."""

_OCTET = r"(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])"
_IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"
_GROUP = r"[0-9A-Fa-f]{1,4}"


def _groups(low: int, high: int) -> str:
    if high == 0:
        return ""
    return rf"({_GROUP}(:{_GROUP}){{{max(low - 1, 0)},{high - 1}}}){'' if low else '?'}"


_IPV6 = "|".join(
    [_groups(8, 8), *(f"{_groups(left, left)}::{_groups(0, 7 - left)}" for left in range(8))]
)


def _ipv4_network() -> str:
    """Networks whose host bits are zero, which Python insists on."""
    shapes = [_IPV4]
    for prefix in range(33):
        whole, bits = divmod(prefix, 8)
        octets = [_OCTET] * whole
        if bits:
            step = 1 << (8 - bits)
            octets.append(f"({'|'.join(map(str, range(0, 256, step)))})")
        octets += ["0"] * (4 - len(octets))
        shapes.append(rf"{chr(92)}.".join(octets) + f"/{prefix}")
    return "|".join(shapes)


def _ipv6_network() -> str:
    """Networks whose host bits are zero and written as one `::` at the end."""
    shapes = [f"({_IPV6})(/128)?"]
    for prefix in range(128):
        whole, bits = divmod(prefix, 16)
        last = [] if bits == 0 else [_masked_group(bits)]
        groups = ":".join([_GROUP] * whole + last)
        if whole + len(last) == 8:
            shapes.append(f"{groups}/{prefix}")
            continue
        fewer = _groups(0, whole)
        shapes.append(f"({fewer}|{groups})::/{prefix}")
    return "|".join(shapes)


def _masked_group(bits: int) -> str:
    """Sixteen bits of which only the first `bits` may be set; leading zeros may be left out."""
    whole, rest = divmod(bits, 4)
    zeros = "0" * (4 - whole - (rest > 0))
    steps = "".join(f"{digit:x}{digit:X}" for digit in range(0, 16, 1 << (4 - rest)))
    digit = f"[{''.join(sorted(set(steps)))}]" if rest else ""
    return f"([0-9A-Fa-f]{{0,{whole}}}{digit}{zeros}|0)"


_V4_PREFIX, _V6_PREFIX = r"(/(\d|[12]\d|3[0-2]))?", r"(/(\d|[1-9]\d|1[01]\d|12[0-8]))?"
_IPV4_INTERFACE, _IPV6_INTERFACE = f"({_IPV4}){_V4_PREFIX}", f"({_IPV6}){_V6_PREFIX}"


def _base64(alphabet: str) -> str:
    """Base64 with padding and without stray bits."""
    any_, two, four = f"[A-Za-z0-9{alphabet}]", "[AQgw]", "[AEIMQUYcgkosw048]"
    return f"({any_}{{4}})*({any_}{two}==|{any_}{{2}}{four}=)?"


_ASCII_TRIPLE = "[A-Za-f][A-HQ-Xgh-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-]"
_ASCII_PAIR = "[A-Za-f][A-HQ-Xgh-nw-z0-3][AEIMQUYcgkosw048]="
_ASCII_ONE = "[A-Za-f][AQgw]=="
BASE64_OF_ASCII = f"^({_ASCII_TRIPLE})*({_ASCII_PAIR}|{_ASCII_ONE})?$"
"""Base64, of either alphabet, of bytes below 128."""

BYTE_SIZE = rf"^\d{{1,12}}(\.\d{{1,6}})? ?(?i:{'|'.join(ByteSize.byte_sizes)})?$"
"""Sizes with units, as pydantic's ByteSize reads them."""


def dates_from(first: date, *, strictly: bool = False) -> str:
    """Of the texts of dates, those of this day (or `strictly`: of the next one) and later."""
    return _compared(first.isoformat(), "{}-9", strictly)


def dates_to(last: date, *, strictly: bool = False) -> str:
    """Of the texts of dates, those of this day (or `strictly`: of the one before) and earlier."""
    return _compared(last.isoformat(), "0-{}", strictly)


def _compared(text: str, digits: str, strictly: bool) -> str:
    """Texts of this form that first differ from `text` in a digit among `digits`."""
    options = [] if strictly else [text]
    for at, char in enumerate(text):
        other = chr(ord(char) + (1 if digits == "{}-9" else -1))
        if other.isdecimal() and char != "-":
            options.append(f"{text[:at]}[{digits.format(other)}].*")
    return f"^({'|'.join(options)})$"


def _uuid(version: int) -> str:
    digit = "[0-9A-Fa-f]"
    return rf"{digit}{{8}}-{digit}{{4}}-{version}{digit}{{3}}-[89ABab]{digit}{{3}}-{digit}{{12}}"


def base64_url_of(low: int, high: int | None) -> str:
    """URL-safe base64 of `low` to `high` bytes; None is no bound."""
    if low == 0 and high is None:
        return _base64("_-")
    any_ = "[A-Za-z0-9_-]"
    ends = ("", f"{any_}[AQgw]==", f"{any_}{{2}}[AEIMQUYcgkosw048]=")
    shapes = []
    for rest, end in enumerate(ends):
        least = max(-((rest - low) // 3), 0)
        if high is None:
            shapes.append(f"({any_}{{4}}){{{least},}}{end}")
        elif (most := (high - rest) // 3) >= least:
            shapes.append(f"({any_}{{4}}){{{least},{most}}}{end}")
    return "|".join(shapes)


def hex_of(low: int, high: int | None) -> str:
    """`low` to `high` bytes as hexadecimal digits; None is no bound."""
    return f"([0-9A-Fa-f]{{2}}){{{low},{'' if high is None else high}}}"


_DECIMAL = r"\d{1,310}(\.\d{1,350})?([eE][+-]?\d{1,3})?"
COMPLEX = rf"^-?{_DECIMAL}([+-]{_DECIMAL}j)?$"
_FRACTION = r"-?\d{1,40}(/[1-9]\d{0,39})?"

FORMATS: dict[str, str | None] = {
    "ipv4network": _ipv4_network(),
    "ipv6network": _ipv6_network(),
    "ipvanynetwork": f"{_ipv4_network()}|{_ipv6_network()}",
    "ipv4interface": _IPV4_INTERFACE,
    "ipv6interface": _IPV6_INTERFACE,
    "ipvanyinterface": f"{_IPV4_INTERFACE}|{_IPV6_INTERFACE}",
    "ipvanyaddress": f"{_IPV4}|{_IPV6}",
    "base64": _base64("+/"),
    "base64url": _base64("_-"),
    "fraction": _FRACTION,
    "zoneinfo": None,
    **{f"uuid{version}": _uuid(version) for version in (1, 3, 4, 5, 6, 7, 8)},
    "path": None,
    "password": None,
    "binary": None,
}
"""pydantic's names for formats outside the standard -> pattern; None for those that any text has.

IPv6 addresses in a network may have their longest run of zeros elsewhere than at its end; those
spellings are left out.
"""

_LABEL = r"[A-Za-z][A-Za-z0-9]{0,19}(-[A-Za-z0-9]{1,20})?"
_HOST = rf"({_LABEL}(\.{_LABEL}){{0,4}}|{_IPV4})"
_URL_CHAR = r"([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})"
_QUERY_CHAR = r"([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})"
_URL_FIXED = 250
"""Characters of scheme, host, port and separators, at most."""


def url_pattern(schemes: list[str] | None, max_length: int | None) -> str | None:
    """URLs of these schemes (None: any) with a host, of at most `max_length` characters.

    None if that leaves no room for a path.
    """
    path, rest = "*", "*"
    if max_length is not None:
        spare = (max_length - _URL_FIXED) // 3
        if spare < 40:
            return None
        path, rest = f"{{0,{spare // 2}}}", f"{{0,{spare // 4}}}"
    if schemes == ["file"]:
        return rf"^file:///{_URL_CHAR}{path}$"
    scheme = "[a-z][a-z0-9]{1,14}" if schemes is None else f"({'|'.join(map(re.escape, schemes))})"
    return (
        rf"^{scheme}://{_HOST}(:[1-9]\d{{0,3}})?(/{_URL_CHAR}{path})?"
        rf"(\?{_QUERY_CHAR}{rest})?(#{_QUERY_CHAR}{rest})?$"
    )


# Also nothing that this Python's Unicode has not assigned (Cn): pydantic's may be newer.
_NOT_IN = {
    "d": r"\p{Nd}\p{Cn}",
    "w": r"\p{L}\p{M}\p{N}\p{Pc}\p{So}\p{Cf}\p{Cn}",
    "s": r"\x09-\x0d\x1c-\x1f\x85\p{Z}",
}


STRIPPED = rf"^([^{_NOT_IN['s']}]([\s\S]*[^{_NOT_IN['s']}])?)?$"
"""Texts without white space at their ends."""

_TOKEN = re.compile(r"\\(.)|(\[\^?\]?)|(\])", re.DOTALL)


def unicode_exclusions(pattern: str) -> str:
    r"""`pattern` with `\D`, `\W`, `\S` and `[^\d\w\s]` leaving out what Unicode's classes hold.

    What is left is no more than pydantic's own reading accepts.
    """
    inside = negated = False

    def replaced(match: re.Match[str]) -> str:
        nonlocal inside, negated
        escaped, opens, closes = match.groups()
        if opens and not inside:
            inside, negated = True, opens.startswith("[^")
        elif closes:
            inside = negated = False
        elif escaped in ("D", "W", "S") and not inside:
            return f"[^{_NOT_IN[escaped.lower()]}]"
        elif escaped in ("d", "w", "s") and negated:
            return _NOT_IN[escaped]
        return match[0]

    return _TOKEN.sub(replaced, pattern)

"""Dates, times and durations: RFC 3339, with its appendix A for durations.

Dates follow the calendar. What is not written, although the RFC has it, is what common libraries
cannot read: the year 0, leap seconds, and more than nine digits of a fraction.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..ir.nodes import Alt, Literal, Node, Seq
from ..regex.expressions import parse_fullmatch
from ..regular.algebra import from_node

_YEAR = r"(\d{3}[1-9]|\d{2}[1-9]0|\d[1-9]00|[1-9]000)"
_LEAP_YEAR = r"(\d\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"


def _dates(year: str, leap_year: str) -> str:
    return (
        rf"({year}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)"
        rf"|02-(0[1-9]|1\d|2[0-8]))|{leap_year}-02-29)"
    )


_HOUR_MINUTE = r"([01]\d|2[0-3]):[0-5]\d"
_OFFSET = rf"([Zz]|[+-]{_HOUR_MINUTE})"
_DAY = 24 * 60


DATE = _dates(_YEAR, _LEAP_YEAR)
WHOLE_DATE = _dates(r"\d{4}", rf"({_LEAP_YEAR}|0000)")

TIME = rf"{_HOUR_MINUTE}:[0-5]\d(\.\d{{1,9}})?{_OFFSET}"
ANY_TIME = rf"{_HOUR_MINUTE}:([0-5]\d|60)(\.\d+)?{_OFFSET}"
"""With a 60th second at any time of day."""

DATE_TIME = rf"({DATE})[Tt]({TIME})"
ANY_DATE_TIME = rf"({WHOLE_DATE})[Tt ]({ANY_TIME})"
"""With a space, too, which RFC 3339 mentions."""


def whole_time() -> Node:
    """With fractions of any length, and leap seconds."""
    plain = parse_fullmatch(rf"{_HOUR_MINUTE}:[0-5]\d(\.\d+)?{_OFFSET}")
    return Alt((from_node(plain), *_leap_seconds()))


def whole_date_time() -> Node:
    """A date of any year, and a whole time."""
    return Seq((from_node(parse_fullmatch(rf"({WHOLE_DATE})[Tt]")), whole_time()))


def _leap_seconds() -> Iterator[Node]:
    """The second that UTC has after 23:59:59, in local times.

    Offsets are whole quarters of an hour, as they have been wherever there was a leap second.
    """
    fraction = parse_fullmatch(r"(\.\d+)?")
    utc = parse_fullmatch("[Zz]|[+-]00:00")
    yield Seq((Literal("23:59:60"), fraction, utc))
    for ahead in range(15, _DAY, 15):
        offsets = Alt((Literal(f"+{_clock(ahead)}"), Literal(f"-{_clock(_DAY - ahead)}")))
        yield Seq((Literal(f"{_clock(ahead - 1)}:60"), fraction, offsets))


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _durations(years: str, digits: str) -> str:
    days = rf"{digits}D"
    clock = rf"T({digits}H({digits}M({digits}S)?)?|{digits}M({digits}S)?|{digits}S)"
    return (
        rf"P({digits}W|({years}Y({years}M({days})?)?|{years}M({days})?|{days})({clock})?|{clock})"
    )


DURATION = _durations(r"\d{1,4}", r"\d{1,6}")
WHOLE_DURATION = _durations(r"\d+", r"\d+")

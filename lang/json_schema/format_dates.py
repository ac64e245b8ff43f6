"""Dates, times and durations: RFC 3339, with its appendix A for durations.

Dates follow the calendar. A time has an offset. Not written, although the RFC has them: the year 0,
leap seconds, and more than nine digits of a fraction, because common libraries cannot read them.
"""

from __future__ import annotations

_YEAR = r"(\d{3}[1-9]|\d{2}[1-9]0|\d[1-9]00|[1-9]000)"
_LEAP_YEAR = r"(\d\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"


def _dates(year: str, leap_year: str) -> str:
    return (
        rf"({year}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)"
        rf"|02-(0[1-9]|1\d|2[0-8]))|{leap_year}-02-29)"
    )


_HOUR_MINUTE = r"([01]\d|2[0-3]):[0-5]\d"
_OFFSET = rf"([Zz]|[+-]{_HOUR_MINUTE})"

DATE = _dates(_YEAR, _LEAP_YEAR)
ANY_DATE = _dates(r"\d{4}", rf"({_LEAP_YEAR}|0000)")
TIME = rf"{_HOUR_MINUTE}:[0-5]\d(\.\d{{1,9}})?{_OFFSET}"
ANY_TIME = rf"{_HOUR_MINUTE}:([0-5]\d|60)(\.\d+)?{_OFFSET}"


def _durations(years: str, digits: str) -> str:
    days = rf"{digits}D"
    clock = rf"T({digits}H({digits}M({digits}S)?)?|{digits}M({digits}S)?|{digits}S)"
    return (
        rf"P({digits}W|({years}Y({years}M({days})?)?|{years}M({days})?|{days})({clock})?|{clock})"
    )


DURATION = _durations(r"\d{1,4}", r"\d{1,6}")
ANY_DURATION = _durations(r"\d+", r"\d+")

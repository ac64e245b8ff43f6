"""Formats: whatever a grammar writes, jsonschema's checkers accept."""

from __future__ import annotations

import datetime
import random

import jsonschema
import pytest

from treegram.lang.ir import Rules
from treegram.lang.json_formats import FORMATS, REFUSED_FORMATS, format_node
from treegram.lang.random_text import random_text
from treegram.lang.reference import matches
from treegram.lang.regular import from_node

CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER
STANDARD = [name for name in FORMATS if name in CHECKER.checkers]


def rules_of(name: str) -> Rules:
    node = format_node(name)
    assert node is not None
    return Rules("root", {"root": node})


@pytest.mark.parametrize("name", STANDARD)
def test_random_texts_of_a_format_are_valid(name: str) -> None:
    rng = random.Random(name)
    rules = rules_of(name)
    for _ in range(60):
        text = random_text(rules, rng)
        assert CHECKER.conforms(text, name), text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("date", "2024-02-29"),
        ("date", "2000-02-29"),
        ("date", "1999-12-31"),
        ("time", "10:20:30Z"),
        ("time", "23:59:59.123456+05:30"),
        ("date-time", "2026-11-21T09:37:41Z"),
        ("date-time", "2026-11-21T09:37:41.5-08:00"),
        ("duration", "P1DT2H3M4S"),
        ("duration", "PT86400S"),
        ("duration", "P3W"),
        ("email", "first.last+tag@mail.example.com"),
        ("hostname", "localhost"),
        ("hostname", "a.b-c.example.org"),
        ("ipv4", "255.0.10.99"),
        ("ipv6", "2001:db8::ff00:42:8329"),
        ("ipv6", "::ffff:192.0.2.1"),
        ("ipv6", "::"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000"),
        ("uuid4", "9b2c1a3e-5d6f-4a7b-8c9d-0e1f2a3b4c5d"),
        ("uri", "https://example.com:8080/a/b?x=1&y=%20#frag"),
        ("uri", "mailto:someone@example.com"),
        ("uri", "urn:isbn:0451450523"),
        ("uri-reference", "../a/b?c"),
        ("json-pointer", "/a~1b/0"),
        ("http-url", "https://example.com/x"),
    ],
)
def test_ordinary_values_are_accepted(name: str, text: str) -> None:
    assert matches(rules_of(name), text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("date", "2023-02-29"),
        ("date", "1900-02-29"),
        ("date", "2024-04-31"),
        ("date", "0000-01-01"),
        ("date", "2024-13-01"),
        ("time", "24:00:00Z"),
        ("time", "10:20:30"),
        ("date-time", "2026-11-21 09:37:41Z"),
        ("duration", "P"),
        ("duration", "PT"),
        ("email", "nobody"),
        ("hostname", "-a.com"),
        ("ipv4", "256.1.1.1"),
        ("ipv4", "01.1.1.1"),
        ("ipv6", "1::2::3"),
        ("ipv6", "12345::"),
        ("uuid", "123e4567e89b12d3a456426614174000"),
        ("uuid4", "9b2c1a3e-5d6f-1a7b-8c9d-0e1f2a3b4c5d"),
        ("uri", "no scheme"),
        ("uri", "/relative"),
    ],
)
def test_wrong_values_are_refused(name: str, text: str) -> None:
    assert not matches(rules_of(name), text)


def test_dates_follow_the_calendar_over_four_centuries() -> None:
    node = format_node("date")
    assert node is not None
    dfa = from_node(node)
    for year in (*range(1, 10), *range(1896, 2001), 2100, 2400, 9999):
        for month, last in ((1, 31), (2, 28), (4, 30), (12, 31)):
            leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
            day = datetime.date(year, month, last + leap).isoformat()
            assert dfa.accepts(day)
            assert not dfa.accepts(f"{day[:8]}{last + leap + 1}")


@pytest.mark.parametrize("name", ["uri", "http-url"])
def test_a_bounded_uri_keeps_to_its_length(name: str) -> None:
    node = format_node(name, 500)
    assert node is not None
    rng = random.Random(7)
    assert all(len(random_text(Rules("r", {"r": node}), rng)) <= 500 for _ in range(20))


def test_an_unknown_format_is_an_annotation() -> None:
    assert format_node("color-of-the-day") is None


def test_each_standard_format_has_a_grammar_or_is_refused() -> None:
    assert set(CHECKER.checkers) <= set(FORMATS) | REFUSED_FORMATS

"""Formats: whatever a grammar writes, jsonschema's checkers accept."""

from __future__ import annotations

import datetime
import random
import re
from functools import cache

import jsonschema
import pytest

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.ir.dfa import Dfa
from treegram.lang.ir.nodes import Rules
from treegram.lang.json_schema.formats import (
    STANDARD_FORMATS,
    format_node,
    longest_of_format,
    outer_format_table,
)
from treegram.lang.json_schema.string_set import StringSet
from treegram.lang.regular.algebra import from_node

CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER
FORMATS = sorted(STANDARD_FORMATS)


@cache
def automaton(name: str) -> Dfa:
    return from_node(format_node(name))


def random_text(name: str, rng: random.Random) -> str | None:
    """A walk through the automaton of a format; None if it gets too long."""
    dfa, longest = automaton(name), longest_of_format(name) or 400
    state, text = 0, ""
    while not (state in dfa.accepting and (not dfa.edges[state] or rng.random() < 0.1)):
        if len(text) == longest:
            return None
        low, high, state = rng.choice(dfa.edges[state])
        text += chr(rng.randint(low, high))
    return text


@pytest.mark.parametrize("name", FORMATS)
def test_random_texts_of_a_format_are_valid(name: str) -> None:
    rng = random.Random(name)
    texts = [text for _ in range(150) if (text := random_text(name, rng)) is not None]
    assert len(texts) > 100
    assert [text for text in texts if not CHECKER.conforms(text, name)] == []


ORDINARY = {
    "date": ["2024-02-29", "2000-02-29", "1999-12-31"],
    "time": ["10:20:30Z", "23:59:59.123456+05:30", "08:30:06.283185z"],
    "date-time": ["2026-11-21T09:37:41Z", "2026-11-21T09:37:41.5-08:00", "1963-06-19t08:30:06z"],
    "duration": ["P1DT2H3M4S", "PT86400S", "P3W", "P4Y", "PT0S"],
    "email": ["first.last+tag@mail.example.com", '"a b"@example.org', "a@[127.0.0.1]", "te~st@x"],
    "idn-email": ["실례@실례.테스트", "first.last@example.com"],
    "hostname": ["localhost", "a.b-c.example.org", "1host", "x--y.example", "a" * 63],
    "idn-hostname": ["실례.테스트", "例え.jp", "müller.de", "example.com", "пример.испытание"],
    "ipv4": ["255.0.10.99", "0.0.0.0"],
    "ipv6": ["2001:db8::ff00:42:8329", "::ffff:192.0.2.1", "::", "1:2:3:4:5:6:7:8", "1::8"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000"],
    "uri": [
        "https://example.com:8080/a/b?x=1&y=%20#frag",
        "mailto:someone@example.com",
        "urn:isbn:0451450523",
        "http://user:pass@[::1]:80/",
        "file:///etc/hosts",
        "https://en.wikipedia.org/wiki/Mass%E2%80%93energy_equivalence",
    ],
    "uri-reference": ["../a/b?c", "//host/x", "#top", "", "https://example.com"],
    "iri": ["http://ƒøø.ßår/?∂éœ=πîx#πîüx", "https://例え.jp/パス"],
    "iri-reference": ["//ƒøø.ßår/x", "âππ", "مرحبا"],
    "uri-template": ["http://example.com/{term:1}/{term}{?a,b*}", "{/list*}", "/plain"],
    "json-pointer": ["/a~1b/0", "", "/", "/日本/😀"],
    "relative-json-pointer": ["1", "0#", "2/foo/bar", "10"],
    "regex": [
        "^/api/(.*)$",
        "some-source",
        "",
        r"^[a-z][a-z0-9_-]{0,62}\.(com|org)$",
        r"(?:a|(b(c+)?)){2,5}?",
        r"^(?!foo)[^\s\]]+|\d{3}-\d*$",
        "漢字?",
    ],
}


@pytest.mark.parametrize("name", FORMATS)
def test_ordinary_values_are_accepted_and_valid(name: str) -> None:
    for text in ORDINARY[name]:
        assert CHECKER.conforms(text, name), text
        assert automaton(name).accepts(text), text


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        (
            "date",
            ["2023-02-29", "1900-02-29", "2024-04-31", "0000-01-01", "2024-13-01", "২০২৪-০১-০১"],
        ),
        ("time", ["24:00:00Z", "10:20:30", "10:20:60Z", "1:20:30Z", "10:20:30+24:00"]),
        ("date-time", ["2026-11-21 09:37:41Z", "2026-11-21T09:37:41", "2026-11-21"]),
        ("duration", ["P", "PT", "P1Y2D", "P2S", "PT1D", "P1YT", "1D"]),
        ("email", ["nobody", "a..b@c", ".a@b", "a@b..c", "a" * 65 + "@b.c", "a b@c", "a@1.2.3.4"]),
        (
            "hostname",
            ["-a.com", "a-.com", "xn--a", "a..b", "", "a_b", "a" * 64, "1.2.3.4", "é.com"],
        ),
        ("idn-hostname", ["〮a", "a..b", "-a", "xn--X", "ab--c.d"]),
        ("ipv4", ["256.1.1.1", "01.1.1.1", "1.1.1", "1.1.1.1.1"]),
        ("ipv6", ["1::2::3", "12345::", "1:2:3:4:5:6:7", ":1", "fe80::1%eth0"]),
        ("uuid", ["123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g"]),
        ("uri", ["no scheme", "/relative", "http://a b", "http://[::1", "a:%zz", "http://é"]),
        ("uri-reference", ["\\\\host", "a b", "%", "http://[x]"]),
        ("iri", ["/relative", "http://a b", "http://[例]"]),
        ("uri-template", ["{", "{}", "{a", "{a,}", "a b", "{!a}"]),
        ("json-pointer", ["a", "/~", "/~2", "#/a"]),
        ("relative-json-pointer", ["", "-1", "01", "1a", "/a", "1##"]),
        ("regex", ["(", "[", "a**", "*a", "[z-a]", "a{2,1}", "\\", "(?<n", "a++", "^*", "[]"]),
    ],
)
def test_wrong_values_are_refused(name: str, texts: list[str]) -> None:
    assert [text for text in texts if automaton(name).accepts(text)] == []


def test_dates_follow_the_calendar_over_four_centuries() -> None:
    dfa = automaton("date")
    for year in (*range(1, 10), *range(1896, 2001), 2100, 2400, 9999):
        for month, last in ((1, 31), (2, 28), (4, 30), (12, 31)):
            leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
            day = datetime.date(year, month, last + leap).isoformat()
            assert dfa.accepts(day)
            assert not dfa.accepts(f"{day[:8]}{last + leap + 1}")


@pytest.mark.parametrize("name", FORMATS)
def test_the_outer_language_holds_what_is_written(name: str) -> None:
    outer = outer_format_table(name)
    if outer is None:
        assert name in ("regex", "idn-hostname")
        return
    rng = random.Random(name)
    texts = [text for _ in range(60) if (text := random_text(name, rng)) is not None]
    assert all(outer.accepts(text) for text in (*texts, *ORDINARY[name]))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("time", "23:59:60Z"),
        ("date-time", "1998-12-31T23:59:60.123456789012Z"),
        ("duration", "P12345678901D"),
        ("email", "who knows@what"),
        ("hostname", "xn--9n2bp8q.xn--9t4b11yi5a"),
        ("uri-template", "{%41}"),
        ("relative-json-pointer", "100/a"),
    ],
)
def test_what_may_be_valid_is_neither_written_nor_certainly_not_of_the_format(
    name: str, text: str
) -> None:
    outer = outer_format_table(name)
    assert outer is not None
    assert not automaton(name).accepts(text)
    assert outer.accepts(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hostname", ".".join(["a" * 63] * 3 + ["b" * 61])),
        ("hostname", "a." * 126 + "b"),
        ("email", "a" * 64 + "@" + "b." * 94 + "c"),
        ("idn-email", "a" * 64 + "@" + "b." * 94 + "c"),
        ("email", "a@" + ".".join(["a" * 63] * 3 + ["b" * 60])),
    ],
)
def test_the_longest_names_and_addresses(name: str, text: str) -> None:
    strings = StringSet(formats=(name,))
    grammar = Automaton(Rules("root", {"root": strings.node()}))
    assert len(text) == longest_of_format(name)
    for candidate, fits in ((text, True), (f"{text}b", False)):
        assert strings.contains(candidate) == fits
        assert grammar.accepts(f'"{candidate}"'.encode()) == fits


def test_each_regex_that_is_written_compiles() -> None:
    rng = random.Random(11)
    for _ in range(300):
        text = random_text("regex", rng)
        if text is not None:
            re.compile(text)


def test_every_format_of_the_standard_is_here_and_nothing_else() -> None:
    assert set(CHECKER.checkers) - {"color"} == STANDARD_FORMATS

"""Formats: what a grammar writes, jsonschema's checkers accept; what it accepts, the RFCs do."""

from __future__ import annotations

import datetime
import random
import re
from functools import cache
from typing import Any

import jsonschema
import pytest

from treegram.lang.automaton.automaton import Automaton
from treegram.lang.constraint import constraint_from
from treegram.lang.grammar import Grammar
from treegram.lang.ir.dfa import Dfa
from treegram.lang.ir.nodes import Rules
from treegram.lang.json_schema.compile import compile_schema
from treegram.lang.json_schema.formats import (
    STANDARD_FORMATS,
    accepted_format,
    longest_of_format,
    outer_format,
    written_format,
)
from treegram.lang.json_schema.layout import Layout
from treegram.lang.json_schema.string_set import StringSet
from treegram.lang.regular.algebra import from_node
from treegram.lang.regular.table import Table, have_common_text
from treegram.lang.tags import Tag

CHECKER = jsonschema.Draft202012Validator.FORMAT_CHECKER
FORMATS = sorted(STANDARD_FORMATS)


@cache
def automaton(name: str) -> Dfa:
    """What is written."""
    return from_node(written_format(name))


@cache
def accepting(name: str) -> Automaton:
    return Automaton(Rules("root", {"root": accepted_format(name)}))


def accepts(name: str, text: str) -> bool:
    return accepting(name).accepts(text.encode())


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
    "idn-email": ["실례@실례.테스트", '"é"@example.com', "é" * 32 + "@b"],
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
        assert accepts(name, text), text


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        (
            "date",
            ["2023-02-29", "1900-02-29", "2024-04-31", "2024-13-01", "২০২৪-০১-০১", "2024-1-1"],
        ),
        ("time", ["24:00:00Z", "10:20:30", "10:20:60Z", "1:20:30Z", "10:20:30+24:00"]),
        ("date-time", ["2026-11-21 09:37:41Z", "2026-11-21T09:37:41", "2026-11-21"]),
        ("duration", ["P", "PT", "P1Y2D", "P2S", "PT1D", "P1YT", "1D"]),
        ("email", ["nobody", "a..b@c", ".a@b", "a@b..c", "a" * 65 + "@b.c", "a b@c", "a@é.com"]),
        ("idn-email", ["a\uff20b.c", "@例", "例@", "例..え@b", "é" * 33 + "@b.c", "a@-é", "a b@é"]),
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
        (
            "regex",
            ["(", "[", "a**", "*a", "[z-a]", "a{2,1}", "\\", "(?<n", "a++", "^*", "a{30,20}"],
        ),
        (
            "regex",
            [r"\a", "(?P<n>x)", "(?#c)a", "(?i)a", "(?<a>x)(?<a>y)", r"\k<n>", "a]", "[!- ]"],
        ),
        ("duration", ["P1D1D", "P1.5D", "PT", "P1W1D", "-P1D"]),
        ("uri-template", ["{%4}", "{a:0}", "{a:10000}", "{a*:3}"]),
    ],
)
def test_wrong_values_are_refused(name: str, texts: list[str]) -> None:
    assert [text for text in texts if automaton(name).accepts(text)] == []
    assert [text for text in texts if accepts(name, text)] == []


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("date", ["0000-02-29"]),
        ("time", ["23:59:60Z", "15:59:60.5-08:00", "10:20:30.1234567890123+00:00"]),
        ("date-time", ["1998-12-31T23:59:60.123456789012Z", "0000-01-01T05:44:60+05:45"]),
        ("duration", ["P12345678901D"]),
        ("email", ["a@xn--whatever", "a@1.2.3.4"]),
        ("idn-email", ["user@cafe\u0301.com", "\uffff@b"]),
        ("uri-template", ["{%41}", "{v:1000}"]),
        ("relative-json-pointer", ["100/a"]),
        (
            "idn-hostname",
            [
                "l·l",
                "\u03b1͵β",
                "א״ב",
                "・ァ",
                "ب\u0660ب",
                "\u06f00",
                "क्\u200dष",
                "بي\u200cبي",
                "a。b",
                "हिन्दी.भारत",
            ],
        ),
        ("regex", ["(?<name>x)", "(?<=a+)b", "[]", "[^]", r"\cA", r"\-", "(?:(?!a).)*", r"\p{Lu}"]),
        ("regex", ["[2-5]", "[!-~]", r"[\u4e00-\u9fa5]", "[a-z-_]", "a{10,20}", "((((a))))"]),
    ],
)
def test_what_few_libraries_read_is_accepted_and_not_written(name: str, texts: list[str]) -> None:
    assert [text for text in texts if automaton(name).accepts(text)] == []
    assert [text for text in texts if not accepts(name, text)] == []


def test_a_leap_second_is_the_last_second_of_a_day_in_utc() -> None:
    for offset in range(-23 * 60 - 45, 24 * 60, 15):
        zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
        for away in (0, 1, -1, 15, 60, 720):
            local = (23 * 60 + 59 + offset + away) % (24 * 60)
            text = f"{local // 60:02}:{local % 60:02}:60{zone}"
            assert accepts("time", text) == (away == 0), text


NEIGHBOURS = (
    "l\u00b7a\u03ac0\u0375-.",
    "\u0915\u094d\u200c\u200d\u0947a-.\u3002",
    "\u0628\u064a\u0627\u200c0\u0660\u06f0-.\u05d0a",
    "\u05d0\u05f3\u05f4\u05d10-.a",
    "\u3041\u30fba-.0\u4e08\uac00",
    "\u0e2a\u0e38\u0e48\u0e4c\u0e1b\u0e50a.-",
    "\u09c7\u09be\u0995\u09cd.0\u00df\u03c2\u0f0b\u3007A\u0640\u302e\u0301",
)


@pytest.mark.parametrize("chars", NEIGHBOURS)
def test_host_names_keep_to_the_rules_of_the_idna_library(chars: str) -> None:
    """And to its reading of what may stand beside what; some of what is valid is left out."""
    rng = random.Random(chars)
    found = valid = 0
    for _ in range(2000):
        text = "".join(rng.choices(chars, k=rng.randint(1, 5)))
        is_valid = CHECKER.conforms(text, "idn-hostname") and text[-1] not in ".。"
        valid += is_valid
        if accepts("idn-hostname", text):
            assert is_valid, ascii(text)
            found += 1
    assert found > 0.6 * valid > 20


def test_dates_follow_the_calendar_over_four_centuries() -> None:
    dfa = automaton("date")
    for year in (*range(1, 10), *range(1896, 2001), 2100, 2400, 9999):
        for month, last in ((1, 31), (2, 28), (4, 30), (12, 31)):
            leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
            day = datetime.date(year, month, last + leap).isoformat()
            assert dfa.accepts(day)
            assert not dfa.accepts(f"{day[:8]}{last + leap + 1}")


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_accepted_and_what_is_accepted_is_in_the_outer_language(
    name: str,
) -> None:
    written, accepted = (Table.of_node(f(name)) for f in (written_format, accepted_format))
    assert not have_common_text([written], [accepted])
    outer = outer_format(name)
    assert (
        name == "regex"
        if outer is None
        else not have_common_text([accepted], [Table.of_node(outer)])
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("time", "23:49:60+23:50"),
        ("date-time", "2026-11-21 09:37:41Z"),
        ("email", "a@[X:y]"),
        ("hostname", "xn--9n2bp8q.xn--9t4b11yi5a"),
        ("idn-hostname", "παράδειγμαπαράδειγμα"),
    ],
)
def test_what_may_be_valid_is_neither_accepted_nor_certainly_not_of_the_format(
    name: str, text: str
) -> None:
    strings = StringSet(formats=(name,))
    (others,) = strings.negated()
    assert not strings.contains(text)
    assert not others.contains(text)


def grammar_of(schema: dict[str, Any], layout: Layout) -> Grammar:
    return Grammar(compile_schema(schema, layout).rules)


def test_rare_texts_are_in_a_layout_that_judges_and_where_there_is_nothing_else() -> None:
    leap, plain = '"23:59:60Z"', '"23:59:59Z"'
    time = {"format": "time", "type": "string"}
    for layout, is_there in ((Layout.accepting(), True), (Layout(), False)):
        grammar = grammar_of(time, layout)
        assert grammar.accepts(plain)
        assert grammar.accepts(leap) == is_there
    assert grammar_of({**time, "pattern": ":60"}, Layout()).accepts(leap)
    apart = grammar_of(
        {"oneOf": [time, {"type": "string", "pattern": "^.{6}60"}]}, Layout.accepting()
    )
    assert apart.accepts(plain)
    assert not apart.accepts(leap)


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


def test_formats_may_be_annotations_which_constrain_nothing_and_are_listed() -> None:
    schema = {"properties": {"day": {"format": "date"}}}
    assert not Grammar.from_schema(schema).accepts('{"day": "tomorrow"}')
    grammar = Grammar.from_schema(schema, formats="annotation")
    assert grammar.accepts('{"day": "tomorrow"}')
    assert [(note.path, note.keyword) for note in grammar.notes] == [("$.properties.day", "format")]
    tagged = constraint_from(
        tags=[Tag("<a>", "</a>", schema={"format": "date"})], formats="annotation"
    )
    assert tagged is not None
    assert tagged.grammar.accepts('<a>"tomorrow"</a>')

"""Places that ask for one character beside them, and patterns that bound lengths their own way."""

from __future__ import annotations

import random
import re
import time
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treegram.lang.ir.dfa import Dfa
from treegram.lang.ir.measured import Measured
from treegram.lang.ir.nodes import Rules
from treegram.lang.ir.random_text import random_text
from treegram.lang.ir.walk import walk
from treegram.lang.json_schema.lengths import cut
from treegram.lang.json_schema.span import Span
from treegram.lang.json_schema.string_set import StringSet
from treegram.lang.regex.expressions import parse_fullmatch, parse_search
from treegram.lang.regular.nfa import Nfa

SETTINGS = settings(
    derandomize=True,
    deadline=None,
    max_examples=120,
    suppress_health_check=[HealthCheck.too_slow],
)
PLACES = [
    "",
    "",
    r"\b",
    r"\B",
    "(?!-)",
    "(?=[ab])",
    "(?<!b)",
    "(?<=[-b])",
    r"(?<!-)\b",
    "(?!a)(?!-)",
]
PARTS = ["a", "[ab]{1,3}", "-?", "(?:ab|-)", "b{0,2}", ".", "(?:a{0,2}-){1,2}", "(?:(?!-)[a-]|b)"]
# Python's \B does not match in the empty text, where both sides are alike, until 3.14
TEXTS = ["".join(letters) for n in range(1, 6) for letters in product("ab-", repeat=n)]


@SETTINGS
@given(
    st.sampled_from(["", "^"]),
    st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(PARTS)), min_size=1, max_size=4),
    st.sampled_from(PLACES),
    st.sampled_from(["", "$"]),
)
def test_they_mean_what_python_says(
    start: str, parts: list[tuple[str, str]], last: str, end: str
) -> None:
    pattern = start + "".join(place + part for place, part in parts) + last + end
    compiled = re.compile(pattern.replace("$", r"\Z"), re.ASCII)
    nfa = Nfa.of(parse_search(pattern))
    assert [t for t in TEXTS if nfa.accepts(t)] == [t for t in TEXTS if compiled.search(t)]
    whole = re.compile(rf"(?:{pattern})|b".replace("$", r"\Z"), re.ASCII)
    nfa = Nfa.of(parse_fullmatch(f"(?:{pattern})|b"))
    assert [t for t in TEXTS if nfa.accepts(t)] == [t for t in TEXTS if whole.fullmatch(t)]


@pytest.mark.parametrize(
    "pattern",
    [
        r"\bfoo\b",
        r"^(?!-)[a-z0-9-]{1,63}(?<!-)$",
        r"^(?:(?!-)[a-z0-9-]{1,6300}(?<!-)\.)+[a-z]{2,63}\b",
        r"^(\b[0-5]?[0-9]\b) \b2[0-3]\b$",
        r"(?=.{1,3200}$)[a-z](-*[a-z])*",
    ],
)
def test_bounds_beside_them_stay_numbers(pattern: str) -> None:
    assert not any(isinstance(node, Dfa | Measured) for node, _ in walk(parse_search(pattern)))


URL = r"https?:\/\/(www\.)?[-a-zA-Z0-9@:%._\+~#=]{1,256}\.[a-zA-Z0-9()]{1,6}\b([-a-zA-Z0-9()@:%_]*)"
BYTE = "(25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
HOST = (
    rf"^(localhost)$|^({BYTE}\.){{3}}{BYTE}$|(?=^[a-zA-Z0-9\.\*-]{{4,253}}$)(?!.*\.-)(?!.*-\.)"
    r"(?!.*\.\.)(?!.*[^\.]{64,})^(\*\.)?(?![-\.\*])[^\*]{1,}\."
    r"(\*|(?!.*--)(?=.*[a-zA-Z])[^\*]{1,}[^\*-])$"
)
PATH = "^https://[A-Za-z0-9]((.|-+)?[A-Za-z0-9]){0,252}/[a-z0-9](-?[a-z0-9]){2,62}$"


@pytest.mark.parametrize("span", [Span(), Span(0, 40), Span(20, 100), Span(9, 256)], ids=repr)
@pytest.mark.parametrize("pattern", [URL, HOST, PATH], ids=["url", "host", "path"])
def test_patterns_of_real_schemas_compile_with_any_length(pattern: str, span: Span) -> None:
    begun = time.thread_time()
    strings = StringSet(span, (pattern,))
    node = strings.node()
    assert time.thread_time() - begun < 2
    compiled = re.compile(pattern, re.ASCII)
    for seed in range(20):
        text = random_text(Rules("root", {"root": node}), random.Random(seed))[1:-1]
        text = text.replace('\\"', '"').replace("\\\\", "\\")
        if "\\" in text:
            continue
        assert len(text) in span, text
        assert compiled.search(text), text
    for text in ("localhost", "1.2.3.255", "1.2.3.256", "*.a-b.example.com", "a..b", "a.-b.c"):
        assert strings.contains(text) == (bool(compiled.search(text)) and len(text) in span)


def test_a_bound_that_the_length_makes_idle_is_none() -> None:
    """All that stands beside a repetition takes its part of the length."""
    content = StringSet(Span(0, 30), (f"^{'x' * 20}a{{0,12}}(b|ccc){{0,7}}-[a-c]*$",))
    whole = re.compile(r"x{20}a{0,12}(b|ccc){0,7}-[a-c]*")
    rng = random.Random(1)
    for _ in range(2000):
        text = "x" * 20 + "".join(rng.choices("aaabccc-", k=rng.randrange(14)))
        assert content.contains(text) == (bool(whole.fullmatch(text)) and len(text) <= 30)
    nfa = Nfa.of(cut(parse_search(content.patterns[0]), content.length))
    for _ in range(2000):
        text = "x" * 20 + "".join(rng.choices("aaabccc-", k=rng.randrange(11)))
        assert nfa.accepts(text) == bool(whole.fullmatch(text)), text

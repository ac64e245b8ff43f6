"""Where one alternative has ended and another goes on, a text is complete only where one ends."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from treegram.lang.constraint import constraint_from
from treegram.lang.grammar import Grammar
from treegram.lang.ir.nodes import Alt, Ref, Rules, Terminal
from treegram.lang.regex.expressions import parse_fullmatch

PARTS = st.sampled_from(["a", "b", "[ab]", "a*", "(ab)*", "a*b", "(a*b)*", "b+a", "(a|bb)*a"])
PATTERNS = st.lists(PARTS, min_size=1, max_size=3).map("".join)


@given(st.lists(PATTERNS, min_size=1, max_size=3), st.lists(st.text("ab", max_size=8)))
def test_terminals_that_share_beginnings(patterns: list[str], texts: list[str]) -> None:
    rules = {f"r{n}": Terminal(parse_fullmatch(p)) for n, p in enumerate(patterns)}
    options = Alt(tuple(map(Ref, rules)))
    grammar = Grammar(Rules("root", {**rules, "root": options}))
    for text in texts:
        expected = any(re.fullmatch(pattern, text) for pattern in patterns)
        assert grammar.accepts(text) == expected, text


def test_numbers_that_share_digits() -> None:
    """62 is within the bounds, 620 a multiple of 5, and 621 is neither."""
    schema = {"oneOf": [{"multipleOf": 5}, {"minimum": 7, "maximum": 90}], "type": "integer"}
    constraint = constraint_from(schema=schema)
    assert constraint is not None
    for number in range(1000):
        expected = (number % 5 == 0) != (7 <= number <= 90)
        assert constraint.grammar.accepts(str(number)) == expected, number

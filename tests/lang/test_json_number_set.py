"""Sets of numbers against exact arithmetic, and against `jsonschema` for ordinary values."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from fractions import Fraction

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.errors import SchemaError
from treegram.lang.ir.nodes import NEVER, Node, Terminal
from treegram.lang.json_schema.multiples import least_common_multiple, multiples
from treegram.lang.json_schema.number_set import NumberSet
from treegram.lang.json_schema.numbers import INTEGER, NUMBER
from treegram.lang.json_schema.scientific import (
    FINITE,
    LARGEST,
    SMALLEST,
    WRITTEN,
    scientific_range,
)
from treegram.lang.json_schema.span import Span
from treegram.lang.regular.nfa import Nfa
from treegram.lang.regular.table import Table, combine

SETTINGS = settings(derandomize=True, deadline=None, max_examples=200)

VALUES: list[int | float] = [
    *(0, 1, -1, 5, 10, 100, 12, -7, 33, 1000, 123456789, 10**17, -(10**20)),
    *(0.5, 0.25, 0.1, 0.07, 2.5, 7.5, 99.99, 3.7, -0.1, -2.5, 0.01, 4.0, 19.99, -100.0),
    *(1e-5, 1.5e-5, 2e-7, -2e-9, 1e16, 1.5e17, -3e20, 1e22),
]


def accepts(node: Node, text: str) -> bool:
    return isinstance(node, Terminal) and Nfa.of(node.node).accepts(text)


def decimals(*values: str) -> st.SearchStrategy[Decimal]:
    return st.sampled_from([Decimal(value) for value in values])


EDGES = st.none() | st.tuples(
    decimals("0", "1", "5", "-3", "10", "100", "0.5", "2.5", "-0.1", "1e16", "99.99", "1e-5"),
    st.booleans(),
)
STEPS = decimals("1", "2", "3", "5", "10", "0.5", "0.25", "0.1", "0.01", "2.5", "1e-5")
SETS = st.builds(
    NumberSet,
    EDGES,
    EDGES,
    st.lists(STEPS, max_size=2).map(tuple),
    st.lists(decimals("1", "2", "3", "0.5", "10"), max_size=1).map(tuple),
    st.sampled_from([None, None, True, False]),
    st.frozensets(decimals("0", "1", "5", "0.5", "1e16", "1e-5", "100"), max_size=2),
)


def inside(numbers: NumberSet, value: int | float) -> bool:
    exact = Fraction(repr(value))
    if numbers.low is not None:
        edge, strict = Fraction(numbers.low[0]), numbers.low[1]
        if exact < edge or (strict and exact == edge):
            return False
    if numbers.high is not None:
        edge, strict = Fraction(numbers.high[0]), numbers.high[1]
        if exact > edge or (strict and exact == edge):
            return False
    is_whole = exact.denominator == 1
    return (
        numbers.integer in (None, is_whole)
        and all((exact / Fraction(step)).denominator == 1 for step in numbers.multiples)
        and all((exact / Fraction(step)).denominator != 1 for step in numbers.not_multiples)
        and exact not in map(Fraction, numbers.excluded)
    )


@SETTINGS
@given(SETS, st.booleans())
def test_a_set_is_what_its_fields_say(numbers: NumberSet, integral_floats: bool) -> None:
    node = numbers.node(integral_floats=integral_floats)
    assert (node == NEVER) == numbers.is_empty()
    others = numbers.negated()
    for value in VALUES:
        expected = inside(numbers, value)
        assert numbers.contains(value) == expected, value
        assert any(other.contains(value) for other in others) == (not expected), value
        if not expected:
            assert not accepts(node, json.dumps(value)), value
            assert not accepts(node, format(Decimal(repr(value)), "f")), value
        elif isinstance(value, int):
            assert accepts(node, str(value)), value
        elif abs(value) < 1e15 and (not numbers.integer or integral_floats):
            assert accepts(node, format(Decimal(repr(value)), "f")), value


@SETTINGS
@given(EDGES, EDGES, st.sampled_from(VALUES), st.booleans())
def test_bounds_accept_what_json_writes(
    low: tuple[Decimal, bool] | None,
    high: tuple[Decimal, bool] | None,
    value: float,
    whole: bool,
) -> None:
    numbers = NumberSet(low, high, integer=True if whole else None)
    node = numbers.node(integral_floats=True)
    assert accepts(node, json.dumps(value)) == inside(numbers, value)


@SETTINGS
@given(EDGES, EDGES, st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_extremes_go_as_far_as_doubles(
    low: tuple[Decimal, bool] | None,
    high: tuple[Decimal, bool] | None,
    value: float,
    whole: bool,
) -> None:
    numbers = NumberSet(low, high, integer=True if whole else None)
    node = numbers.node(integral_floats=True, extremes=True)
    assert accepts(node, json.dumps(value)) == inside(numbers, value)


@pytest.mark.parametrize("text", [str(LARGEST), f"-{SMALLEST}", "1e-323", "9.9e307", "-1E+308"])
def test_only_extremes_have_exponents_of_three_hundred(text: str) -> None:
    assert accepts(NumberSet().node(extremes=True), text)
    assert not accepts(NumberSet().node(), text)
    assert accepts(NumberSet(excluded=frozenset((Decimal(1),))).node(extremes=True), text)


def test_whole_numbers_next_to_a_large_bound_are_exact() -> None:
    most = 2**64 - 1
    node = NumberSet(high=(Decimal(most), False)).node(extremes=True)
    for value in (most - 15, most, most + 1, most + 15):
        assert accepts(node, str(value)) == (value <= most), value


@SETTINGS
@given(SETS, SETS, st.sampled_from(VALUES))
def test_and_is_the_intersection(one: NumberSet, other: NumberSet, value: float) -> None:
    assert (one & other).contains(value) == (one.contains(value) and other.contains(value))


@pytest.mark.parametrize("step", [1, 3, 7, 0.5, 0.25, 2.5, 0.01, 0.1, 100])
def test_multiples_agree_with_jsonschema(step: float) -> None:
    node = NumberSet(multiples=(Decimal(repr(step)),)).node()
    validator = jsonschema.Draft202012Validator({"multipleOf": step})
    for count in range(-300, 300):
        value = count / 4
        if validator.is_valid(value):
            assert accepts(node, format(Decimal(repr(value)), "f")), value
        elif step >= 0.25:  # a double divided by a smaller one is off by a little
            assert not accepts(node, format(Decimal(repr(value)), "f")), value


@pytest.mark.parametrize("step", ["1", "3", "0.5", "2.5", "0.07", "40"])
def test_multiples_are_exact_in_decimals(step: str) -> None:
    table = multiples(Fraction(step))
    for count in range(-400, 400):
        text = format(Decimal(count).scaleb(-2), "f")
        divides = (Fraction(text) / Fraction(step)).denominator == 1
        for spelled in (text, text + "0"):
            assert table.accepts(spelled) == divides, spelled
        assert not table.accepts("0" + text.lstrip("-"))


def test_a_least_common_multiple_of_fractions() -> None:
    assert least_common_multiple(map(Decimal, ("0.5", "0.3"))) == Fraction(3, 2)
    assert least_common_multiple(map(Decimal, ("6", "4"))) == 12


@pytest.mark.parametrize("exponents", [*WRITTEN, *FINITE])
@pytest.mark.parametrize(
    ("low", "high"),
    [(None, None), ("0", None), ("-2.5e-7", "3e-6"), ("9.5e16", "1.2e18"), ("1e16", "1e17")],
)
def test_scientific_notation_keeps_to_its_bounds(
    low: str | None, high: str | None, exponents: Span
) -> None:
    least, most = (None if edge is None else Decimal(edge) for edge in (low, high))
    table = Table.of_node(scientific_range(least, most, exponents))
    for sign in ("", "-"):
        for mantissa in ("1", "1.0", "2.5", "3", "3.01", "9.5", "9.49", "9.99"):
            for exponent in (-325, -300, -299, -8, -7, -6, -5, -4, 15, 16, 17, 18, 299, 300, 309):
                text = f"{sign}{mantissa}e{exponent:+03}"
                value = Decimal(text)
                expected = (
                    exponent in exponents
                    and (least is None or value >= least)
                    and (most is None or value <= most)
                )
                assert table.accepts(text) == expected, text


def test_common_sets_need_no_automaton() -> None:
    assert NumberSet().node() == Terminal(NUMBER)
    assert NumberSet(integer=True).node() == Terminal(INTEGER)
    assert NumberSet(integer=True, multiples=(Decimal("0.5"),)).node() == Terminal(INTEGER)


@pytest.mark.parametrize("text", ["1.0", "10.00", "0", "0.0", "-0", "-0.0", "-7.0", "1e+16"])
def test_whole_numbers_may_be_written_as_floats(text: str) -> None:
    integers = NumberSet(integer=True)
    assert accepts(integers.node(integral_floats=True), text)
    assert accepts(integers.node(), text) == (text == "0")


def test_a_part_of_whole_numbers_and_of_others_is_nothing() -> None:
    assert (NumberSet(integer=True) & NumberSet(integer=False)).is_empty()


@pytest.mark.parametrize(
    ("numbers", "keyword", "message"),
    [
        (NumberSet(low=(Decimal("1e309"), False), path="$.x"), "minimum", "a double cannot hold"),
        (NumberSet(high=(Decimal("-1e309"), False), path="$.x"), "maximum", "cannot hold"),
        (NumberSet(multiples=(Decimal(999_983),), path="$.x"), "multipleOf", "too large"),
    ],
)
def test_what_has_no_grammar_is_named(numbers: NumberSet, keyword: str, message: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(SchemaError, match=message) as caught:
        numbers.node()
    assert (caught.value.path, caught.value.keyword) == ("$.x", keyword)
    assert time.perf_counter() - begun < 5


def test_a_bound_beyond_doubles_is_no_bound() -> None:
    node = NumberSet(high=(Decimal("1.7976931348623157e308"), False)).node()
    assert accepts(node, "1e+100")


def test_disjoint_steps_leave_nothing() -> None:
    table = combine([multiples(Fraction(2))], [multiples(Fraction(1))])
    assert table.is_empty
    numbers = NumberSet(multiples=(Decimal(2),), not_multiples=(Decimal(1),))
    assert numbers.is_empty()

"""Number grammars against Python's own arithmetic."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.automaton.reference import matches
from treegram.lang.ir.nodes import Node, Rules
from treegram.lang.json_schema.numbers import (
    INTEGER,
    NUMBER,
    decimal_range,
    inclusive,
    integer_range,
    mantissa_range,
)

SETTINGS = settings(derandomize=True, deadline=None, max_examples=150)


def accepts(node: Node, text: str) -> bool:
    return matches(Rules("root", {"root": node}), text)


bounds = st.one_of(st.none(), st.integers(-1200, 1200), st.integers(-12, 12))


@SETTINGS
@given(bounds, bounds, st.data())
def test_integer_range_is_exactly_the_range(
    low: int | None, high: int | None, data: st.DataObject
) -> None:
    node = integer_range(low, high)
    near = [edge + step for edge in (low, high) if edge is not None for step in (-1, 0, 1)]
    numbers = [*near, 0, *data.draw(st.lists(st.integers(-20_000, 20_000), max_size=20))]
    for number in numbers:
        inside = (low is None or low <= number) and (high is None or number <= high)
        assert accepts(node, str(number)) == inside


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (7, 7), (-5, 23), (98, 101), (-110, -9), (1000, 1010), (0, 999)]
)
def test_every_integer_around_a_range(low: int, high: int) -> None:
    node = integer_range(low, high)
    accepted = [n for n in range(-1200, 1201) if accepts(node, str(n))]
    assert accepted == list(range(low, high + 1))


@pytest.mark.parametrize("text", ["-0", "00", "01", "-01", "+1", "", "-", "1.0", "1e3"])
def test_an_integer_has_one_spelling(text: str) -> None:
    assert not accepts(INTEGER, text)
    assert not accepts(integer_range(-50, 50), text)


def test_a_bound_of_many_digits_stays_flat() -> None:
    high = 10**300 + 7
    node = integer_range(-high, high)
    assert accepts(node, str(high))
    assert not accepts(node, str(high + 1))
    assert accepts(node, str(-high))


decimals = st.decimals(-30, 30, places=2) | st.sampled_from(
    [Decimal(t) for t in ("0", "1", "0.1", "-0.5", "10", "0.001", "9.95", "1e-7", "100")]
)


@SETTINGS
@given(
    st.none() | decimals,
    st.none() | decimals,
    st.lists(st.decimals(-40, 40, places=3), max_size=20),
)
def test_decimal_range_is_exactly_the_range(
    low: Decimal | None, high: Decimal | None, numbers: list[Decimal]
) -> None:
    node = decimal_range(low, high)
    for number in [*numbers, *(edge for edge in (low, high) if edge is not None)]:
        inside = (low is None or number >= low) and (high is None or number <= high)
        text = format(number, "f")
        if not (number == 0 and text.startswith("-")):
            assert accepts(node, text) == inside


@SETTINGS
@given(
    st.decimals(1, Decimal("9.999"), places=3),
    st.none() | st.decimals(1, Decimal("9.999"), places=3),
    st.decimals(0, 12, places=3),
)
def test_mantissa_range_ends_below_ten(low: Decimal, high: Decimal | None, number: Decimal) -> None:
    if high is None or low <= high:
        inside = low <= number < 10 and (high is None or number <= high)
        assert accepts(mantissa_range(low, high), format(number, "f")) == inside


def exclusively(edge: Decimal, towards: float) -> Node:
    bound = inclusive(edge, True, towards)
    return decimal_range(bound, None) if towards > 0 else decimal_range(None, bound)


@pytest.mark.parametrize(
    "text", ["0." + "9" * 25, "1.0000000000000000000001", "0.99999999999999999", "1", "1.0"]
)
def test_no_text_rounds_onto_an_exclusive_bound(text: str) -> None:
    assert not accepts(exclusively(Decimal(1), -math.inf), text)
    assert not accepts(exclusively(Decimal(1), math.inf), text)


@SETTINGS
@given(st.floats(0.001, 999.0))
def test_the_neighbour_of_an_exclusive_bound_is_inside(bound: float) -> None:
    edge = Decimal(repr(bound))
    above, below = math.nextafter(bound, math.inf), math.nextafter(bound, 0)
    assert accepts(exclusively(edge, math.inf), repr(above))
    assert accepts(exclusively(edge, -math.inf), repr(below))


@SETTINGS
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_number_takes_what_json_writes(number: float) -> None:
    magnitude = abs(number)
    if magnitude == 0 or 1e-290 < magnitude < 1e290:
        assert accepts(NUMBER, json.dumps(number))


@pytest.mark.parametrize("text", ["01", ".5", "5.", "1e", "+1", "NaN", "Infinity", "--1", "1e400"])
def test_number_refuses_what_json_does_not_write(text: str) -> None:
    assert not accepts(NUMBER, text)


def test_an_empty_range_matches_nothing() -> None:
    assert integer_range(3, 2) == decimal_range(Decimal(3), Decimal(2))
    assert not accepts(integer_range(3, 2), "3")

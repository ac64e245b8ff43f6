"""What decisions say about a text and about the fields in it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from treegram.lang.confidence import Confidence, Decision
from treegram.lang.errors import ParameterError


def decided(text: str, *pieces: tuple[str, float, float]) -> Confidence:
    """A text whose pieces were drawn; other text between them was forced."""

    def decisions() -> Iterator[Decision]:
        at = 0
        for piece, probability, runner_up in pieces:
            start = text.index(piece, at)
            at = start + len(piece)
            before = len(text[:start].encode())
            yield Decision(before, before + len(piece.encode()), probability, runner_up)

    return Confidence(text, tuple(decisions()))


def test_forced_text_is_certain() -> None:
    sure = Confidence("yes", ())
    assert (sure.probability, sure.margin, sure.weakest) == (1.0, 1.0, 1.0)


def test_the_whole_is_the_product() -> None:
    sure = decided("abc", ("a", 0.9, 0.05), ("b", 0.5, 0.3), ("c", 0.8, 0.2))
    assert sure.probability == pytest.approx(0.36)
    assert sure.weakest == 0.5
    # the likeliest departures: 0.05, 0.9 * 0.3, 0.9 * 0.5 * 0.2
    assert sure.margin == pytest.approx(0.36 - 0.27)


def test_fields_of_nested_values() -> None:
    text = '{"é": {"city": "Lyon", "zip": 69}, "tags": ["x", true], "n": null}'
    sure = decided(
        text,
        ("Ly", 0.9, 0.1),
        ('on"', 0.8, 0.1),
        ("6", 0.7, 0.2),
        ("9", 0.6, 0.3),
        ("}, ", 0.5, 0.4),
        ('x"', 0.4, 0.3),
        ("true", 0.3, 0.2),
    )
    assert {path: round(found.probability, 6) for path, found in sure.fields.items()} == {
        "$['é']": round(0.9 * 0.8 * 0.7 * 0.6 * 0.5, 6),
        "$['é'].city": 0.72,
        "$['é'].zip": round(0.7 * 0.6 * 0.5, 6),
        "$.tags": 0.12,
        "$.tags[0]": 0.4,
        "$.tags[1]": 0.3,
        "$.n": 1.0,
    }
    assert sure["é"]["city"] == sure.fields["$['é'].city"]
    assert sure["tags"][1].text == "true"
    assert sure["é"]["zip"].margin == pytest.approx(0.21 - 0.7 * 0.3)


def test_a_token_over_two_fields_counts_for_both() -> None:
    sure = decided("[true, false]", ("true, f", 0.5, 0.3))
    assert sure[0].probability == sure[1].probability == 0.5


def test_the_end_of_a_number_at_the_end_of_the_text() -> None:
    sure = Confidence("42", (Decision(0, 2, 0.9, 0.1), Decision(2, 2, 0.5, 0.5)))
    assert sure.probability == 0.45
    assert sure.fields == {}


def test_healed_tokens_begin_before_the_text() -> None:
    sure = Confidence('{"a": 1}', (Decision(-1, 2, 0.5, 0.2), Decision(6, 7, 0.8, 0.1)))
    assert sure.probability == 0.4
    assert sure["a"].probability == 0.8


@pytest.mark.parametrize("text", ["plain", '{"a": 1', "17", '"one"', "[]"])
def test_no_fields(text: str) -> None:
    sure = Confidence(text, (Decision(0, 1, 0.5, 0.4),))
    assert sure.fields == {}
    with pytest.raises(ParameterError, match="expected one of none, got 'a'"):
        sure["a"]


def test_an_unknown_field_lists_the_known_ones() -> None:
    with pytest.raises(ParameterError, match=r"one of 'age', 'name', got 'agee'"):
        decided('{"age": 1, "name": ""}')["agee"]


def test_a_deep_text() -> None:
    depth = 300
    sure = decided("[" * depth + "1" + "]" * depth, ("1", 0.5, 0.25))
    assert len(sure.fields) == depth
    assert all(math.isclose(found.probability, 0.5) for found in sure.fields.values())

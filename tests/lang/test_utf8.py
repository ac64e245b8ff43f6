"""Code-point ranges become exactly the byte strings that encode them."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.lang.regular.utf8 import byte_sequences, complete_length

code_points = st.one_of(
    st.integers(0, 0x2FF), st.integers(0x7F0, 0x1010), st.integers(0xFFF0, 0x10010)
).filter(lambda c: not 0xD800 <= c <= 0xDFFF)


@settings(derandomize=True, deadline=None)
@given(code_points, st.integers(0, 300))
def test_sequences_encode_exactly_the_range(first: int, width: int) -> None:
    last = min(first + width, 0x10FFFF)
    encoded = [
        bytes(combination)
        for sequence in byte_sequences(first, last)
        for combination in product(*(range(low, high + 1) for low, high in sequence))
    ]
    assert sorted(encoded) == sorted(chr(c).encode() for c in range(first, last + 1))


def test_the_whole_of_unicode_takes_few_sequences() -> None:
    sequences = [*byte_sequences(0, 0xD7FF), *byte_sequences(0xE000, 0x10FFFF)]
    assert len(sequences) <= 9


@pytest.mark.parametrize("character", ["a", "é", "日", "😀"])
def test_complete_length_cuts_an_unfinished_character(character: str) -> None:
    data = character.encode()
    for cut in range(len(data) + 1):
        expected = 1 + (len(data) if cut == len(data) else 0)
        assert complete_length(b"x" + data[:cut]) == expected

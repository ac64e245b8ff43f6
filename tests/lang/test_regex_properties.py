"""Properties of code points against `unicodedata` and Python's `re`."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest

from treegram.lang.ir.nodes import SURROGATES
from treegram.lang.regex.properties import (
    property_ranges,
    unicode_digits,
    unicode_space,
    unicode_word,
)
from treegram.lang.regex.scripts import SCRIPT_CODES, SCRIPT_RANGES
from treegram.lang.regex.sets import Ranges

EVERY = [c for c in range(sys.maxunicode + 1) if not SURROGATES[0] <= c <= SURROGATES[1]]
SAMPLE = [*range(0x3200), *range(0xAC00, 0xAE00), *range(0x1F300, 0x1F400), *EVERY[::997]]


def codes(ranges: Ranges | None) -> set[int]:
    assert ranges is not None
    return {code for low, high in ranges for code in range(low, high + 1)}


@pytest.mark.slow
def test_general_categories_cover_each_code_point_once() -> None:
    names = {unicodedata.category(chr(code)) for code in EVERY}
    parts = [codes(property_ranges(name)) for name in names]
    assert sum(map(len, parts)) == len(EVERY)
    for name, part in zip(names, parts, strict=True):
        assert all(unicodedata.category(chr(code)) == name for code in part)


@pytest.mark.parametrize(
    ("name", "category"),
    [("Letter", "L"), ("digit", "Nd"), ("gc=Lu", "Lu"), ("General_Category=Zs", "Zs"), ("S", "S")],
)
def test_names_of_categories(name: str, category: str) -> None:
    inside = codes(property_ranges(name))
    for code in SAMPLE:
        if not SURROGATES[0] <= code <= SURROGATES[1]:
            assert (code in inside) == unicodedata.category(chr(code)).startswith(category)


@pytest.mark.parametrize(
    ("ranges", "escape"),
    [(unicode_digits(), r"\d"), (unicode_word(), r"\w"), (unicode_space(), r"\s")],
)
def test_unicode_classes_are_pythons(ranges: Ranges, escape: str) -> None:
    inside, pattern = codes(ranges), re.compile(escape)
    for code in SAMPLE:
        if not SURROGATES[0] <= code <= SURROGATES[1]:
            assert (code in inside) == (pattern.match(chr(code)) is not None), hex(code)


@pytest.mark.parametrize(
    ("script", "text", "word"),
    [
        ("Greek", "αβγΩ", "GREEK"),
        ("Cyrillic", "привет", "CYRILLIC"),
        ("Han", "漢字中文", "CJK"),
        ("Hiragana", "ひらがな", "HIRAGANA"),
        ("Katakana", "カタカナ", "KATAKANA"),
        ("Hangul", "한국어", "HANGUL"),
        ("Arabic", "مرحبا", "ARABIC"),
        ("Hebrew", "שלום", "HEBREW"),
        ("Thai", "ไทย", "THAI"),
        ("Devanagari", "नमस्ते", "DEVANAGARI"),
        ("Latin", "Éß", "LATIN"),
    ],
)
def test_scripts_hold_their_letters_and_no_others(script: str, text: str, word: str) -> None:
    inside = codes(property_ranges(f"Script={script}"))
    assert inside.issuperset(map(ord, text))
    letters = [
        code
        for code in SAMPLE
        if unicodedata.name(chr(code), "").startswith(f"{word} LET")
        and unicodedata.category(chr(code)) in ("Lu", "Ll", "Lo")
    ]
    assert inside.issuperset(letters)
    for other in SCRIPT_RANGES:
        if other != script:
            assert not inside & codes(property_ranges(f"sc={other}"))


def test_scripts_have_their_short_names_and_others_have_none() -> None:
    for short, name in SCRIPT_CODES.items():
        assert property_ranges(f"sc={short}") == property_ranges(f"Script={name}")
    assert set(SCRIPT_CODES.values()) == set(SCRIPT_RANGES)
    assert property_ranges("Script=Klingon") is property_ranges("Foo") is None

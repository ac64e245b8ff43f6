"""The sets behind `\\p{...}`, and `\\d \\w \\s` in their Unicode sense.

General categories are those of Python's own Unicode version; `unicodedata` knows no scripts, so the
most used ones are in a table.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import groupby

from ..ir.nodes import MAX_CODE_POINT
from .scripts import SCRIPT_CODES, SCRIPT_RANGES
from .sets import ANY, Ranges, union

_NAMES = {
    "L": "Letter",
    "LC": "Cased_Letter",
    "Lu": "Uppercase_Letter",
    "Ll": "Lowercase_Letter",
    "Lt": "Titlecase_Letter",
    "Lm": "Modifier_Letter",
    "Lo": "Other_Letter",
    "M": "Mark Combining_Mark",
    "Mn": "Nonspacing_Mark",
    "Mc": "Spacing_Mark",
    "Me": "Enclosing_Mark",
    "N": "Number",
    "Nd": "Decimal_Number digit",
    "Nl": "Letter_Number",
    "No": "Other_Number",
    "P": "Punctuation punct",
    "Pc": "Connector_Punctuation",
    "Pd": "Dash_Punctuation",
    "Ps": "Open_Punctuation",
    "Pe": "Close_Punctuation",
    "Pi": "Initial_Punctuation",
    "Pf": "Final_Punctuation",
    "Po": "Other_Punctuation",
    "S": "Symbol",
    "Sm": "Math_Symbol",
    "Sc": "Currency_Symbol",
    "Sk": "Modifier_Symbol",
    "So": "Other_Symbol",
    "Z": "Separator",
    "Zs": "Space_Separator",
    "Zl": "Line_Separator",
    "Zp": "Paragraph_Separator",
    "C": "Other",
    "Cc": "Control cntrl",
    "Cf": "Format",
    "Cn": "Unassigned",
    "Co": "Private_Use",
}
_CATEGORIES = {name: short for short, names in _NAMES.items() for name in (short, *names.split())}
_CATEGORY_KEYS = ("General_Category", "gc")
_SCRIPT_KEYS = ("Script", "sc")

# Planes 4 to 13 hold nothing; 14 holds tags and selectors; 15 and 16 are for private use.
_EMPTY_PLANES = range(0x40000, 0xE0000)
_PRIVATE_PLANES = range(0xF0000, MAX_CODE_POINT + 1)


@cache
def property_ranges(name: str) -> Ranges | None:
    """The code points of `Lu`, `Letter`, `gc=Lu`, `Script=Greek`, `sc=Grek`, `ASCII`, `Any`.

    None for any other name.
    """
    key, _, value = name.rpartition("=")
    if key in _SCRIPT_KEYS:
        return _script(SCRIPT_CODES.get(value, value))
    if key in ("", *_CATEGORY_KEYS) and value in _CATEGORIES:
        return _category(_CATEGORIES[value])
    return {"Any": ANY, "ASCII": ((0, 0x7F),)}.get(name)


def _category(name: str) -> Ranges:
    prefixes = ("Lu", "Ll", "Lt") if name == "LC" else (name,)
    table = _table()
    return union(pair for key in table if key.startswith(prefixes) for pair in table[key])


def _script(name: str) -> Ranges | None:
    if name not in SCRIPT_RANGES:
        return None
    pairs = (part.split("-") for part in SCRIPT_RANGES[name].split())
    return union((int(pair[0], 16), int(pair[-1], 16)) for pair in pairs)


@cache
def _table() -> dict[str, list[tuple[int, int]]]:
    """General category -> its code points."""
    table: dict[str, list[tuple[int, int]]] = {
        "Cn": [(_EMPTY_PLANES[0], _EMPTY_PLANES[-1])],
        "Co": [(start, start + 0xFFFD) for start in _PRIVATE_PLANES[::0x10000]],
    }
    table["Cn"] += [(start + 0xFFFE, start + 0xFFFF) for start in _PRIVATE_PLANES[::0x10000]]
    for first, last in ((0, _EMPTY_PLANES[0]), (_EMPTY_PLANES[-1] + 1, _PRIVATE_PLANES[0])):
        codes = range(first, last)
        for name, run in _runs(map(unicodedata.category, map(chr, codes)), first):
            table.setdefault(name, []).append(run)
    return table


def _runs(names: Iterator[str], at: int) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, run in groupby(names):
        length = sum(1 for _ in run)
        yield name, (at, at + length - 1)
        at += length


@cache
def unicode_digits() -> Ranges:
    """What `\\d` means in Python without `re.ASCII`."""
    return _category("Nd")


@cache
def unicode_word() -> Ranges:
    """What `\\w` means in Python without `re.ASCII`: letters, numbers and the underscore."""
    numeric = ((code, code) for code in range(_EMPTY_PLANES[0]) if chr(code).isnumeric())
    return union([*_category("L"), *numeric, (0x5F, 0x5F)])


@cache
def unicode_space() -> Ranges:
    """What `\\s` means in Python without `re.ASCII`."""
    return union((code, code) for code in range(0x3001) if chr(code).isspace())

"""Host names with letters beyond ASCII: the rules of RFC 5891 to 5893, each as an automaton.

Left out is what no automaton tells, or none of a sensible size: encoded labels (`xn--...`), labels
of more than eleven characters that are not all ASCII, as 63 encoded ones may not hold them, scripts
that are not in wide use, combining diacritics, and most stacks of marks.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise

from ..ir.nodes import CharClass, Node, Repeat, Seq
from ..regex.anchors import alt
from ..regex.expressions import parse_fullmatch
from ..regex.sets import DIGIT, characters, union
from ..regular.bounded import bounded
from ..regular.table import Table, combine
from .format_hosts import ascii_label, hostname

ANY_IDN_HOSTNAME = r"[A-Za-z0-9.\u0080-\u{10ffff}-]+"
"""No host name is outside of this."""

_LONGEST = 11
"""Characters of a label: the worst that a search has found take 47 encoded ones of 63."""

_Blocks = tuple[tuple[int, int], ...]

_GREEK: _Blocks = ((0x370, 0x3CE),)
_LEFT_TO_RIGHT: _Blocks = (
    (0xDF, 0x17F),  # Latin
    *_GREEK,
    (0x430, 0x45F),  # Cyrillic
    (0x561, 0x586),  # Armenian
    (0x900, 0xDFF),  # Devanagari to Sinhala
    (0xE01, 0xEDF),  # Thai and Lao
    (0xF00, 0xFBC),  # Tibetan
    (0x1000, 0x104F),  # Myanmar
    (0x10D0, 0x10FF),  # Georgian
    (0x1200, 0x137F),  # Ethiopic
    (0x1780, 0x17B3),  # Khmer
    (0x17B6, 0x17E9),
    (0x1EA1, 0x1EF9),  # Vietnamese
)
_KANA: _Blocks = ((0x3005, 0x3007), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x30FC, 0x30FE))
_HAN = r"\u3400-\u4dbf\u4e00-\u9fff"
_HAN_AND_HANGUL = rf"{_HAN}\uac00-\ud7a3"
_HEBREW: _Blocks = ((0x5D0, 0x5EA), (0x5EF, 0x5F2))
_ARABIC: _Blocks = ((0x620, 0x64A), (0x66E, 0x66F), (0x671, 0x6D3), (0x6FA, 0x6FF), (0x750, 0x77F))
_ARABIC_DIGITS, _EXTENDED_DIGITS = r"\u0660-\u0669", r"\u06f0-\u06f9"

_VALID = frozenset("\u00df\u03c2\u06fd\u06fe\u0f0b\u3007")
_INVALID = frozenset("\u0640")
"""Exceptions of RFC 5892, section 2.6, in these blocks."""


def _is_valid(char: str) -> bool:
    """Whether a label may hold the character anywhere: PVALID in RFC 5892."""
    if char in _VALID or char in _INVALID:
        return char in _VALID
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", char).casefold())
    return unicodedata.category(char) in ("Ll", "Lo", "Lm", "Mn", "Mc", "Nd") and folded == char


def _valid(blocks: _Blocks) -> list[str]:
    chars = (chr(code) for low, high in blocks for code in range(low, high + 1))
    return [char for char in chars if _is_valid(char)]


def _inside(chars: Iterable[str]) -> str:
    """Characters as the inside of a class."""
    ranges = union((ord(char), ord(char)) for char in chars)
    return "".join(rf"\u{low:04x}-\u{high:04x}" for low, high in ranges)


def idn_hostname() -> Node:
    """Names of ASCII, and names of up to three labels that may have common letters."""
    letters = ordinary_letters()
    label = rf"[a-z{letters}][a-z0-9{letters}]{{0,{_LONGEST - 1}}}"
    leftward = rf"[{_inside(_valid((*_HEBREW, *_ARABIC)))}]{{1,{_LONGEST}}}"
    label = rf"({ascii_label('[A-Za-z]')}|{label}|{leftward})"
    return alt([hostname(), parse_fullmatch(rf"{label}(\.{label}){{0,2}}")])


def whole_idn_hostname() -> Node:
    """The same with marks, digits, and what stands only beside certain letters.

    Beside a label from right to left, the others keep to the rules of such names, too (RFC 5893).
    """
    plain = parse_fullmatch(ascii_label())
    lettered = parse_fullmatch(ascii_label("[A-Za-z]"))
    digits = bounded(_table(f"[0-9]*[{_EXTENDED_DIGITS}][0-9{_EXTENDED_DIGITS}]*"), 1, _LONGEST)
    ltr, japanese = _left_to_right(), _japanese()
    numbered = Seq((CharClass(DIGIT), ltr))
    rtl = [_right_to_left(digits) for digits in (f"0-9{_EXTENDED_DIGITS}", _ARABIC_DIGITS)]
    return alt(
        [
            hostname(),
            _names([plain, digits, ltr, numbered, japanese]),
            _names([lettered, ltr, *rtl]),
        ]
    )


def ordinary_letters() -> str:
    """The letters of the scripts with the most readers, as the inside of a class."""
    scripts = (*_LEFT_TO_RIGHT[:3], (0x904, 0x939), (0xE01, 0xE30), *_KANA)
    letters = (char for char in _valid(scripts) if unicodedata.category(char) in ("Ll", "Lo"))
    return _inside(letters) + _HAN_AND_HANGUL


def _names(labels: list[Node]) -> Node:
    separator = CharClass(characters(".\u3002\uff0e\uff61"))
    return Seq((alt(labels), Repeat(Seq((separator, alt(labels))), 0, 2)))


def _label(required: str, *forbidden: str) -> Node:
    """A label that has the shape required, and no hyphen but between two other characters."""
    rules = [_table(pattern) for pattern in (r"(.*-)?(-.*)?", *forbidden)]
    return bounded(combine([_table(required)], rules), 1, _LONGEST)


def _left_to_right() -> Node:
    chars = _valid(_LEFT_TO_RIGHT)
    marks = [char for char in chars if unicodedata.category(char) in ("Mn", "Mc")]
    letters = _inside([*(set(chars) - set(marks)), *_valid(_KANA)]) + _HAN_AND_HANGUL
    viramas = _inside(char for char in marks if unicodedata.combining(char) == 9)
    greek = _inside(_valid(_GREEK))
    inner = rf"a-z0-9{letters}{_inside(marks)}{_EXTENDED_DIGITS}\-\u00b7\u0375\u200c\u200d"
    return _label(
        rf"[a-z{letters}][{inner}]*",
        rf".*-[{_inside(marks)}].*",
        r"(.*[^l])?\u00b7.*|.*\u00b7([^l].*)?",  # the middle dot of Catalan
        rf".*\u0375([^{greek}].*)?",  # the lower numeral sign of Greek
        rf"(.*[^{viramas}])?[\u200c\u200d].*|.*[\u200c\u200d]",  # joiners
        *_not_composed(chars, marks),
    )


def _not_composed(chars: list[str], marks: list[str]) -> Iterator[str]:
    """What a text in normal form C may not hold, and some of what it may."""
    pairs = [
        (decomposed[0], decomposed[1])
        for low, high in _LEFT_TO_RIGHT
        for char in map(chr, range(low, high + 1))
        if len(decomposed := unicodedata.normalize("NFD", char)) == 2
        and unicodedata.normalize("NFC", decomposed) == char
        and decomposed[1] in marks
    ]
    firsts, seconds = _inside(a for a, _ in pairs), _inside(b for _, b in pairs)
    yield rf".*[{firsts}][{seconds}].*"
    # marks stand in the order of their classes: vowels of Thai come before its tones
    ends = (0, 102, 106, 255)
    for low, high in pairwise(ends):
        later = _inside(char for char in marks if low < unicodedata.combining(char) <= high)
        earlier = _inside(char for char in marks if 0 < unicodedata.combining(char) <= high)
        yield rf".*[{later}][{earlier}].*"


def _japanese() -> Node:
    """With a middle dot somewhere, which asks for a letter of the script somewhere."""
    letters = rf"{_inside(_valid(_KANA))}{_HAN}"
    return _label(rf"[a-z0-9{letters}\u30fb-]+", rf"[^{letters}]*")


def _right_to_left(digits: str) -> Node:
    hebrew, arabic = _inside(_valid(_HEBREW)), _inside(_valid(_ARABIC))
    dual, joining = _joining()
    return _label(
        rf"[{hebrew}{arabic}][{hebrew}{arabic}{digits}\u05f3\u05f4\u200c-]*",
        rf"(.*[^{hebrew}\u05f3\u05f4])?[\u05f3\u05f4].*",  # the marks of Hebrew abbreviations
        rf"(.*[^{dual}])?\u200c.*|.*\u200c([^{joining}].*)?",
    )


def _joining() -> tuple[str, str]:
    """Letters that join to the next one, and those that join to the one before.

    Unicode's table of joining types is not in Python; the letters' forms for compatibility say it.
    """
    forms: dict[str, set[str]] = {}
    for code in range(0xFB50, 0xFEFD):
        tag, *letters = unicodedata.decomposition(chr(code)).split() or [""]
        if len(letters) == 1:
            forms.setdefault(tag, set()).add(chr(int(letters[0], 16)))
    valid = set(_valid(_ARABIC))
    return _inside(forms["<initial>"] & valid), _inside(forms["<final>"] & valid)


def _table(pattern: str) -> Table:
    return Table.of_node(parse_fullmatch(pattern))

"""Escapes and character classes of the regex dialect (`expressions.py` says which)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import RegexError
from ..ir.nodes import MAX_CODE_POINT, SURROGATES
from .properties import property_ranges
from .scripts import SCRIPT_RANGES
from .sets import (
    DIGIT,
    ECMA_SPACE,
    NOT_ECMA_NEWLINE,
    NOT_NEWLINE,
    SPACE,
    WORD,
    Ranges,
    complement,
    union,
)


@dataclass(frozen=True, slots=True)
class Classes:
    """What `\\d`, `\\w`, `\\s` and `.` stand for."""

    digit: Ranges
    word: Ranges
    space: Ranges
    any: Ranges

    def of(self, letter: str) -> Ranges:
        """The class of an escape such as `d`, or of its negation `D`."""
        ranges = {"d": self.digit, "w": self.word, "s": self.space}[letter.lower()]
        return complement(ranges) if letter.isupper() else ranges


PYTHON = Classes(DIGIT, WORD, SPACE, NOT_NEWLINE)
"""As in Python's `re.ASCII`."""

ECMA = Classes(DIGIT, WORD, ECMA_SPACE, NOT_ECMA_NEWLINE)
"""As in ECMAScript."""

_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_HEX = re.compile(
    r"x(?P<two>[0-9A-Fa-f]{2})|u(?P<four>[0-9A-Fa-f]{4})|u\{(?P<any>[0-9A-Fa-f]{1,8})\}"
    r"|U(?P<eight>[0-9A-Fa-f]{8})"
)
_LOW_SURROGATE = re.compile(r"\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})")
_PROPERTY = re.compile(r"[pP]\{(?P<name>[^{}]*)\}")

UNSUPPORTED_ESCAPES = {
    **dict.fromkeys("123456789", "a backreference has no grammar; write the repeated part out"),
    "k": "a named backreference has no grammar; write the repeated part out",
    "G": "there is no previous match to continue at; leave \\G out",
    "N": "names of characters are not known here; write the character or \\u{...}",
    "Q": "quoting with \\Q...\\E is not known here; escape each character",
    "a": "Python and ECMAScript read \\a differently; write \\x07 or a",
}


def read_escape(pattern: str, at: int, classes: Classes) -> tuple[int | Ranges, int]:
    """The code point or set that the escape at `at` means, and where the pattern goes on."""
    letter = pattern[at + 1 : at + 2]
    if not letter:
        raise RegexError("a lone backslash at the end; write \\\\ for a backslash", pattern, at)
    if letter in "dDwWsS":
        return classes.of(letter), at + 2
    if letter in _CONTROLS:
        return ord(_CONTROLS[letter]), at + 2
    if letter in "xuU":
        return _read_hex(pattern, at)
    if letter in "pP":
        return _read_property(pattern, at)
    if letter == "0":
        if pattern[at + 2 : at + 3].isdecimal():
            raise RegexError("an octal escape; write the character as \\xHH", pattern, at)
        return 0, at + 2
    if letter == "c":
        control = pattern[at + 2 : at + 3]
        if not (control.isascii() and control.isalpha()):
            raise RegexError("\\c must be followed by a letter A-Z", pattern, at)
        return ord(control) % 32, at + 3
    if letter in UNSUPPORTED_ESCAPES:
        raise RegexError(UNSUPPORTED_ESCAPES[letter], pattern, at)
    if letter.isascii() and letter.isalnum():
        raise RegexError(f"unknown escape \\{letter}; drop the backslash", pattern, at)
    return ord(letter), at + 2


def _read_hex(pattern: str, at: int) -> tuple[int, int]:
    found = _HEX.match(pattern, at + 1)
    if found is None:
        raise RegexError(
            "expected hexadecimal digits: \\xHH, \\uHHHH, \\u{H...} or \\UHHHHHHHH", pattern, at
        )
    digits, end = found.group(found.lastgroup or 0), found.end()
    code = int(digits, 16)
    low = _LOW_SURROGATE.match(pattern, end)
    if found.lastgroup == "four" and 0xD800 <= code < 0xDC00 and low:
        return 0x10000 + ((code - 0xD800) << 10) + (int(low[1], 16) - 0xDC00), low.end()
    if SURROGATES[0] <= code <= SURROGATES[1]:
        raise RegexError(
            "half of a surrogate pair, which no text holds; write the whole character", pattern, at
        )
    if code > MAX_CODE_POINT:
        raise RegexError(f"{code:#x} is beyond Unicode (0x10ffff)", pattern, at)
    return code, end


def _read_property(pattern: str, at: int) -> tuple[Ranges, int]:
    found = _PROPERTY.match(pattern, at + 1)
    if found is None:
        raise RegexError("expected \\p{...} with a property, as in \\p{Lu}", pattern, at)
    ranges = property_ranges(found["name"])
    if ranges is None:
        raise RegexError(
            f"unknown property {found['name']!r}; expected a general category such as L, Lu or "
            f"Letter, or Script= and one of {', '.join(SCRIPT_RANGES)}",
            pattern,
            at,
        )
    return (complement(ranges) if pattern[at + 1] == "P" else ranges), found.end()


def read_class(pattern: str, at: int, classes: Classes) -> tuple[Ranges, bool, int]:
    """The set written in the class that opens at `at`, whether it is negated, and where it ends."""
    position = at + 1
    negated = pattern[position : position + 1] == "^"
    position += negated
    if pattern[position : position + 1] == "]" and classes is not ECMA:
        raise RegexError(
            "']' first in a class ends it in ECMAScript but not in Python; write \\] for a "
            "bracket, [\\s\\S] for any character",
            pattern,
            position,
        )
    parts: list[tuple[int, int]] = []
    while position < len(pattern):
        if pattern[position] == "]":
            return union(parts), negated, position + 1
        first, after = _read_member(pattern, position, classes)
        if pattern[after : after + 1] == "-" and pattern[after + 1 : after + 2] not in ("]", ""):
            last, end = _read_member(pattern, after + 1, classes)
            if isinstance(first, int) and isinstance(last, int):
                if last < first:
                    raise RegexError(
                        f"bad range {pattern[position:end]}: it runs backwards; swap the ends",
                        pattern,
                        position,
                    )
                parts.append((first, last))
            elif classes is ECMA:
                # a dash beside a set stands for itself (ECMA-262, annex B)
                for part in (first, ord("-"), last):
                    parts.extend([(part, part)] if isinstance(part, int) else part)
            else:
                raise RegexError(
                    f"bad range {pattern[position:end]}: both ends must be single characters; "
                    "write \\- for a dash",
                    pattern,
                    position,
                )
            position = end
        else:
            parts.extend([(first, first)] if isinstance(first, int) else first)
            position = after
    raise RegexError("unclosed '['; add the ']', or write \\[ for a bracket", pattern, at)


def _read_member(pattern: str, at: int, classes: Classes) -> tuple[int | Ranges, int]:
    if pattern.startswith("\\b", at):
        return 0x08, at + 2
    if pattern[at] == "\\":
        return read_escape(pattern, at, classes)
    return read_literal(pattern, at), at + 1


def read_literal(pattern: str, at: int) -> int:
    """The code point at `at`."""
    code = ord(pattern[at])
    if SURROGATES[0] <= code <= SURROGATES[1]:
        raise RegexError(
            "half of a surrogate pair, which no text holds; write the whole character", pattern, at
        )
    return code

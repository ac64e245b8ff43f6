"""The flags of a regex, and what `(?...)` and `(?...:` change about them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ..errors import RegexError

SUPPORTED_FLAGS = {
    "i": "ignore_case",
    "s": "dot_all",
    "m": "multi_line",
    "x": "verbose",
    "u": "unicode",
}
"""Letter -> field of `Flags`; `a` turns `unicode` off."""

UNSUPPORTED_FLAGS = {
    "L": "the locale flag is not supported; drop it",
}

_GROUP = re.compile(r"\(\?(?P<on>[a-zA-Z]*)(?:-(?P<off>[a-zA-Z]*))?(?P<end>[:)])")


@dataclass(frozen=True, slots=True)
class Flags:
    """Which flags are on."""

    ignore_case: bool = False
    dot_all: bool = False
    multi_line: bool = False
    verbose: bool = False
    unicode: bool = False


@dataclass(frozen=True, slots=True)
class FlagGroup:
    """A `(?i-s:` or `(?i)` of `length` characters; `is_open` if a group follows."""

    flags: Flags
    length: int
    is_open: bool


def read_flags(pattern: str, at: int, flags: Flags, *, is_first: bool) -> FlagGroup | None:
    """The group of flags at `at`, where `flags` are on; None if there is no such thing there.

    `is_first`: nothing stands before it, so that it may speak for the whole pattern. Raises
    RegexError.
    """
    found = _GROUP.match(pattern, at)
    if found is None:
        return None
    for letters, value in ((found["on"], True), (found["off"] or "", False)):
        for letter in letters:
            flags = _changed(flags, letter, value, pattern, at)
    is_open = found["end"] == ":"
    if not is_open and not is_first:
        raise RegexError(
            "flags for the whole pattern must come first; write "
            f"(?{found['on']}:...) for a part of it",
            pattern,
            at,
        )
    if not is_open and found["off"] is not None:
        raise RegexError(
            "nothing to turn off at the start; write (?-i:...) for a part", pattern, at
        )
    return FlagGroup(flags, len(found[0]), is_open)


def _changed(flags: Flags, letter: str, value: bool, pattern: str, at: int) -> Flags:
    if letter in UNSUPPORTED_FLAGS:
        raise RegexError(f"flag {letter}: {UNSUPPORTED_FLAGS[letter]}", pattern, at)
    if letter in SUPPORTED_FLAGS:
        return replace(flags, **{SUPPORTED_FLAGS[letter]: value})
    if letter == "a" and value:
        return replace(flags, unicode=False)
    raise RegexError(f"unknown flag {letter!r}; expected i, s, m, x, u or a", pattern, at)

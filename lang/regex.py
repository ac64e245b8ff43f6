r"""Regular expressions to IR: one dialect, the part that Python and ECMAScript share.

    text          literals; escapes \n \t \r \f \v \0 \cX \xHH \uHHHH \u{H...} \UHHHHHHHH
    classes       [a-z] [^a-z] \d \w \s \D \W \S \p{Lu} \P{L} and . (all but a newline)
    groups        (...) (?:...) (?P<name>...) (?<name>...) (?#comment), a|b
    repetition    * + ? {m} {m,} {m,n} {,n}, each lazy with ? (the same set of texts)
    flags         (?i) (?s) (?a) at the start; (?i:...) (?-i:...) anywhere
    anchors       ^ $ \A \Z \z where nothing can stand outside them

`\d \w \s` are ASCII, as in Python's `re.ASCII` and, but for some spaces, in ECMAScript: a model
asked for digits should not write Thai ones. `(?i)` pairs every letter with its other case, one to
one.

What has no exact grammar (lookaround, backreferences, word boundaries, possessive and atomic
matching) and what the two languages read differently raises RegexError at its column; nothing is
approximated. The parser keeps its own stack, and counts stay numbers: `a{0,1000000}` is one node.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from .errors import RegexError
from .ir import EMPTY, CharClass, Literal, Node
from .regex_anchors import (
    Expression,
    Part,
    alternatives,
    anywhere,
    repeated,
    sequence,
    whole_text,
)
from .regex_escapes import read_class, read_escape, read_literal
from .regex_sets import ANY, NOT_NEWLINE, Ranges, complement, fold_case

MAX_REPETITIONS = 1_000_000
MAX_OPEN_GROUPS = 60
"""Each group may add three nodes of depth, and the IR holds 200."""

UNSUPPORTED_GROUPS = {
    "(?=": "a lookahead has no grammar; write out what may follow",
    "(?!": "a negative lookahead has no grammar; write out what may follow",
    "(?<=": "a lookbehind has no grammar; write out what may stand before",
    "(?<!": "a negative lookbehind has no grammar; write out what may stand before",
    "(?>": "an atomic group depends on the order of matching; write (?:...)",
    "(?P=": "a named backreference has no grammar; write the repeated part out",
    "(?(": "a conditional group has no grammar; write the cases as alternatives",
}
UNSUPPORTED_FLAGS = {
    "m": "anchors at line ends have no exact grammar; write \\n where lines end",
    "x": "the verbose flag is not supported; write the pattern without spaces and comments",
    "u": "\\d, \\w and \\s are ASCII here; write \\p{Nd}, \\p{L} and the like",
    "L": "the locale flag is not supported; drop it",
}

_COUNT = re.compile(r"\{(?P<low>[0-9]*)(?P<comma>,(?P<high>[0-9]*))?\}")
_NAME = re.compile(r"\(\?P?<(?P<name>[^>]*)>")
_FLAGS = re.compile(r"\(\?(?P<on>[a-zA-Z]*)(?:-(?P<off>[a-zA-Z]*))?(?P<end>[:)])")


def parse_fullmatch(pattern: str) -> Node:
    """The texts that `pattern` matches from end to end. Raises RegexError."""
    return whole_text(_Parser(pattern).parse())


def parse_search(pattern: str) -> Node:
    """The texts in which `pattern` matches somewhere, as JSON Schema reads it. Raises RegexError.

    Outside the match stands any text, newlines included, except where `^` and `$` forbid it.
    """
    return anywhere(_Parser(pattern).parse())


@dataclass(slots=True)
class _Flags:
    ignore_case: bool = False
    dot_all: bool = False


@dataclass(slots=True)
class _Group:
    """A group that is still open: its finished alternatives and the items of the current one."""

    column: int
    flags: _Flags
    finished: list[Expression] = field(default_factory=list)
    items: list[Expression] = field(default_factory=list)


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._groups = [_Group(0, _Flags())]
        self._names: set[str] = set()
        self._repeatable = False
        """Whether a quantifier may come next, that is, an atom has just been read."""

    def parse(self) -> Expression:
        while self._at < len(self._pattern):
            self._step(self._pattern[self._at])
        if len(self._groups) > 1:
            raise self._error(
                "unclosed '('; add the ')', or write \\( for a bracket", self._groups[-1].column
            )
        return self._finished(self._groups.pop())

    def _step(self, char: str) -> None:
        match char:
            case "(":
                self._open()
            case ")":
                self._close()
            case "|":
                group = self._groups[-1]
                group.finished.append(sequence(group.items, self._pattern))
                group.items = []
                self._advance(1, repeatable=False)
            case "*" | "+" | "?":
                low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
                self._repeat(low, high, 1)
            case "{" if _COUNT.match(self._pattern, self._at):
                self._count()
            case "^" | "$":
                self._anchor(char == "^", 1)
            case "\\":
                self._escape()
            case "[":
                ranges, negated, end = read_class(self._pattern, self._at)
                self._add_set(ranges, end, negated)
            case ".":
                dot_all = self._groups[-1].flags.dot_all
                self._add_set(ANY if dot_all else NOT_NEWLINE, self._at + 1)
            case _:
                code = read_literal(self._pattern, self._at)
                self._add_set(((code, code),), self._at + 1)

    def _open(self) -> None:
        rest = self._pattern[self._at : self._at + 4]
        for opening, message in UNSUPPORTED_GROUPS.items():
            if rest.startswith(opening):
                raise self._error(message)
        if len(self._groups) > MAX_OPEN_GROUPS:
            raise self._error(f"more than {MAX_OPEN_GROUPS} groups inside each other")
        flags = self._groups[-1].flags
        if rest.startswith("(?#"):
            end = self._pattern.find(")", self._at)
            if end < 0:
                raise self._error("unclosed comment '(?#'; add the ')'")
            self._at = end + 1
            return
        if rest.startswith(("(?<", "(?P<")):
            length = self._group_name()
        elif rest.startswith("(?"):
            found = _FLAGS.match(self._pattern, self._at)
            if found is None:
                raise self._error("unknown group '(?'; expected (?:, (?<name>, (?i: or \\(\\?")
            flags, length = self._changed_flags(found), len(found[0])
            if found["end"] == ")":
                self._groups[-1].flags = flags
                self._at += length
                return
        else:
            length = 1
        self._groups.append(_Group(self._at, flags))
        self._advance(length, repeatable=False)

    def _group_name(self) -> int:
        found = _NAME.match(self._pattern, self._at)
        if found is None or not found["name"].isidentifier():
            raise self._error("expected a group name, as in (?<year>...)")
        if found["name"] in self._names:
            raise self._error(f"a second group named {found['name']!r}; rename one")
        self._names.add(found["name"])
        return len(found[0])

    def _changed_flags(self, found: re.Match[str]) -> _Flags:
        flags = replace(self._groups[-1].flags)
        for letters, value in ((found["on"], True), (found["off"] or "", False)):
            for letter in letters:
                if letter in UNSUPPORTED_FLAGS:
                    raise self._error(f"flag {letter}: {UNSUPPORTED_FLAGS[letter]}")
                if letter == "i":
                    flags.ignore_case = value
                elif letter == "s":
                    flags.dot_all = value
                elif letter != "a" or not value:
                    raise self._error(f"unknown flag {letter!r}; expected i, s or a")
        if found["end"] == ")":
            opening = self._groups[0]
            if len(self._groups) > 1 or opening.items or opening.finished:
                raise self._error(
                    "flags for the whole pattern must come first; write "
                    f"(?{found['on']}:...) for a part of it"
                )
            if found["off"] is not None:
                raise self._error("nothing to turn off at the start; write (?-i:...) for a part")
        return flags

    def _close(self) -> None:
        if len(self._groups) == 1:
            raise self._error("a ')' that closes nothing; write \\) for a bracket")
        expression = self._finished(self._groups.pop())
        self._groups[-1].items.append(expression)
        self._advance(1, repeatable=True)

    def _finished(self, group: _Group) -> Expression:
        last = sequence(group.items, self._pattern)
        return alternatives([*group.finished, last]) if group.finished else last

    def _count(self) -> None:
        found = _COUNT.match(self._pattern, self._at)
        assert found is not None
        low, high, comma = found["low"], found["high"], found["comma"]
        if not low and comma is None:  # {} is text in either language
            self._add_set(((0x7B, 0x7B),), self._at + 1)
            return
        if (
            max(len(low), len(high or "")) > 9
            or max(int(low or 0), int(high or 0)) > MAX_REPETITIONS
        ):
            raise self._error(f"more than {MAX_REPETITIONS:,} repetitions; use a smaller bound")
        least = int(low or 0)
        most = least if comma is None else int(high) if high else None
        if most is not None and most < least:
            raise self._error(f"the bounds {found[0]} run backwards; swap them")
        self._repeat(least, most, len(found[0]))

    def _repeat(self, low: int, high: int | None, length: int) -> None:
        items = self._groups[-1].items
        if not self._repeatable:
            previous = self._pattern[self._at - 1 : self._at]
            if items and previous and previous in "*+?}":
                raise self._error("a second repetition of the same thing; group it as (?:...)")
            raise self._error("nothing to repeat; write a backslash before it for the character")
        after = self._pattern[self._at + length : self._at + length + 1]
        if after == "+":
            raise self._error(
                "a possessive repetition depends on the order of matching; drop the +",
                self._at + length,
            )
        items[-1] = repeated(items[-1], low, high, self._pattern)
        self._advance(length + (after == "?"), repeatable=False)

    def _anchor(self, at_start: bool, length: int) -> None:
        column = self._at
        part = Part(EMPTY, start=column) if at_start else Part(EMPTY, end=column)
        self._groups[-1].items.append((part,))
        self._advance(length, repeatable=False)

    def _escape(self) -> None:
        letter = self._pattern[self._at + 1 : self._at + 2]
        if letter and letter in "AZz":
            self._anchor(letter == "A", 2)
            return
        meaning, end = read_escape(self._pattern, self._at)
        self._add_set(((meaning, meaning),) if isinstance(meaning, int) else meaning, end)

    def _add_set(self, ranges: Ranges, end: int, negated: bool = False) -> None:
        if self._groups[-1].flags.ignore_case:
            ranges = fold_case(ranges)
        if negated:
            ranges = complement(ranges)
        single = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
        node = Literal(chr(ranges[0][0])) if single else CharClass(ranges)
        self._groups[-1].items.append((Part(node),))
        self._advance(end - self._at, repeatable=True)

    def _advance(self, length: int, *, repeatable: bool) -> None:
        self._at += length
        self._repeatable = repeatable

    def _error(self, message: str, column: int | None = None) -> RegexError:
        return RegexError(message, self._pattern, self._at if column is None else column)

"""The parser of the regex dialect (`expressions.py` says which): text to a tree of IR nodes.

It keeps its own stack, so that depth is a number to check, and counts stay numbers:
`a{0,1000000}` is one node. Anchors and lookarounds have no node; in the tree they are references
to assertions (`looks.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import RegexError
from ..ir.nodes import EMPTY, CharClass, Literal, Node, Ref, Repeat
from .anchors import END, START, alt, seq
from .escapes import Classes, read_class, read_escape, read_literal
from .flags import Flags, read_flags
from .looks import Assertion
from .properties import unicode_digits, unicode_space, unicode_word
from .sets import ANY, Ranges, characters, complement, fold_case

MAX_REPETITIONS = 1_000_000
MAX_OPEN_GROUPS = 60
"""Each group may add three nodes of depth, and the IR holds 200."""

UNSUPPORTED_GROUPS = {
    "(?>": "an atomic group depends on the order of matching; write (?:...)",
    "(?P=": "a named backreference has no grammar; write the repeated part out",
    "(?(": "a conditional group has no grammar; write the cases as alternatives",
}

_LOOKS = {"(?=": (False, False), "(?!": (False, True), "(?<=": (True, False), "(?<!": (True, True)}
"""Opening -> (looks behind, is negative)."""

_COUNT = re.compile(r"\{(?P<low>[0-9]*)(?P<comma>,(?P<high>[0-9]*))?\}")
_NAME = re.compile(r"\(\?P?<(?P<name>[^>]*)>")
_PLAIN = re.compile(r"[^\\^$.|?*+()\[\]{}\ud800-\udfff]{2,}")
_INLINE_SPACE = " \t\n\r\f\v"


class Parsed(NamedTuple):
    """The tree of a pattern; its references name `assertions`, inner ones first."""

    tree: Node
    assertions: dict[str, Assertion]


def parse(pattern: str, classes: Classes) -> Parsed:
    """The tree of `pattern`. Raises RegexError."""
    return _Parser(pattern, classes).parse()


@dataclass(slots=True)
class _Group:
    """A group that is still open: its finished alternatives and the items of the current one."""

    column: int
    flags: Flags
    look: tuple[bool, bool] | None = None
    finished: list[Node] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)


class _Parser:
    def __init__(self, pattern: str, classes: Classes) -> None:
        self._pattern = pattern
        self._classes = classes
        self._at = 0
        self._groups = [_Group(0, Flags())]
        self._names: set[str] = set()
        self._assertions: dict[str, Assertion] = {}
        self._repeatable = False
        """Whether a quantifier may come next, that is, an atom has just been read."""

    def parse(self) -> Parsed:
        while self._at < len(self._pattern):
            self._step(self._pattern[self._at])
        if len(self._groups) > 1:
            raise self._error(
                "unclosed '('; add the ')', or write \\( for a bracket", self._groups[-1].column
            )
        return Parsed(self._finished(self._groups.pop()), self._assertions)

    @property
    def _flags(self) -> Flags:
        return self._groups[-1].flags

    def _step(self, char: str) -> None:
        match char:
            case "(":
                self._open()
            case ")":
                self._close()
            case "|":
                group = self._groups[-1]
                group.finished.append(seq(group.items))
                group.items = []
                self._advance(1, repeatable=False)
            case "*" | "+" | "?":
                low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
                self._repeat(low, high, 1)
            case "{" if _COUNT.match(self._pattern, self._at):
                self._count()
            case "^" | "$":
                self._anchor(char)
            case "\\":
                self._escape()
            case "[":
                ranges, negated, end = read_class(self._pattern, self._at, self._active_classes())
                self._add_set(ranges, end, negated)
            case ".":
                any_char = ANY if self._flags.dot_all else self._classes.any
                self._add_set(any_char, self._at + 1)
            case _ if self._flags.verbose and (char in _INLINE_SPACE or char == "#"):
                self._skip(char)
            case _ if not self._flags.ignore_case and (run := self._plain_run()):
                # all but the last of a run, which a quantifier may follow
                self._groups[-1].items.append(Literal(run))
                self._advance(len(run), repeatable=False)
            case _:
                code = read_literal(self._pattern, self._at)
                self._add_set(((code, code),), self._at + 1)

    def _plain_run(self) -> str:
        found = _PLAIN.match(self._pattern, self._at)
        return "" if found is None or self._flags.verbose else found[0][:-1]

    def _active_classes(self) -> Classes:
        if not self._flags.unicode:
            return self._classes
        return Classes(unicode_digits(), unicode_word(), unicode_space(), self._classes.any)

    def _skip(self, char: str) -> None:
        """Passes over space or a comment of a verbose pattern."""
        end = self._pattern.find("\n", self._at) if char == "#" else self._at
        self._at = len(self._pattern) if end < 0 else end + 1

    def _open(self) -> None:
        rest = self._pattern[self._at : self._at + 4]
        for opening, message in UNSUPPORTED_GROUPS.items():
            if rest.startswith(opening):
                raise self._error(message)
        if len(self._groups) > MAX_OPEN_GROUPS:
            raise self._error(f"more than {MAX_OPEN_GROUPS} groups inside each other")
        if rest.startswith("(?#"):
            end = self._pattern.find(")", self._at)
            if end < 0:
                raise self._error("unclosed comment '(?#'; add the ')'")
            self._at = end + 1
            return
        group = _Group(self._at, self._flags)
        length = 1
        looks = [opening for opening in _LOOKS if rest.startswith(opening)]
        if looks:
            group.look, length = _LOOKS[looks[0]], len(looks[0])
        elif rest.startswith(("(?<", "(?P<")):
            length = self._group_name()
        elif rest.startswith("(?"):
            outermost = self._groups[0]
            is_first = len(self._groups) == 1 and not (outermost.items or outermost.finished)
            found = read_flags(self._pattern, self._at, self._flags, is_first=is_first)
            if found is None:
                raise self._error("unknown group '(?'; expected (?:, (?<name>, (?i: or \\(\\?")
            if not found.is_open:
                outermost.flags = found.flags
                self._at += found.length
                return
            group.flags, length = found.flags, found.length
        self._groups.append(group)
        self._advance(length, repeatable=False)

    def _group_name(self) -> int:
        found = _NAME.match(self._pattern, self._at)
        if found is None or not found["name"].isidentifier():
            raise self._error("expected a group name, as in (?<year>...)")
        if found["name"] in self._names:
            raise self._error(f"a second group named {found['name']!r}; rename one")
        self._names.add(found["name"])
        return len(found[0])

    def _close(self) -> None:
        if len(self._groups) == 1:
            raise self._error("a ')' that closes nothing; write \\) for a bracket")
        group = self._groups.pop()
        node = self._finished(group)
        if group.look is not None:
            behind, negative = group.look
            node = self._assertion(f"look-{group.column}", node, behind, negative, group.column)
        self._groups[-1].items.append(node)
        self._advance(1, repeatable=group.look is None)

    def _finished(self, group: _Group) -> Node:
        last = seq(group.items)
        return alt([*group.finished, last]) if group.finished else last

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
        if high == 0:
            items[-1] = EMPTY
        elif (low, high) != (1, 1) and items[-1] != EMPTY:
            items[-1] = Repeat(items[-1], low, high)
        self._advance(length + (after == "?"), repeatable=False)

    def _anchor(self, char: str) -> None:
        at_start = char == "^"
        name = (START if at_start else END).name
        outside = ANY
        if self._flags.multi_line:
            name, outside = f"line-{name}", complement(characters("\n"))
        node = self._assertion(name, CharClass(outside), at_start, True, self._at)
        self._groups[-1].items.append(node)
        self._advance(1, repeatable=False)

    def _escape(self) -> None:
        letter = self._pattern[self._at + 1 : self._at + 2]
        if letter and letter in "AZz":
            at_start = letter == "A"
            name = (START if at_start else END).name
            node = self._assertion(name, CharClass(ANY), at_start, True, self._at)
            self._groups[-1].items.append(node)
            self._advance(2, repeatable=False)
            return
        if letter and letter in "bB":
            self._groups[-1].items.append(self._boundary(letter == "b"))
            self._advance(2, repeatable=False)
            return
        meaning, end = read_escape(self._pattern, self._at, self._active_classes())
        self._add_set(((meaning, meaning),) if isinstance(meaning, int) else meaning, end)

    def _boundary(self, is_one: bool) -> Node:
        """A place with a word character on exactly one side, or on both or neither."""
        word = CharClass(self._active_classes().word)
        kind = "unicode-word" if self._flags.unicode else "word"
        after, not_after, before, not_before = (
            self._assertion(f"{name}-{kind}", word, behind, negative, self._at)
            for name, behind, negative in (
                ("after", True, False),
                ("not-after", True, True),
                ("before", False, False),
                ("not-before", False, True),
            )
        )
        if is_one:
            return alt([seq([after, not_before]), seq([not_after, before])])
        return alt([seq([after, before]), seq([not_after, not_before])])

    def _assertion(self, name: str, body: Node, behind: bool, negative: bool, column: int) -> Node:
        self._assertions.setdefault(name, Assertion(body, behind, negative, column))
        return Ref(name)

    def _add_set(self, ranges: Ranges, end: int, negated: bool = False) -> None:
        if self._flags.ignore_case:
            ranges = fold_case(ranges)
        if negated:
            ranges = complement(ranges)
        single = len(ranges) == 1 and ranges[0][0] == ranges[0][1]
        node = Literal(chr(ranges[0][0])) if single else CharClass(ranges)
        self._groups[-1].items.append(node)
        self._advance(end - self._at, repeatable=True)

    def _advance(self, length: int, *, repeatable: bool) -> None:
        self._at += length
        self._repeatable = repeatable

    def _error(self, message: str, column: int | None = None) -> RegexError:
        return RegexError(message, self._pattern, self._at if column is None else column)

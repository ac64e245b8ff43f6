"""Sets of strings as schemas describe them: lengths, patterns, formats, and what is excluded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, reduce
from operator import and_
from typing import Literal, NamedTuple

from ..errors import RegexError, SchemaError
from ..ir.measured import Measured
from ..ir.nodes import NEVER, SURROGATES, Alt, CharClass, Node, Repeat, Terminal
from ..regex.expressions import escape, parse_search
from ..regex.sets import ANY
from ..regular.bounded import bounded
from ..regular.dfa_texts import of_texts
from ..regular.nfa import Nfa, TooLarge
from ..regular.table import Table, combine, have_common_text
from ..regular.text_count import text_count
from .escapes import FIRST_ESCAPABLE, quote
from .formats import accepted_format, longest_of_format, outer_format, written_format
from .lengths import cut, lengths
from .span import ANY_LENGTH, Span
from .strings import CHAR, CHAR_OR_ESCAPE, encode, quoted, terminals

_CACHED_PARTS = 512
_CACHED_NODES = 1024
_SHOWN = 300
"""Characters of what an error names."""

_MAX_COUNTED = 10_000
"""Strings that are counted."""

_MAX_COUNTED_LENGTH = 64
"""Characters of strings that are counted."""

_ONE_SPELLING = frozenset(map(chr, range(0x20, FIRST_ESCAPABLE)))
_ANY_TEXT = Repeat(CharClass(ANY), 0, None)


@dataclass(frozen=True, slots=True)
class StringSet:
    """A set of decoded strings: those that satisfy every field.

    Attributes:
        length: how many code points.
        patterns, not_patterns: ECMA regexes that are found, and not found, somewhere in the text.
        formats, not_formats: names out of `json_formats.STANDARD_FORMATS`.
        excluded: texts that are not in the set.
        path: where errors point.
    """

    length: Span = ANY_LENGTH
    patterns: tuple[str, ...] = ()
    not_patterns: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    not_formats: tuple[str, ...] = ()
    excluded: frozenset[str] = frozenset()
    path: str = field(default="$", compare=False)

    def __and__(self, other: StringSet) -> StringSet:
        """What is in both; errors point to this one's path."""
        return StringSet(
            self.length & other.length,
            _joined(self.patterns, other.patterns),
            _joined(self.not_patterns, other.not_patterns),
            _joined(self.formats, other.formats),
            _joined(self.not_formats, other.not_formats),
            self.excluded | other.excluded,
            self.path,
        )

    def negated(self) -> list[StringSet]:
        """Sets that hold all other strings between them; they may overlap.

        A text of which a format's grammar cannot tell whether it has the format (`formats.py`)
        is neither in the set nor in one of these.
        """
        others = [
            *(StringSet(not_patterns=(pattern,)) for pattern in self.patterns),
            *(StringSet(patterns=(pattern,)) for pattern in self.not_patterns),
            *(StringSet(not_formats=(name,)) for name in self.formats),
            *(StringSet(formats=(name,)) for name in self.not_formats),
        ]
        if self.length.low:
            others.append(StringSet(Span(0, self.length.low - 1)))
        if self.length.high is not None:
            others.append(StringSet(Span(self.length.high + 1)))
        if excluded := sorted(filter(_is_text, self.excluded)):
            texts = "|".join(map(escape, excluded))
            others.append(StringSet(patterns=(f"^(?:{texts})$",)))
        return [replace(other, path=self.path) for other in others]

    def contains(self, text: str) -> bool:
        """Whether `text` is in the set. Raises SchemaError for a pattern without a grammar."""
        with self._reporting():
            return self._allows(text)

    def is_empty(self) -> bool:
        """Whether no string is in the set. Raises SchemaError if that is too large to tell."""
        if self.length.is_empty:
            return True
        if self.is_plain:
            return self.length.high == 0 and "" in self.excluded
        with self._reporting():
            if self._span == ANY_LENGTH and (len(self._required()) > 1 or self._forbidden):
                return not have_common_text(*self._tables())
            return _content(replace(self, path=""), rare_formats=True) == NEVER

    def most(self) -> int | None:
        """How many strings are in the set; None where they are many, or have no pattern.

        Raises SchemaError for what has no grammar or too large a one.
        """
        if not self.patterns or self.formats:
            return None
        with self._reporting():
            content = _content(replace(self, path=""), rare_formats=True)
            bounds = lengths(content)
            if bounds is None:
                return 0
            if bounds.high is None or bounds.high > _MAX_COUNTED_LENGTH:
                return None
            try:
                return text_count(Table.of_node(content), _MAX_COUNTED)
            except TooLarge:
                return None

    def node(self, *, escapes: bool = False, rare_formats: bool = False) -> Node:
        """The JSON strings of the set, quotes included: a node without references.

        `escapes`: what is not printable ASCII may also be written as \\uXXXX. `rare_formats`: what
        few libraries read of a format is there, too (`formats.py`), if the set is just that format;
        where it has nothing else, that is there in any case. Raises SchemaError, with path and
        keyword, for what has no grammar or too large a one.
        """
        with self._reporting():
            return _node(replace(self, path=""), escapes, rare_formats)

    @property
    def is_plain(self) -> bool:
        """Whether only lengths and excluded texts matter."""
        return not (self.patterns or self.not_patterns or self.formats or self.not_formats)

    @property
    def _span(self) -> Span:
        """The lengths that the formats and patterns leave as well."""
        spans = [Span(0, longest_of_format(name)) for name in self.formats]
        for pattern in self.patterns:
            node = _parsed(Part("pattern", pattern))
            if isinstance(node, Measured):
                spans.append(Span(node.min, node.max))
        return reduce(and_, spans, self.length)

    @property
    def _is_one_format(self) -> bool:
        """Whether the set is all of one format."""
        if len(self.formats) != 1 or self.patterns or self._forbidden or self._excludable():
            return False
        longest = longest_of_format(self.formats[0])
        bounds = lengths(accepted_format(self.formats[0]))
        high = self.length.high
        return (
            bounds is not None
            and self.length.low <= bounds.low
            and (high is None or (longest is not None and longest <= high))
        )

    def _required(self, *, rare_formats: bool = True) -> list[Part]:
        """The languages that a text must be in, with a length in `_span`."""
        return [
            *(Part("pattern at any length", text) for text in self.patterns),
            *(Part("format" if rare_formats else "written format", text) for text in self.formats),
        ]

    @property
    def _forbidden(self) -> list[Part]:
        """The languages that a text must not be in."""
        return [
            *(Part("pattern", text) for text in self.not_patterns),
            *(Part("at most format", text) for text in self.not_formats),
        ]

    def _allows(self, text: str) -> bool:
        return (
            len(text) in self._span
            and text not in self.excluded
            and all(_holds(part, text) for part in self._required())
            and not any(_holds(part, text) for part in self._forbidden)
        )

    def _excludable(self) -> list[str]:
        """The excluded texts that the other fields allow and that can be written at all."""
        open_set = replace(self, excluded=frozenset())
        return sorted(filter(open_set._allows, filter(_is_text, self.excluded)))

    def _tables(self, *, rare_formats: bool = True) -> tuple[list[Table], list[Table]]:
        """All but the lengths: what texts must be in, and what not. Raises TooLarge."""
        forbidden = [_table(part) for part in self._forbidden]
        if texts := self._excludable():
            forbidden.append(Table.of_node(of_texts(texts)))
        return [_table(part) for part in self._required(rare_formats=rare_formats)], forbidden

    def _content(self, *, rare_formats: bool) -> Node:
        """The decoded strings as a node, NEVER if there are none. Raises TooLarge."""
        if self._span.is_empty:
            return NEVER
        required = self._required(rare_formats=rare_formats)
        if len(required) < 2 and not self._forbidden and not self._excludable():
            return cut(_parsed(required[0]) if required else _ANY_TEXT, self._span)
        return bounded(
            combine(*self._tables(rare_formats=rare_formats)), self._span.low, self._span.high
        )

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """What goes wrong inside is reported as a SchemaError at this path."""
        keyword = "pattern" if self.patterns or self.not_patterns else "format"
        try:
            yield
        except RegexError as error:
            raise SchemaError(f"pattern: {error}", self.path, keyword) from error
        except NoNegation as error:
            raise SchemaError(
                f"the strings that do not have the format {error.args[0]!r} have no grammar; "
                "describe what is wanted by a pattern",
                self.path,
                "format",
            ) from error
        except TooLarge as error:
            raise SchemaError(
                f"{self._described()} together need too large an automaton; simplify the pattern, "
                "or put the lengths into it",
                self.path,
                keyword,
            ) from error

    def _described(self) -> str:
        names = [
            *(f"the pattern {pattern!r}" for pattern in (*self.patterns, *self.not_patterns)),
            *(f"the format {name!r}" for name in (*self.formats, *self.not_formats)),
        ]
        if self.length != ANY_LENGTH:
            names.append("the lengths")
        if self.excluded:
            names.append("the excluded texts")
        described = ", ".join(names)
        return described if len(described) <= _SHOWN else f"{described[:_SHOWN]}..."


def check_pattern(pattern: str, path: str) -> None:
    """Raises SchemaError, at this path, for a `pattern` without a grammar."""
    try:
        _parsed(Part("pattern", pattern))
    except RegexError as error:
        raise SchemaError(f"pattern: {error}", path, "pattern") from error


class NoNegation(Exception):
    """Of the format that it names, the other strings have no grammar."""


class Part(NamedTuple):
    """One language that a text must be in, or must not be in."""

    kind: Literal["pattern", "pattern at any length", "format", "written format", "at most format"]
    text: str


def _joined(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _is_text(text: str) -> bool:
    return not any(SURROGATES[0] <= ord(char) <= SURROGATES[1] for char in text)


@lru_cache(_CACHED_NODES)
def _node(strings: StringSet, escapes: bool, rare_formats: bool) -> Node:
    if strings.is_plain and strings.length.high is None:
        texts = strings._excludable()
        if not escapes or all(char in _ONE_SPELLING for text in texts for char in text):
            free = Repeat(CHAR_OR_ESCAPE if escapes else CHAR, strings.length.low, None)
            return Terminal(quoted(free), frozenset(map(quote, texts)))
    rare_formats = not strings.formats or (rare_formats and strings._is_one_format)
    content = _content(strings, rare_formats=rare_formats)
    if content == NEVER and not rare_formats:
        content = _content(strings, rare_formats=True)
    return NEVER if content == NEVER else terminals(encode(content, escapes=escapes))


@lru_cache(_CACHED_NODES)
def _content(strings: StringSet, *, rare_formats: bool) -> Node:
    return strings._content(rare_formats=rare_formats)


@lru_cache(_CACHED_PARTS)
def _parsed(part: Part) -> Node:
    """The decoded texts of a part. Raises RegexError."""
    match part.kind:
        case "pattern":
            return parse_search(part.text)
        case "pattern at any length":
            node = _parsed(Part("pattern", part.text))
            return node.dfa if isinstance(node, Measured) else node
        case "format":
            return accepted_format(part.text)
        case "written format":
            return written_format(part.text)
        case "at most format":
            outer = outer_format(part.text)
            if outer is None:
                raise NoNegation(part.text)
            return outer


@lru_cache(_CACHED_PARTS)
def _table(part: Part) -> Table:
    if part.kind == "pattern at any length":
        whole = Part("pattern", part.text)
        node = _parsed(whole)
        return Table.of_node(node.dfa) if isinstance(node, Measured) else _table(whole)
    return Table.of_node(_parsed(part))


def _holds(part: Part, text: str) -> bool:
    """Whether the text is in the language of a part."""
    return any(len(text) in span and nfa.accepts(text) for span, nfa in _nfas(part))


@lru_cache(_CACHED_PARTS)
def _nfas(part: Part) -> list[tuple[Span, Nfa]]:
    """The automata of a part, one of which accepts its texts, with the lengths that they have."""
    node = _parsed(part)
    options = node.options if isinstance(node, Alt) else (node,)
    measured = [option for option in options if isinstance(option, Measured)]
    others = tuple(option for option in options if not isinstance(option, Measured))
    found = [(Span(option.min, option.max), Nfa.of(option.dfa)) for option in measured]
    return [*found, (ANY_LENGTH, Nfa.of(Alt(others)))] if others else found

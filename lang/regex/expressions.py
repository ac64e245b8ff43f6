r"""Regular expressions to IR: one dialect, the part that Python and ECMAScript share.

    text          literals; escapes \n \t \r \f \v \0 \cX \xHH \uHHHH \u{H...} \UHHHHHHHH
    classes       [a-z] [^a-z] \d \w \s \D \W \S \p{Lu} \P{Letter} \p{Script=Greek} and .
    groups        (...) (?:...) (?P<name>...) (?<name>...) (?#comment), a|b
    repetition    * + ? {m} {m,} {m,n} {,n}, each lazy with ? (the same set of texts)
    flags         (?i) (?s) (?m) (?x) (?u) (?a) at the start; (?i:...) (?-i:...) anywhere
    places        ^ $ \A \Z \z \b \B (?=...) (?!...) (?<=...) (?<!...)

`\d \w \s` are ASCII, as in Python's `re.ASCII`, unless `(?u)` says otherwise: a model asked for
digits should not write Thai ones. `.` is all but a newline, `$` the very end. `(?i)` pairs every
letter with its other case, one to one. The pattern of a schema is read as ECMAScript does where the
two differ: `\s` and `.` know its line ends and spaces, `[^]` is any character. `docs/regex.md` has
the whole table.

What has no automaton (backreferences, possessive and atomic matching) and what the two languages
read differently raises RegexError at its column; nothing is approximated.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import RegexError
from ..ir.nodes import NEVER, Alt, Node
from ..regular.nfa import TooLarge
from ..regular.table import Table
from .anchors import END, START, Expression, alt, anywhere, beside_any_text, tied_parts, whole_text
from .escapes import ECMA, PYTHON
from .looks import Assertion, asked_in, compile_looks
from .near_looks import without_near_looks
from .outer_looks import met, outer_looks, with_length_ahead
from .parser import Parsed, parse

_MAX_APART = 3
"""Alternatives that get an automaton each: that many take about as long as a pattern may."""

_MAX_OPTIONS = 500
"""Alternatives that are looked at one by one."""

_SYNTAX = frozenset("\\^$.*+?()[]{}|/-")


def parse_fullmatch(pattern: str) -> Node:
    """The texts that `pattern` matches from end to end. Raises RegexError."""
    parsed = parse(pattern, PYTHON)
    node = _with_assertions(parsed, pattern, is_search=False)
    if node == NEVER and parsed.assertions:
        column = next(iter(parsed.assertions.values())).column
        raise RegexError("what is asked of this place leaves no text at all", pattern, column)
    return node


def parse_search(pattern: str) -> Node:
    """The texts in which `pattern` matches somewhere, as JSON Schema reads it. Raises RegexError.

    Outside the match stands any text, newlines included, except where `^` and `$` forbid it.
    """
    return _with_assertions(parse(pattern, ECMA), pattern, is_search=True)


def _with_assertions(parsed: Parsed, pattern: str, *, is_search: bool) -> Node:
    """The simplest node that says it: most patterns need no automaton. Raises RegexError."""
    tree, assertions = parsed
    parts = tied_parts(tree)
    if parts is not None:
        return _node_of(parts, is_search=is_search)
    found: list[Node] = []
    plain: list[Node] = []
    looking: list[Node] = []
    options = tree.options if isinstance(tree, Alt) else (tree,)
    for option in options if len(options) <= _MAX_OPTIONS else (tree,):
        if tied_parts(option) is not None:
            plain.append(option)
            continue
        if is_search:
            option = beside_any_text(beside_any_text(option, at=0), at=-1)
        node = with_length_ahead(option, assertions) if is_search else None
        if node is None:
            node = without_near_looks(option, assertions, is_search=is_search)
        if node is None:
            looking.append(option)
        else:
            found.append(node)
    parts = tied_parts(alt(plain))
    if plain and parts is not None:
        found.append(_node_of(parts, is_search=is_search))
    # what one alternative asks of its text is nothing to the others
    apart = looking if len(looking) <= _MAX_APART else [alt(looking)]
    found += (_looking(option, assertions, pattern, is_search=is_search) for option in apart)
    return alt(node for node in found if node != NEVER)


def _node_of(parts: Expression, *, is_search: bool) -> Node:
    return anywhere(parts) if is_search else whole_text(parts)


def _looking(
    tree: Node, assertions: Mapping[str, Assertion], pattern: str, *, is_search: bool
) -> Node:
    """An expression whose assertions take an automaton. Raises RegexError."""
    assertions = asked_in(tree, assertions)
    try:
        looks = outer_looks(tree, assertions, is_search=is_search)
        if looks is None:
            table = compile_looks(tree, assertions, pattern, anywhere=is_search)
            return NEVER if table.is_empty else table.dfa
        left = {name: a for name, a in assertions.items() if name not in looks.names}
        rest = tied_parts(looks.rest)
        if rest is None:
            return met(looks, compile_looks(looks.rest, left, pattern, anywhere=is_search))
        return met(looks, Table.of_node(_node_of(rest, is_search=is_search)))
    except TooLarge as error:
        raise RegexError(
            "together with the rest this needs too large an automaton; write out what may follow",
            pattern,
            next(iter(assertions.values())).column,
        ) from error


def parse_passage(pattern: str) -> Node:
    """The passages that `pattern` matches inside any text. Raises RegexError, for anchors too."""
    parsed = parse(pattern, PYTHON)
    for name, assertion in parsed.assertions.items():
        what = "an anchor ties the expression to the start or end of a text"
        if name not in (START.name, END.name):
            what = "this place looks at the text around the expression"
        raise RegexError(
            f"{what}, and this one is looked for anywhere; drop it", pattern, assertion.column
        )
    return parsed.tree


def escape(text: str) -> str:
    """A pattern of exactly `text`."""
    return "".join(
        f"\\{char}" if char in _SYNTAX else char if char.isprintable() else f"\\u{{{ord(char):x}}}"
        for char in text
    )

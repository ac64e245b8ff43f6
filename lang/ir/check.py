"""Verification of the grammar IR: every grammar passes here once, whatever it was written as.

The printer, the automaton and llama.cpp may then rely on it: names resolve, classes are sorted
ranges without surrogates, sizes and nesting are bounded, the start rule matches some text, and no
rule can come back to itself without consuming a character (llama.cpp refuses that, or loops).
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from ..errors import GrammarError
from .beginnings import left_recursion
from .dfa import Dfa
from .facts import Facts, rule_facts
from .measured import Measured
from .needs import companions, has_circle
from .nodes import (
    MAX_CODE_POINT,
    SURROGATES,
    Alt,
    CharClass,
    ControlToken,
    Element,
    Literal,
    Members,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
    Substring,
    Terminal,
    Unique,
)
from .walk import children

MAX_NODES = 1_000_000
"""Nodes in one grammar; a shared node counts as often as it is used."""

MAX_DEPTH = 200
"""Nodes nested in one rule; hashing and comparing nodes recurses, in C, to this depth."""

_KEPT_UNITS = 1024
"""Terminals known to be well-formed, kept per process: the same few are in most schemas."""

_TOO_MANY = f"more than {MAX_NODES:,} nodes; make it smaller"
_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep; move inner parts into rules of their own"

_NAME = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")


def check(rules: Rules) -> Mapping[str, Facts]:
    """The facts about each rule.

    Raises GrammarError, naming the rule, for anything that the module docstring rules out.
    """
    if rules.root not in rules.rules:
        raise GrammarError(f"grammar: the start rule {rules.root!r} is not defined")
    reader = _Reader(rules.rules)
    nodes = 0
    has_elements = False
    for name, body in rules.rules.items():
        if not _NAME.fullmatch(name):
            raise GrammarError(
                f"grammar: rule name {name!r} is not of the form [a-z][a-z0-9-]*, "
                "which llama.cpp can read"
            )
        try:
            extent = reader.read(body)
        except _Malformed as problem:
            raise GrammarError(f"grammar: rule {name!r}: {problem}") from problem.__cause__
        nodes += extent.nodes
        has_elements |= extent.has_elements
        if nodes > MAX_NODES:
            raise GrammarError(f"grammar: {_TOO_MANY}")
    if has_elements:
        _check_elements(rules)
    facts = rule_facts(rules)
    if not facts[rules.root].productive:
        raise GrammarError(
            f"grammar: the start rule {rules.root!r} matches no text at all, because every way "
            "through it meets an empty class or alternative, or never ends"
        )
    cycle = left_recursion(rules, {name for name, known in facts.items() if known.nullable})
    if cycle:
        raise GrammarError(
            f"grammar: left recursion: {' -> '.join([*cycle, cycle[0]])} without consuming "
            "anything; put the recursion after something that consumes, or use a repetition"
        )
    return facts


class _Malformed(Exception):
    """What is wrong inside a rule."""


class _Extent(NamedTuple):
    """How large a body is."""

    nodes: int
    depth: int
    has_elements: bool


class _Reader:
    """Reads the bodies of one grammar; `names`: its rules, or None inside a terminal."""

    def __init__(self, names: Container[str] | None) -> None:
        self._names = names
        self._checked: set[int] = set()  # by id: leaves that need no second look
        self._units: dict[int, _Extent] = {}  # by id, too

    def read(self, body: Node) -> _Extent:
        """The extent of a well-formed body. Raises _Malformed for any other."""
        nodes = depth = deepest = 0
        has_elements = False
        level = [body]
        while level:
            depth += 1
            nodes += len(level)
            deepest = max(deepest, depth)
            below: list[Node] = []
            for node in level:
                if isinstance(node, Seq):
                    below += node.items
                elif isinstance(node, Alt):
                    below += node.options
                elif isinstance(node, Terminal):
                    unit = self._unit(node)
                    nodes += unit.nodes
                    deepest = max(deepest, depth + unit.depth)
                    has_elements |= unit.has_elements
                elif id(node) not in self._checked:
                    self._check(node)
                    if not isinstance(node, Literal | CharClass | Ref):
                        below += children(node)
                        has_elements |= isinstance(node, Element)
            if nodes > MAX_NODES:
                raise _Malformed(_TOO_MANY)
            if deepest > MAX_DEPTH:
                raise _Malformed(_TOO_DEEP)
            level = below
        return _Extent(nodes, deepest, has_elements)

    def _unit(self, terminal: Terminal) -> _Extent:
        extent = self._units.get(id(terminal))
        if extent is None:
            try:
                extent = _read_unit(terminal)
            except RecursionError:  # from hashing it
                raise _Malformed(_TOO_DEEP) from None
            self._units[id(terminal)] = extent
        return extent

    def _check(self, node: Node) -> None:
        match node:
            case Literal(text):
                if not text.isascii():
                    _check_text(text)
            case Ref(name):
                if self._names is None:
                    raise _Malformed(
                        f"a terminal uses the rule {name!r}; a terminal is made of texts and "
                        "classes alone"
                    )
                if name not in self._names:
                    raise _Malformed(f"uses {name!r}, which is not defined")
            case CharClass(ranges):
                _check_ranges(ranges)
                self._checked.add(id(node))
            case Dfa():
                _check_dfa(node)
                self._checked.add(id(node))
            case Measured():
                _check_measured(node)
                self._checked.add(id(node))
            case Repeat(_, low, high):
                _check_bounds("a repetition", low, high)
            case ControlToken(text):
                if self._names is None:
                    raise _Malformed("a control token inside a terminal")
                _check_text(text)
                if not text:
                    raise _Malformed("a control token without a text")
            case Substring(text):
                _check_text(text)
                if not text:
                    raise _Malformed("a passage of the empty text")
            case Members():
                _check_members(node)
            case _:
                pass


@lru_cache(_KEPT_UNITS)
def _read_unit(terminal: Terminal) -> _Extent:
    return _Reader(None).read(terminal.node)


def _check_text(text: str) -> None:
    if _SURROGATE.search(text):
        shown = text if len(text) < 100 else f"{text[:100]}..."
        raise _Malformed(
            f"the text {shown!r} holds half of a surrogate pair, "
            "which no UTF-8 output can; write the whole character"
        )


def _check_bounds(what: str, low: int, high: int | None) -> None:
    if low < 0 or (high is not None and high < low):
        raise _Malformed(f"{what} of {low} to {high} times; expected 0 <= min <= max")


def _check_ranges(ranges: tuple[tuple[int, int], ...]) -> None:
    previous = -1
    for low, high in ranges:
        if not previous < low <= high <= MAX_CODE_POINT:
            raise _Malformed(
                f"the class range {low:#x}-{high:#x} is empty, out of "
                "order, overlapping or beyond Unicode"
            )
        if low <= SURROGATES[1] and high >= SURROGATES[0]:
            raise _Malformed(
                f"the class range {low:#x}-{high:#x} holds surrogates, which no UTF-8 output can"
            )
        previous = high


def _check_dfa(dfa: Dfa) -> None:
    count = len(dfa.edges)
    for edges in dfa.edges:
        previous = -1
        for low, high, to in edges:
            if not (previous < low <= high and 0 <= to < count):
                raise _Malformed(
                    f"the automaton's edge {low:#x}-{high:#x} to state "
                    f"{to} is empty, out of order, overlapping or leads outside its {count} states"
                )
            if high >= SURROGATES[0]:
                _check_ranges(((low, high),))
            previous = high
    if not all(0 <= state < count for state in dfa.accepting) or not count:
        raise _Malformed(f"the automaton accepts in a state outside its {count} states")


def _check_measured(node: Measured) -> None:
    _check_dfa(node.dfa)
    _check_bounds("units", node.min, node.max)
    if not 0 <= node.units <= len(node.dfa.edges):
        raise _Malformed(
            f"{node.units} of the automaton's {len(node.dfa.edges)} states "
            "complete a unit; expected no more than there are"
        )
    try:
        node.remainders()
    except ValueError as error:
        raise _Malformed(f"{error}; simplify the pattern") from error


def _check_members(node: Members) -> None:
    _check_bounds("members", node.min, node.max)
    for member in node.members:
        _check_text(member.key)
    if node.needs:
        _check_needs(node)
    keys = sorted(member.key for member in node.members)
    if keys and not keys[0]:
        raise _Malformed("a member with an empty key")
    for key, following in pairwise(keys):  # sorted, a key stands right before those it begins
        if following.startswith(key):
            raise _Malformed(
                f"the member key {key!r} is a prefix of {following!r}, so "
                "the two cannot be told apart"
            )


def _check_needs(node: Members) -> None:
    size = len(node.members)
    if any(not (0 <= i < size and 0 <= j < size) for i, j in node.needs):
        raise _Malformed("a member needs one that there is not")
    if any(node.members[i].required and not node.members[j].required for i, j in node.needs):
        raise _Malformed("a required member needs one that is not required")
    with_each = companions(size, node.needs)
    required = sum(1 << i for i, member in enumerate(node.members) if member.required)
    if node.max is not None and any((o | required).bit_count() > node.max for o in with_each):
        raise _Malformed(f"a member that with those it needs exceeds {node.max} members")
    is_between = node.max is not None and node.extra is None and node.min > 1
    if is_between and has_circle(with_each):
        raise _Malformed(
            f"members that need each other, and between {node.min} and {node.max} of them; "
            "write the cases as alternatives"
        )


def _check_elements(rules: Rules) -> None:
    """Raises GrammarError if an element can be reached without passing a `Unique`."""
    seen = {rules.root}
    for name in (todo := [rules.root]):
        work = [rules.rules[name]]
        while work:
            match work.pop():
                case Unique():
                    pass
                case Element():
                    raise GrammarError(
                        f"grammar: rule {name!r}: an element with no Unique around it, so that "
                        "nothing says what it must differ from"
                    )
                case Ref(other):
                    if other not in seen:
                        seen.add(other)
                        todo.append(other)
                case node:
                    work.extend(children(node))

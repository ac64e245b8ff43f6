"""Verification of the grammar IR: every grammar passes here once, whatever it was written as.

The printer, the automaton and llama.cpp may then rely on it: names resolve, classes are sorted
ranges without surrogates, sizes and nesting are bounded, the start rule matches some text, and no
rule can come back to itself without consuming a character (llama.cpp refuses that, or loops).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

from ..errors import GrammarError
from .dfa import Dfa
from .facts import Facts, left_recursion, rule_facts
from .measured import Measured
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
from .walk import children, references, walk

MAX_NODES = 1_000_000
"""Nodes in one grammar; a shared node counts as often as it is used."""

MAX_DEPTH = 200
"""Nodes nested in one rule; hashing and comparing nodes recurses, in C, to this depth."""

_NAME = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")


def check(rules: Rules) -> Mapping[str, Facts]:
    """The facts about each rule.

    Raises GrammarError, naming the rule, for anything that the module docstring rules out.
    """
    if rules.root not in rules.rules:
        raise GrammarError(f"grammar: the start rule {rules.root!r} is not defined")
    nodes = 0
    checked: set[int] = set()
    has_elements = False
    for name, body in rules.rules.items():
        if not _NAME.fullmatch(name):
            raise GrammarError(
                f"grammar: rule name {name!r} is not of the form [a-z][a-z0-9-]*, "
                "which llama.cpp can read"
            )
        level, depth = [body], 0
        while level:
            nodes += len(level)
            if nodes > MAX_NODES:
                raise GrammarError(f"grammar: more than {MAX_NODES:,} nodes; make it smaller")
            if depth >= MAX_DEPTH:
                raise GrammarError(
                    f"grammar: rule {name!r} is nested more than {MAX_DEPTH} levels deep; "
                    "move inner parts into rules of their own"
                )
            below: list[Node] = []
            for node in level:
                if isinstance(node, Seq):
                    below += node.items
                elif isinstance(node, Alt):
                    below += node.options
                elif id(node) not in checked:
                    _check_node(node, name, rules.rules, checked)
                    if not isinstance(node, Literal | CharClass | Ref):
                        below += children(node)
                        has_elements |= isinstance(node, Element)
            level, depth = below, depth + 1
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


def _check_node(node: Node, rule: str, rules: Mapping[str, Node], checked: set[int]) -> None:
    """Checks one node; `checked` gets its id if it needs no second look, nor what is inside it."""
    match node:
        case Literal(text):
            if not text.isascii():
                _check_text(text, rule)
        case Ref(name):
            if name not in rules:
                raise GrammarError(f"grammar: rule {rule!r} uses {name!r}, which is not defined")
        case CharClass(ranges):
            _check_ranges(ranges, rule)
            checked.add(id(node))
        case Dfa():
            _check_dfa(node, rule)
            checked.add(id(node))
        case Measured():
            _check_measured(node, rule)
            checked.add(id(node))
        case Repeat(_, low, high):
            _check_bounds("a repetition", low, high, rule)
        case Terminal(inner):
            used = references(inner)
            if any(isinstance(part, ControlToken) for part, _ in walk(inner)):
                raise GrammarError(f"grammar: rule {rule!r}: a control token inside a terminal")
            checked.add(id(node))
            if used:
                raise GrammarError(
                    f"grammar: rule {rule!r}: a terminal uses the rule {used[0]!r}; "
                    "a terminal is made of texts and classes alone"
                )
        case ControlToken(text):
            _check_text(text, rule)
            if not text:
                raise GrammarError(f"grammar: rule {rule!r}: a control token without a text")
        case Substring(text):
            _check_text(text, rule)
            if not text:
                raise GrammarError(f"grammar: rule {rule!r}: a passage of the empty text")
        case Members():
            _check_members(node, rule)
        case _:
            pass


def _check_text(text: str, rule: str) -> None:
    if _SURROGATE.search(text):
        shown = text if len(text) < 100 else f"{text[:100]}..."
        raise GrammarError(
            f"grammar: rule {rule!r}: the text {shown!r} holds half of a surrogate pair, "
            "which no UTF-8 output can; write the whole character"
        )


def _check_bounds(what: str, low: int, high: int | None, rule: str) -> None:
    if low < 0 or (high is not None and high < low):
        raise GrammarError(
            f"grammar: rule {rule!r}: {what} of {low} to {high} times; expected 0 <= min <= max"
        )


def _check_ranges(ranges: tuple[tuple[int, int], ...], rule: str) -> None:
    previous = -1
    for low, high in ranges:
        if not previous < low <= high <= MAX_CODE_POINT:
            raise GrammarError(
                f"grammar: rule {rule!r}: the class range {low:#x}-{high:#x} is empty, out of "
                "order, overlapping or beyond Unicode"
            )
        if low <= SURROGATES[1] and high >= SURROGATES[0]:
            raise GrammarError(
                f"grammar: rule {rule!r}: the class range {low:#x}-{high:#x} holds surrogates, "
                "which no UTF-8 output can"
            )
        previous = high


def _check_dfa(dfa: Dfa, rule: str) -> None:
    count = len(dfa.edges)
    for edges in dfa.edges:
        previous = -1
        for low, high, to in edges:
            if not (previous < low <= high and 0 <= to < count):
                raise GrammarError(
                    f"grammar: rule {rule!r}: the automaton's edge {low:#x}-{high:#x} to state "
                    f"{to} is empty, out of order, overlapping or leads outside its {count} states"
                )
            if high >= SURROGATES[0]:
                _check_ranges(((low, high),), rule)
            previous = high
    if not all(0 <= state < count for state in dfa.accepting) or not count:
        raise GrammarError(
            f"grammar: rule {rule!r}: the automaton accepts in a state outside its {count} states"
        )


def _check_measured(node: Measured, rule: str) -> None:
    _check_dfa(node.dfa, rule)
    _check_bounds("units", node.min, node.max, rule)
    if not 0 <= node.units <= len(node.dfa.edges):
        raise GrammarError(
            f"grammar: rule {rule!r}: {node.units} of the automaton's {len(node.dfa.edges)} states "
            "complete a unit; expected no more than there are"
        )
    try:
        node.remainders()
    except ValueError as error:
        raise GrammarError(f"grammar: rule {rule!r}: {error}; simplify the pattern") from error


def _check_members(node: Members, rule: str) -> None:
    _check_bounds("members", node.min, node.max, rule)
    for member in node.members:
        _check_text(member.key, rule)
    keys = sorted(member.key for member in node.members)
    if keys and not keys[0]:
        raise GrammarError(f"grammar: rule {rule!r}: a member with an empty key")
    for key, following in pairwise(keys):  # sorted, a key stands right before those it begins
        if following.startswith(key):
            raise GrammarError(
                f"grammar: rule {rule!r}: the member key {key!r} is a prefix of {following!r}, so "
                "the two cannot be told apart"
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

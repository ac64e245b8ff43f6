"""Verification of the grammar IR: every grammar passes here once, whatever it was written as.

The printer, the automaton and llama.cpp may then rely on it: names resolve, classes are sorted
ranges without surrogates, sizes and nesting are bounded, the start rule matches some text, and no
rule can come back to itself without consuming a character (llama.cpp refuses that, or loops).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from graphlib import CycleError, TopologicalSorter

from .errors import GrammarError
from .ir import (
    EMPTY,
    MAX_CODE_POINT,
    SURROGATES,
    Alt,
    CharClass,
    Literal,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
)
from .ir_walk import fold, references, walk

MAX_NODES = 500_000
"""Nodes in one grammar; a shared node counts as often as it is used."""

MAX_DEPTH = 200
"""Nodes nested in one rule; hashing and comparing nodes recurses, in C, to this depth."""

_NAME = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)


def check(rules: Rules) -> None:
    """Raises GrammarError, naming the rule, for anything that the module docstring rules out."""
    if rules.root not in rules.rules:
        raise GrammarError(f"grammar: the start rule {rules.root!r} is not defined")
    nodes = 0
    for name, body in rules.rules.items():
        if not _NAME.fullmatch(name):
            raise GrammarError(
                f"grammar: rule name {name!r} is not of the form [a-z][a-z0-9-]*, "
                "which llama.cpp can read"
            )
        for node, depth in walk(body):
            nodes += 1
            if nodes > MAX_NODES:
                raise GrammarError(f"grammar: more than {MAX_NODES:,} nodes; make it smaller")
            if depth >= MAX_DEPTH:
                raise GrammarError(
                    f"grammar: rule {name!r} is nested more than {MAX_DEPTH} levels deep; "
                    "move inner parts into rules of their own"
                )
            _check_node(node, name, rules.rules)
    if rules.root not in productive_rules(rules):
        raise GrammarError(
            f"grammar: the start rule {rules.root!r} matches no text at all, because every way "
            "through it meets an empty class or alternative, or never ends"
        )
    cycle = left_recursion(rules)
    if cycle:
        raise GrammarError(
            f"grammar: left recursion: {' -> '.join([*cycle, cycle[0]])} without consuming "
            "anything; put the recursion after something that consumes, or use a repetition"
        )


def nullable_rules(rules: Rules) -> frozenset[str]:
    """The rules that match the empty text."""
    return _least_fixpoint(rules, nullable)


def productive_rules(rules: Rules) -> frozenset[str]:
    """The rules that match some text."""
    return _least_fixpoint(rules, _productive)


def nullable(node: Node, nullable_names: AbstractSet[str]) -> bool:
    """Whether `node` matches the empty text, given which rules do."""
    return _holds(node, nullable_names, lambda leaf: leaf == EMPTY)


def left_recursion(rules: Rules) -> list[str]:
    """The rules of one cycle in which each can begin with the next; empty if there is none."""
    names = nullable_rules(rules)
    leading = {name: leading_references(body, names) for name, body in rules.rules.items()}
    try:
        TopologicalSorter(leading).prepare()
    except CycleError as error:
        backwards: list[str] = error.args[1]  # each can begin with the one before it
        return backwards[:0:-1]
    return []


def leading_references(body: Node, nullable_names: AbstractSet[str]) -> list[str]:
    """The rules that a match of `body` can begin with, before it consumes anything."""
    found: dict[str, None] = {}
    work = [body]
    while work:
        match work.pop():
            case Ref(name):
                found[name] = None
            case Seq(items):
                for item in items:
                    work.append(item)
                    if not nullable(item, nullable_names):
                        break
            case Alt(options):
                work.extend(options)
            case Repeat(item, _, high) if high != 0:
                work.append(item)
            case _:
                pass
    return list(found)


def _productive(node: Node, productive_names: AbstractSet[str]) -> bool:
    return _holds(node, productive_names, lambda leaf: leaf != CharClass(()))


def _holds(
    node: Node, names: AbstractSet[str], holds: Callable[[Literal | CharClass], bool]
) -> bool:
    """Whether a match can be put together from leaves for which `holds` and rules in `names`."""

    def visit(node: Node, below: list[bool]) -> bool:
        match node:
            case Literal() | CharClass():
                return holds(node)
            case Seq():
                return all(below)
            case Alt():
                return any(below)
            case Repeat(_, low, _):
                return low == 0 or below[0]
            case Ref(name):
                return name in names

    return fold(node, visit)


def _least_fixpoint(
    rules: Rules, holds: Callable[[Node, AbstractSet[str]], bool]
) -> frozenset[str]:
    """The rules for which `holds`, where it holds for a rule only by virtue of others' bodies."""
    users: dict[str, list[str]] = {name: [] for name in rules.rules}
    for name, body in rules.rules.items():
        for used in references(body):
            users[used].append(name)
    found: set[str] = set()
    work = list(rules.rules)
    while work:
        name = work.pop()
        if name not in found and holds(rules.rules[name], found):
            found.add(name)
            work.extend(users[name])
    return frozenset(found)


def _check_node(node: Node, rule: str, rules: Mapping[str, Node]) -> None:
    match node:
        case Literal(text):
            if any(SURROGATES[0] <= ord(char) <= SURROGATES[1] for char in text):
                raise GrammarError(
                    f"grammar: rule {rule!r}: the text {text!r} holds half of a surrogate pair, "
                    "which no UTF-8 output can; write the whole character"
                )
        case CharClass(ranges):
            _check_ranges(ranges, rule)
        case Repeat(_, low, high):
            if low < 0 or (high is not None and high < low):
                raise GrammarError(
                    f"grammar: rule {rule!r}: a repetition of {low} to {high} times; "
                    "expected 0 <= min <= max"
                )
        case Ref(name):
            if name not in rules:
                raise GrammarError(f"grammar: rule {rule!r} uses {name!r}, which is not defined")
        case Seq() | Alt():
            pass


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

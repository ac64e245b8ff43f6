"""What a match can begin with: which rules, and so whether one can come back to itself at once."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from graphlib import CycleError, TopologicalSorter

from .dfa import Dfa
from .measured import Measured
from .nodes import (
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


def nullable(node: Node, nullable_names: AbstractSet[str]) -> bool:
    """Whether `node` matches the empty text, given which rules do."""
    return _lead(node, nullable_names, {})


def left_recursion(rules: Rules, nullable_names: AbstractSet[str]) -> list[str]:
    """The rules of one cycle in which each can begin with the next; empty if there is none."""
    leading = {name: leading_references(body, nullable_names) for name, body in rules.rules.items()}
    try:
        TopologicalSorter(leading).prepare()
    except CycleError as error:
        backwards: list[str] = error.args[1]  # each can begin with the one before it
        return backwards[:0:-1]
    return []


def leading_references(body: Node, nullable_names: AbstractSet[str]) -> dict[str, int]:
    """The rules that a match of `body` can begin with, and in how many places it names them."""
    found: dict[str, int] = {}
    _lead(body, nullable_names, found)
    return found


def _lead(node: Node, nullable_names: AbstractSet[str], found: dict[str, int]) -> bool:
    """Whether `node` is nullable; `found` gets the rules that a match of it can begin with."""
    match node:
        case Literal(text):
            return not text
        case Ref(name):
            found[name] = found.get(name, 0) + 1
            return name in nullable_names
        case Seq(items):
            may_be_empty = True
            for item in items:
                may_be_empty = _lead(item, nullable_names, found)
                if not may_be_empty:
                    break
            return may_be_empty
        case Alt(options):
            may_be_empty = False
            for option in options:
                may_be_empty |= _lead(option, nullable_names, found)
            return may_be_empty
        case Repeat(item, low, high):
            if high == 0:
                return True
            return _lead(item, nullable_names, found) or low == 0
        case CharClass() | Substring() | ControlToken():
            return False
        case Dfa():
            return 0 in node.accepting
        case Measured():
            return node.holds_empty()
        case Terminal(item, excluded):
            return _lead(item, nullable_names, found) and "" not in excluded
        case Members(members, extra, separator, low):
            if extra is not None and _lead(extra, nullable_names, found):
                _lead(separator, nullable_names, found)
            return low == 0 and not any(member.required for member in members)
        case Unique(item) | Element(item):
            return _lead(item, nullable_names, found)

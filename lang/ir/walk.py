"""Walking IR nodes without recursion, so that deep input costs memory and never the stack."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from .dfa import Dfa
from .measured import Measured
from .nodes import (
    Alt,
    CharClass,
    ControlToken,
    Element,
    Literal,
    Member,
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

_KEPT_UNITS = 1024
"""Terminals whose digest is kept per process: the same few are in most schemas."""

_T = TypeVar("_T")


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly inside `node`."""
    match node:
        case Seq(items):
            return items
        case Alt(options):
            return options
        case Repeat(item) | Terminal(item) | Unique(item) | Element(item):
            return (item,)
        case Members(members, extra, separator):
            last = () if extra is None else (extra,)
            return (*(member.rest for member in members), separator, *last)
        case Literal() | CharClass() | Ref() | Dfa() | Measured() | Substring() | ControlToken():
            return ()


def with_children(node: Node, below: Sequence[Node]) -> Node:
    """`node` with other nodes directly inside it, as many as it has."""
    match node:
        case Seq():
            return Seq(tuple(below))
        case Alt():
            return Alt(tuple(below))
        case Repeat(_, low, high):
            return Repeat(below[0], low, high)
        case Terminal(_, excluded):
            return Terminal(below[0], excluded)
        case Unique():
            return Unique(below[0])
        case Element():
            return Element(below[0])
        case Members(members, extra, _, low, high, ordered, needs):
            renewed = tuple(
                Member(member.key, rest, member.required)
                for member, rest in zip(members, below, strict=False)
            )
            last = None if extra is None else below[-1]
            return Members(renewed, last, below[len(members)], low, high, ordered, needs)
        case Literal() | CharClass() | Ref() | Dfa() | Measured() | Substring() | ControlToken():
            return node


def walk(root: Node) -> Iterator[tuple[Node, int]]:
    """Every node under `root`, parents first and in order, with its depth (the root's is 0)."""
    work = [(root, 0)]
    while work:
        node, depth = work.pop()
        yield node, depth
        work.extend((child, depth + 1) for child in reversed(children(node)))


def fold(root: Node, visit: Callable[[Node, list[_T]], _T]) -> _T:
    """`visit(node, results of its children)` for every node, children first; the root's result."""
    results: list[_T] = []
    work = [(root, False)]
    while work:
        node, ready = work.pop()
        below = children(node)
        if below and not ready:
            work.append((node, True))
            work.extend((child, False) for child in reversed(below))
            continue
        first = len(results) - len(below)
        arguments = results[first:]
        del results[first:]
        results.append(visit(node, arguments))
    return results[0]


def references(root: Node) -> list[str]:
    """The names of the rules that `root` refers to, in order of first use."""
    names: dict[str, None] = {}
    work = [root]
    while work:
        node = work.pop()
        if isinstance(node, Ref):
            names[node.name] = None
        elif not isinstance(node, Terminal):  # terminals hold no references, and may be large
            work += reversed(children(node))
    return list(names)


def digest(rules: Rules) -> str:
    """A hash of the rules' content, equal in every process."""
    sha = hashlib.sha256(rules.root.encode())
    for name in sorted(rules.rules):
        sha.update(f"\nrule {name}\n".encode() + _content(rules.rules[name]))
    return sha.hexdigest()


def _content(root: Node) -> bytes:
    """A node in a line for each one in it; a terminal is one."""
    labels: list[str] = []
    work = [root]
    while work:
        node = work.pop()
        labels.append(_label(node))
        if not isinstance(node, Terminal):
            work += reversed(children(node))
    return "\n".join(labels).encode(errors="surrogatepass")


@lru_cache(_KEPT_UNITS)
def _unit_digest(terminal: Terminal) -> str:
    return hashlib.sha256(_content(terminal.node)).hexdigest()


def _label(node: Node) -> str:
    """The node without its children, which follow it: enough to rebuild the tree."""
    match node:
        case Literal(text):
            return f"literal {text!r}"
        case CharClass(ranges):
            return f"class {ranges}"
        case Seq(items):
            return f"seq {len(items)}"
        case Alt(options):
            return f"alt {len(options)}"
        case Repeat(_, low, high):
            return f"repeat {low} {high}"
        case Ref(name):
            return f"ref {name!r}"
        case Dfa():
            return f"dfa {node.edges} {sorted(node.accepting)}"
        case Measured(dfa, units, low, high):
            return f"measured {units} {low} {high} {dfa.edges} {sorted(dfa.accepting)}"
        case Terminal(_, excluded):
            return f"terminal {sorted(excluded)} {_unit_digest(node)}"
        case ControlToken(text, optional):
            return f"control {optional} {text!r}"
        case Substring(text, words):
            return f"substring {words} {text!r}"
        case Members(members, extra, _, low, high, ordered, needs):
            keys = [(member.key, member.required) for member in members]
            return f"members {keys} {extra is None} {low} {high} {ordered} {needs}"
        case Unique():
            return "unique"
        case Element():
            return "element"

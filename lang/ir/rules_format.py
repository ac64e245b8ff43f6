"""Compiled rules as plain data: what a worker process sends and what the disk cache keeps.

JSON, because it can hold nothing executable and C reads it. The nodes stand in one table, each
after the nodes inside it and named by its place, so that no depth costs stack and a node that is
used twice is written once:

    {"nodes": [["lit", "a"], ["rep", 0, 1, null]], "rules": {"root": 1}, "root": "root", ...}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

from .dfa import Dfa, Edge
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
from .walk import children

FORMAT_VERSION = 3
"""Raised whenever the meaning of the table, or of an IR node, changes."""


class Compiled(NamedTuple):
    """What a front end makes of a source: rules, and remarks as rows of plain text."""

    rules: Rules
    notes: tuple[tuple[str, ...], ...] = ()


def encode(compiled: Compiled) -> bytes:
    """`compiled` as bytes that `decode` reads."""
    rules = compiled.rules
    table = _Table()
    document = {
        "format": FORMAT_VERSION,
        "root": rules.root,
        "rules": {name: table.add(body) for name, body in rules.rules.items()},
        "nodes": list(table.rows),
        "notes": compiled.notes,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decode(data: bytes) -> Compiled:
    """What was encoded. Raises ValueError for bytes that `encode` has not made.

    The rules are well-formed, not verified: `ir_check.check` does that.
    """
    try:
        document = json.loads(data)
        if document["format"] != FORMAT_VERSION:
            raise ValueError(f"format {document['format']!r}, expected {FORMAT_VERSION}")
        nodes: list[Node] = []
        for row in document["nodes"]:
            nodes.append(_node(row, nodes))
        rules = {name: _at(nodes, place) for name, place in document["rules"].items()}
        notes = tuple(tuple(map(_text, note)) for note in document["notes"])
        return Compiled(Rules(_text(document["root"]), rules), notes)
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an encoded grammar: {error!r}") from error


class _Table:
    """Nodes as rows of plain values, equal ones once; a row's place is its number."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Any, ...], int] = {}
        self._places: dict[int, int] = {}  # by identity: hashing a node walks all that is inside

    def add(self, root: Node) -> int:
        """The place of `root`, written if it is not there yet."""
        places = self._places
        work = [root]
        while work:
            node = work[-1]
            if id(node) in places:
                work.pop()
                continue
            below = children(node)
            missing = [child for child in below if id(child) not in places]
            if missing:
                work.extend(reversed(missing))
                continue
            row = _row(node, [places[id(child)] for child in below])
            places[id(node)] = self.rows.setdefault(row, len(self.rows))
            work.pop()
        return places[id(root)]


def _row(node: Node, below: list[int]) -> tuple[Any, ...]:
    match node:
        case Literal(text):
            return ("lit", text)
        case CharClass(ranges):
            return ("class", *chain.from_iterable(ranges))
        case Seq():
            return ("seq", *below)
        case Alt():
            return ("alt", *below)
        case Repeat(_, low, high):
            return ("rep", *below, low, high)
        case Ref(name):
            return ("ref", name)
        case Dfa():
            return ("dfa", *_dfa_row(node))
        case Measured(dfa, units, low, high):
            return ("meas", units, low, high, *_dfa_row(dfa))
        case Terminal(_, excluded):
            return ("term", *below, tuple(sorted(excluded)))
        case ControlToken(text, optional):
            return ("control", text, optional)
        case Substring(text, words):
            return ("sub", text, words)
        case Unique():
            return ("uniq", *below)
        case Element():
            return ("elem", *below)
        case Members(members, extra, _, low, high, ordered, needs):
            keys = tuple((member.key, member.required) for member in members)
            return ("mems", keys, tuple(below), extra is not None, low, high, ordered, needs)


def _dfa_row(dfa: Dfa) -> tuple[Any, ...]:
    edges = tuple(tuple(chain.from_iterable(state)) for state in dfa.edges)
    return tuple(sorted(dfa.accepting)), edges


def _node(row: Any, nodes: Sequence[Node]) -> Node:
    match row:
        case ["lit", str(text)]:
            return Literal(text)
        case ["class", *bounds]:
            return CharClass(tuple(_pairs(bounds)))
        case ["seq", *below]:
            return Seq(_all_at(nodes, below))
        case ["alt", *below]:
            return Alt(_all_at(nodes, below))
        case ["rep", inner, int(low), int() | None as high]:
            return Repeat(_at(nodes, inner), low, high)
        case ["ref", str(name)]:
            return Ref(name)
        case ["dfa", list(accepting), list(edges)]:
            return _dfa(accepting, edges)
        case ["meas", int(units), int(low), int() | None as high, list(accepting), list(edges)]:
            return Measured(_dfa(accepting, edges), units, low, high)
        case ["term", inner, list(excluded)]:
            return Terminal(_at(nodes, inner), frozenset(map(_text, excluded)))
        case ["control", str(text), bool(optional)]:
            return ControlToken(text, optional)
        case ["sub", str(text), bool(words)]:
            return Substring(text, words)
        case ["uniq", inner]:
            return Unique(_at(nodes, inner))
        case ["elem", inner]:
            return Element(_at(nodes, inner))
        case ["mems", list(keys), list(below), bool(more), *counts, bool(ordered), list(needs)]:
            low, high = _bounds(counts)
            members = _members(keys, _all_at(nodes, below), more)
            return replace(members, min=low, max=high, ordered=ordered, needs=_needs(needs))
        case _:
            raise ValueError(f"not a node: {row!r:.80}")


def _members(keys: list[Any], below: tuple[Node, ...], more: bool) -> Members:
    if len(below) != len(keys) + 1 + more:
        raise ValueError("members that do not fit their keys")
    members: list[Member] = []
    for pair, rest in zip(keys, below, strict=False):
        match pair:
            case [str(key), bool(required)]:
                members.append(Member(key, rest, required))
            case _:
                raise ValueError(f"not a member: {pair!r:.80}")
    extra = below[-1] if more else None
    return Members(tuple(members), extra, below[len(keys)])


def _bounds(counts: list[Any]) -> tuple[int, int | None]:
    match counts:
        case [int(low), int() | None as high]:
            return low, high
        case _:
            raise ValueError(f"not two bounds: {counts!r:.80}")


def _needs(pairs: list[Any]) -> tuple[tuple[int, int], ...]:
    if any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise ValueError("needs that are no pairs")
    return tuple((_number(i), _number(j)) for i, j in pairs)


def _dfa(accepting: list[Any], edges: list[Any]) -> Dfa:
    found: list[tuple[Edge, ...]] = []
    for flat in edges:
        if len(flat) % 3:
            raise ValueError("edges that are no triples")
        numbers = iter(map(_number, flat))
        found.append(tuple(zip(numbers, numbers, numbers, strict=True)))
        if any(not 0 <= to < len(edges) for *_, to in found[-1]):
            raise ValueError("an edge to a state that is none")
    if not found or any(not 0 <= state < len(found) for state in map(_number, accepting)):
        raise ValueError("an accepting state that is none")
    return Dfa(tuple(found), frozenset(accepting))


def _pairs(bounds: list[Any]) -> list[tuple[int, int]]:
    if len(bounds) % 2:
        raise ValueError("ranges that are no pairs")
    numbers = iter(map(_number, bounds))
    return list(zip(numbers, numbers, strict=True))


def _all_at(nodes: Sequence[Node], places: list[Any]) -> tuple[Node, ...]:
    return tuple([_at(nodes, place) for place in places])


def _at(nodes: Sequence[Node], place: Any) -> Node:
    """The node at a place; only earlier ones are there, so nothing contains itself."""
    if not isinstance(place, int) or not 0 <= place < len(nodes):
        raise ValueError(f"no node at {place!r}")
    return nodes[place]


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError(f"expected a number, got {value!r:.80}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {value!r:.80}")
    return value

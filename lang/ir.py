"""The grammar IR: what every constraint lowers to, over Unicode code points.

A grammar is a set of named rules over six node kinds. Nodes are frozen and hashable, so that equal
constraints are equal keys. Byte encoding, automata and token masks come late (`automaton.py`,
`runtime/`); GBNF is a printing of this IR (`gbnf.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

MAX_CODE_POINT = 0x10FFFF
SURROGATES = (0xD800, 0xDFFF)


@dataclass(frozen=True, slots=True)
class Literal:
    """Exactly this text; may be empty."""

    text: str


@dataclass(frozen=True, slots=True)
class CharClass:
    """One code point from sorted, disjoint, inclusive `ranges`; never a surrogate, may be empty."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Seq:
    """All items, in order."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """Any one of the options; no options means nothing matches."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """`item` from `min` to `max` times; `max` None means without bound."""

    item: Node
    min: int
    max: int | None


@dataclass(frozen=True, slots=True)
class Ref:
    """The rule of this name."""

    name: str


Node: TypeAlias = Literal | CharClass | Seq | Alt | Repeat | Ref

EMPTY = Literal("")
NEVER = Alt(())


@dataclass(frozen=True)
class Rules:
    """A whole grammar: `rules[root]` is where it starts. Rule names match `[a-z][a-z0-9-]*`."""

    root: str
    rules: Mapping[str, Node]

"""The grammar IR: what every constraint lowers to, over Unicode code points.

A grammar is a set of named rules. Six node kinds are what GBNF has too; the others say what a
schema needs and a context-free grammar cannot hold, or only at a size that nobody wants: members
in any order, values that differ, sets of texts as automata. The runtime executes all of them;
GBNF is a printing of this IR (`gbnf/printer.py`) that refuses what it cannot say.

Nodes are frozen and hashable, so that equal constraints are equal keys. Byte encoding, automata and
token masks come late (`automaton/automaton.py`, `runtime/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from .dfa import Dfa
from .measured import Measured

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


@dataclass(frozen=True, slots=True)
class Terminal:
    """`node`, which holds no `Ref`, except the texts `excluded`.

    A unit such as a JSON string or a number: it runs as an automaton of its own that all grammars
    with an equal terminal share, masks included. Excluding must leave no prefix without a
    completion: each prefix of a text of `node` that is not itself complete has endless ones.
    """

    node: Node
    excluded: frozenset[str] = frozenset()
    _hash: int | None = field(default=None, init=False, repr=False, compare=False)

    def __hash__(self) -> int:
        if self._hash is None:  # what keys caches is hashed far more often than made
            object.__setattr__(self, "_hash", hash((self.node, self.excluded)))
        assert self._hash is not None
        return self._hash

    def __reduce__(self) -> tuple[type[Terminal], tuple[Node, frozenset[str]]]:
        return (Terminal, (self.node, self.excluded))  # texts hash differently in each process


@dataclass(frozen=True, slots=True)
class Substring:
    """Any passage of `text` that is not empty; `words`: it begins and ends at word boundaries."""

    text: str
    words: bool = False


@dataclass(frozen=True, slots=True)
class ControlToken:
    """A control token of the model, by its text, as in <think>, or its number, as in <[12]>.

    While a model generates it is that one token and no spelling of it; in a text it is the text.
    `optional`: for a model that has no such token it is the text.
    """

    text: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """A declared member of an object: `key` as it is spelled, quotes included, and the `rest`."""

    key: str
    rest: Node
    required: bool


@dataclass(frozen=True, slots=True)
class Members:
    """Members, with `separator` between: each declared one at most once, and any number of `extra`.

    `ordered`: declared members come in their order and before the extra ones; otherwise all mix
    freely. `min` and `max` count all members. `extra` is one whole member, whose keys differ from
    the declared ones; None if there can be none. No declared key is a prefix of another one.

    `needs`: pairs (i, j) of places in `members`: where member i comes, member j must. What a
    required member needs is required, and with all that must come with it each one fits in `max`.
    Needs in a circle take an `extra`, or one of `min` and `max` that says nothing.
    """

    members: tuple[Member, ...]
    extra: Node | None
    separator: Node
    min: int = 0
    max: int | None = None
    ordered: bool = True
    needs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Unique:
    """`body`, with all `Element`s in it different as JSON values (1 is 1.0, key order is nothing).

    An element belongs to the innermost `Unique` around it, through references too.
    """

    body: Node


@dataclass(frozen=True, slots=True)
class Element:
    """`node`, a JSON value that differs from every earlier element of its `Unique`."""

    node: Node


Node: TypeAlias = (
    Literal
    | CharClass
    | Seq
    | Alt
    | Repeat
    | Ref
    | Dfa
    | Measured
    | Terminal
    | Substring
    | ControlToken
    | Members
    | Unique
    | Element
)

EMPTY = Literal("")
NEVER = Alt(())


@dataclass(frozen=True)
class Rules:
    """A whole grammar: `rules[root]` is where it starts. Rule names match `[a-z][a-z0-9-]*`."""

    root: str
    rules: Mapping[str, Node]

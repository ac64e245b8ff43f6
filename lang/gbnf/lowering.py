"""IR to IR that llama.cpp runs well: the same language without what its sampler cannot take.

llama.cpp refuses a repetition of something that may be empty (`(a*)*`) as left recursion, has no
syntax for what matches nothing, takes exponential time on `x? x? x?`, and tries every one of a
thousand alternatives on every token. So every repetition gets a body that is never empty, dead
alternatives go, equal neighbours become one counted repetition, and lists of texts become prefix
trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from math import isqrt

from ..choices import prefix_tree
from ..errors import GrammarError
from ..ir.beginnings import nullable
from ..ir.facts import nullable_rules, productive_rules
from ..ir.nodes import (
    EMPTY,
    NEVER,
    Alt,
    CharClass,
    ControlToken,
    Literal,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
)
from ..ir.walk import fold, references, with_children
from .plain import plain

MAX_BOUND = 2000
"""llama.cpp's MAX_REPETITION_THRESHOLD: larger upper bounds are dropped there, silently."""

_MAX_OPTIONAL_ITEMS = 1000
_LISTED_TEXTS = 16
"""Alternative texts that are still listed as they are, because that reads better."""


def lower(rules: Rules) -> Rules:
    """The same language; only rules that the root needs, in order of first use, the root first.

    No repetition has an item that matches the empty text; nothing in it is NEVER.
    """
    rules = _with_trees(plain(rules))
    empty_names = nullable_rules(rules)
    nonempty = _fresh_names(rules, empty_names)
    bodies: dict[str, Node] = {}
    for name, body in rules.rules.items():
        forms = fold(body, lambda node, below: _forms(node, below, nonempty))
        bodies[name] = forms.node
        if name in empty_names:
            bodies[nonempty[name]] = forms.nonempty
    pruner = _Pruner(productive_rules(Rules(rules.root, bodies)), empty_names)
    needed: dict[str, Node] = {}
    found = [rules.root]
    for name in found:  # grows while it is walked
        if name not in needed:
            needed[name] = fold(bodies[name], pruner.visit)
            found.extend(references(needed[name]))
    return Rules(rules.root, needed)


def _with_trees(rules: Rules) -> Rules:
    """The same rules, with each long list of alternative texts as a tree of their prefixes."""
    bodies: dict[str, Node] = {}

    def visit(node: Node, below: list[Node]) -> Node:
        texts = {option.text for option in below if isinstance(option, Literal)}
        if not isinstance(node, Alt) or len(texts) <= _LISTED_TEXTS:
            return with_children(node, below)
        others: list[Node] = [option for option in below if not isinstance(option, Literal)]
        if "" in texts:
            others.append(EMPTY)
        prefix = "rest"
        while any(name.startswith(prefix) for name in (*rules.rules, *bodies)):
            prefix += "-x"
        tree, deeper = prefix_tree(texts - {""}, prefix)
        bodies.update(deeper)
        return Alt((tree, *others))

    for name, body in rules.rules.items():
        bodies[name] = fold(body, visit)
    return Rules(rules.root, bodies)


def _fresh_names(rules: Rules, wanted: AbstractSet[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    taken = set(rules.rules)
    for name in sorted(wanted):
        fresh = f"{name}-nonempty"
        while fresh in taken:
            fresh += "-x"
        names[name] = fresh
        taken.add(fresh)
    return names


@dataclass(frozen=True, slots=True)
class _Forms:
    """One node in the forms that its parent may want.

    `node`: the language itself. `nonempty`: without the empty text. `starred`: anything with
    `starred* == node*` and without the empty text, the star normal form of Brüggemann-Klein
    (Regular expressions into finite automata, 1993); unlike `nonempty` it never grows.
    """

    node: Node
    nonempty: Node
    starred: Node
    nullable: bool


def _forms(node: Node, below: list[_Forms], nonempty: dict[str, str]) -> _Forms:
    match node:
        case Literal(""):
            return _Forms(EMPTY, NEVER, NEVER, True)
        case Literal() | CharClass() | ControlToken():
            return _Forms(node, node, node, False)
        case Ref(name):
            if name not in nonempty:
                return _Forms(node, node, node, False)
            rest = Ref(nonempty[name])
            return _Forms(node, rest, rest, True)
        case Alt():
            return _Forms(
                Alt(tuple(form.node for form in below)),
                Alt(tuple(form.nonempty for form in below)),
                Alt(tuple(form.starred for form in below)),
                any(form.nullable for form in below),
            )
        case Seq():
            return _seq_forms(below)
        case Repeat():
            return _repeat_forms(node, below[0])
        case _:
            raise AssertionError(f"{node!r} is not plain")


def _seq_forms(below: list[_Forms]) -> _Forms:
    nodes = tuple(form.node for form in below)
    node = Seq(nodes)
    if not all(form.nullable for form in below):
        return _Forms(node, node, node, False)
    if len(below) > _MAX_OPTIONAL_ITEMS:
        raise GrammarError(
            f"gbnf: a sequence of {len(below)} parts that may all be empty; llama.cpp takes "
            f"{_MAX_OPTIONAL_ITEMS}"
        )
    first_nonempty = [Seq((form.nonempty, *nodes[at + 1 :])) for at, form in enumerate(below)]
    starred = Alt(tuple(form.starred for form in below))
    return _Forms(node, Alt(tuple(first_nonempty)), starred, True)


def _repeat_forms(node: Repeat, item: _Forms) -> _Forms:
    low, high = (0 if item.nullable else node.min), node.max
    if high == 0:
        return _Forms(EMPTY, NEVER, NEVER, True)
    body = item.node if not item.nullable else item.starred if high is None else item.nonempty
    repeat = Repeat(body, low, high)
    if low > 0:
        return _Forms(repeat, repeat, repeat, False)
    return _Forms(repeat, Repeat(body, 1, high), item.starred, True)


@dataclass(frozen=True, slots=True)
class _Pruner:
    """Rebuilds a node without what is dead or empty in it."""

    productive: AbstractSet[str]
    empty_names: AbstractSet[str]

    def visit(self, node: Node, below: list[Node]) -> Node:
        match node:
            case CharClass(()):
                return NEVER
            case Ref(name):
                return node if name in self.productive else NEVER
            case Seq():
                return self._seq(below)
            case Alt():
                return self._alt(below)
            case Repeat(_, low, high):
                return _repeat(below[0], low, high)
            case _:
                return node

    def _seq(self, nodes: Sequence[Node]) -> Node:
        """All in order: neighbouring texts joined, equal neighbours counted; NEVER if one is."""
        if NEVER in nodes:
            return NEVER
        items: list[Node] = []
        for node in nodes:
            for item in node.items if isinstance(node, Seq) else (node,):
                if item == EMPTY:
                    continue
                joined = self._joined(items[-1], item) if items else None
                if joined is None:
                    items.append(item)
                else:
                    items[-1] = joined
        if len(items) == 1:
            return items[0]
        return Seq(tuple(items)) if items else EMPTY

    def _joined(self, left: Node, right: Node) -> Node | None:
        """The two as one node, if that is simpler."""
        if isinstance(left, Literal) and isinstance(right, Literal):
            return Literal(left.text + right.text)
        first = left if isinstance(left, Repeat) else Repeat(left, 1, 1)
        second = right if isinstance(right, Repeat) else Repeat(right, 1, 1)
        if first.item != second.item or nullable(first.item, self.empty_names):
            return None
        low = first.min + second.min
        high = None if first.max is None or second.max is None else first.max + second.max
        if low > MAX_BOUND or (high or 0) > MAX_BOUND:
            return None
        return Repeat(first.item, low, high)

    def _alt(self, nodes: Sequence[Node]) -> Node:
        """Any one of the distinct options; an empty option makes the rest optional."""
        options: dict[Node, None] = {}
        for node in nodes:
            for option in node.options if isinstance(node, Alt) else (node,):
                options[option] = None
        optional = EMPTY in options
        options.pop(EMPTY, None)
        rest = next(iter(options)) if len(options) == 1 else Alt(tuple(options))
        if rest == NEVER:
            return EMPTY if optional else NEVER
        if not optional or nullable(rest, self.empty_names):
            return rest
        if isinstance(rest, Repeat) and rest.min == 1:
            return Repeat(rest.item, 0, rest.max)
        return Repeat(rest, 0, 1)


def _repeat(item: Node, low: int, high: int | None) -> Node:
    if item == NEVER and low > 0:
        return NEVER
    if item in (EMPTY, NEVER) or high == 0:
        return EMPTY
    if high is None and isinstance(item, Repeat) and (item.min, item.max) == (1, None):
        item = item.item
    if max(low, high or 0) > MAX_BOUND:
        return _split(item, low, high)
    return item if (low, high) == (1, 1) else Repeat(item, low, high)


def _split(item: Node, low: int, high: int | None) -> Node:
    """The same repetition in blocks of at most MAX_BOUND, each text in one way only."""
    size = isqrt(max(low, high or 0))
    block = Repeat(item, size, size)
    blocks, rest = divmod(low, size)
    fixed = (_repeat(block, blocks, blocks), _repeat(item, rest, rest))
    if high is None:
        return _joined_seq(*fixed, Repeat(item, 0, None))
    blocks, rest = divmod(high - low, size)
    if not blocks:
        return _joined_seq(*fixed, _repeat(item, 0, rest))
    fewer = _joined_seq(_repeat(block, 0, blocks - 1), _repeat(item, 0, size - 1))
    most = _joined_seq(_repeat(block, blocks, blocks), _repeat(item, 0, rest))
    return _joined_seq(*fixed, Alt((fewer, most)))


def _joined_seq(*nodes: Node) -> Node:
    items = tuple(node for node in nodes if node != EMPTY)
    return items[0] if len(items) == 1 else Seq(items)

"""Anchors at the ends: the patterns that need no automaton although they hold `^` and `$`.

`^a|b$` is tied differently in each alternative, so an expression is up to four parts, one for each
way of being tied. Where something could stand outside an anchor, the expression has no such parts
and is left to `looks.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal as OneOf
from typing import TypeAlias

from ..ir.nodes import EMPTY, Alt, CharClass, Literal, Node, Ref, Repeat, Seq
from ..ir.walk import fold
from .sets import ANY

START, END = Ref("start"), Ref("end")
"""The places `^` and `$` in the tree of an expression."""


@dataclass(frozen=True, slots=True)
class Part:
    """`node`, tied to the start of the text, to its end, to both or to neither."""

    node: Node
    start: bool = False
    end: bool = False


Expression: TypeAlias = tuple[Part, ...]
"""The alternatives of an expression, at most one for each of the four ways to be tied."""


def tied_parts(tree: Node) -> Expression | None:
    """The parts of a tree; None if its anchors are not all at the ends."""

    def visit(node: Node, below: list[Expression | None]) -> Expression | None:
        known = [expression for expression in below if expression is not None]
        if len(known) < len(below):
            return None
        match node:
            case Ref():
                if node not in (START, END):
                    return None
                return (Part(EMPTY, start=node == START, end=node == END),)
            case Seq():
                return _sequence(known)
            case Alt():
                return _alternatives(part for expression in known for part in expression)
            case Repeat(_, low, high):
                (part, *others) = known[0]
                if others or part.start or part.end:
                    return None
                return (Part(Repeat(part.node, low, high)),)
            case _:
                return (Part(node),)

    return fold(tree, visit)


def whole_text(expression: Expression) -> Node:
    """The texts that `expression` matches from end to end."""
    return alt(part.node for part in expression)


def anywhere(expression: Iterable[Part]) -> Node:
    """The texts in which `expression` matches somewhere, as far as its anchors let it."""
    around = Repeat(CharClass(ANY), 0, None)
    options: list[Node] = []
    for part in expression:
        node = part.node if part.start else beside_any_text(part.node, at=0)
        node = node if part.end else beside_any_text(node, at=-1)
        if node == EMPTY and not (part.start and part.end):
            options.append(around)
        else:
            options.append(
                seq([EMPTY if part.start else around, node, EMPTY if part.end else around])
            )
    return alt(options)


def beside_any_text(node: Node, at: OneOf[0, -1]) -> Node:
    """What of `node` still says something where any text may stand beside it, at one of its ends.

    There, more repetitions than the fewest are part of that text: `.*[a-z]{3,63}` is `.*[a-z]{3}`.
    What may be empty says nothing, so it is EMPTY.
    """
    match node:
        case Repeat(item, low, _):
            edge = beside_any_text(item, at) if low else EMPTY
            if edge in (item, EMPTY):
                return Repeat(item, low, low) if edge != EMPTY else EMPTY
            rest = [Repeat(item, low - 1, low - 1)] if low > 1 else []
            return seq([edge, *rest] if at == 0 else [*rest, edge])
        case Seq(items):
            left = list(items)
            while left:
                edge = beside_any_text(left[at], at)
                if edge != EMPTY:
                    left[at] = edge
                    break
                left.pop(at)
            return seq(left)
        case Alt(options):
            edges = [beside_any_text(option, at) for option in options]
            return EMPTY if EMPTY in edges else alt(edges)
        case _:
            return node


def seq(nodes: Iterable[Node]) -> Node:
    """All `nodes` in order, with nested sequences opened and neighbouring texts joined."""
    items: list[Node] = []
    texts: list[str] = []
    for node in nodes:
        for item in node.items if isinstance(node, Seq) else (node,):
            if isinstance(item, Literal):
                texts.append(item.text)
                continue
            if any(texts):
                items.append(Literal("".join(texts)))
            texts.clear()
            items.append(item)
    if any(texts):
        items.append(Literal("".join(texts)))
    if len(items) == 1:
        return items[0]
    return Seq(tuple(items)) if items else EMPTY


def alt(nodes: Iterable[Node]) -> Node:
    """Any one of `nodes`, each once."""
    unique = tuple(dict.fromkeys(nodes))
    return unique[0] if len(unique) == 1 else Alt(unique)


def _alternatives(parts: Iterable[Part]) -> Expression:
    ways: dict[tuple[bool, bool], list[Node]] = {}
    for part in parts:
        ways.setdefault((part.start, part.end), []).append(part.node)
    return tuple(Part(alt(nodes), *way) for way, nodes in ways.items())


def _sequence(expressions: list[Expression]) -> Expression | None:
    """All in order, a run of untied ones at a time: a long sequence is joined once."""
    ways: Expression = (Part(EMPTY),)
    run: list[Node] = []
    for expression in [*expressions, None]:
        if (
            expression is not None
            and len(expression) == 1
            and expression[0] == Part(expression[0].node)
        ):
            run.append(expression[0].node)
            continue
        tied = [(Part(seq(run)),), *([] if expression is None else [expression])]
        run = []
        for right in tied:
            joined = [_joined(one, other) for one in ways for other in right]
            kept = [part for part in joined if part is not None]
            if len(kept) < len(joined):
                return None
            ways = _alternatives(kept)
    return ways


def _joined(one: Part, other: Part) -> Part | None:
    """`one` and then `other`; None if one of them has text on the outer side of an anchor."""
    if (one.end and other.node != EMPTY) or (other.start and one.node != EMPTY):
        return None
    return Part(seq([one.node, other.node]), one.start or other.start, one.end or other.end)

"""Anchors: which parts of a regex are tied to the start or the end of the text.

`^a|b$` is tied differently in each alternative, so a parsed expression is up to four parts, one for
each way of being anchored. An anchor is exact only where nothing can stand outside it; anywhere
else it is an error at its column.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .errors import RegexError
from .ir import EMPTY, Alt, CharClass, Literal, Node, Repeat, Seq
from .regex_sets import ANY


@dataclass(frozen=True, slots=True)
class Part:
    """`node`, with the column of a `^` that it begins with and of a `$` that it ends with."""

    node: Node
    start: int | None = None
    end: int | None = None


Expression = tuple[Part, ...]
"""The alternatives of an expression, at most one for each of the four ways to be anchored."""


def alternatives(expressions: Iterable[Expression]) -> Expression:
    """Any one of `expressions`."""
    ways: dict[tuple[bool, bool], list[Part]] = {}
    for expression in expressions:
        for part in expression:
            ways.setdefault((part.start is None, part.end is None), []).append(part)
    return tuple(
        Part(_alt([part.node for part in parts]), parts[0].start, parts[0].end)
        for parts in ways.values()
    )


def sequence(expressions: Iterable[Expression], pattern: str) -> Expression:
    """All `expressions` in order. Raises RegexError for an anchor with text on its outer side."""
    ways: list[tuple[list[Node], int | None, int | None]] = [([], None, None)]
    for expression in expressions:
        if len(expression) == 1:
            for nodes, _, end in ways:
                _check_join(nodes, end, expression[0], pattern)
            part = expression[0]
            ways = [
                (_extended(nodes, part.node), _first(start, part.start), _first(part.end, end))
                for nodes, start, end in ways
            ]
            continue
        joined: list[Part] = []
        for nodes, start, end in ways:
            for part in expression:
                _check_join(nodes, end, part, pattern)
                joined.append(
                    Part(seq([*nodes, part.node]), _first(start, part.start), _first(part.end, end))
                )
        ways = [
            (_extended([], part.node), part.start, part.end)
            for part in alternatives((part,) for part in joined)
        ]
    return tuple(Part(seq(nodes), start, end) for nodes, start, end in ways)


def repeated(expression: Expression, low: int, high: int | None, pattern: str) -> Expression:
    """`low` to `high` times `expression`. Raises RegexError if it holds an anchor."""
    for part in expression:
        for symbol, column in (("^", part.start), ("$", part.end)):
            if column is not None:
                raise RegexError(
                    f"the anchor {symbol} is inside something repeated or optional, which has no "
                    "exact grammar; write the anchored and the free form as alternatives",
                    pattern,
                    column,
                )
    node = expression[0].node
    if (low, high) == (1, 1) or node == EMPTY:
        return expression
    return (Part(EMPTY if high == 0 else Repeat(node, low, high)),)


def whole_text(expression: Expression) -> Node:
    """The texts that `expression` matches from end to end."""
    return _alt([part.node for part in expression])


def anywhere(expression: Expression) -> Node:
    """The texts in which `expression` matches somewhere, as far as its anchors let it."""
    around = Repeat(CharClass(ANY), 0, None)
    return _alt(
        [
            seq(
                [
                    EMPTY if part.start is not None else around,
                    part.node,
                    EMPTY if part.end is not None else around,
                ]
            )
            for part in expression
        ]
    )


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


def _alt(nodes: list[Node]) -> Node:
    unique = tuple(dict.fromkeys(nodes))
    return unique[0] if len(unique) == 1 else Alt(unique)


def _extended(nodes: list[Node], node: Node) -> list[Node]:
    """`nodes` with `node` after them, in place; an empty text adds nothing."""
    if node != EMPTY:
        nodes.append(node)
    return nodes


def _check_join(nodes: list[Node], end: int | None, part: Part, pattern: str) -> None:
    if end is not None and part.node != EMPTY:
        raise RegexError(
            "the anchor for the end of the text has something after it; move it to the end or drop "
            "it",
            pattern,
            end,
        )
    if part.start is not None and nodes:
        raise RegexError(
            "the anchor for the start of the text has something before it; move it to the start or "
            "drop it",
            pattern,
            part.start,
        )


def _first(column: int | None, other: int | None) -> int | None:
    return other if column is None else column

r"""Lookarounds at the ends of the text: `^(?=.{1,253}$)(?!.*--)[a-z-]+(?<!-)$`.

What they ask there is asked of the whole text, so they are intersections, and one that asks for a
length stays two numbers (`ir/measured.py`). As obligations that run along with the match
(`looks.py`) they would need a state for each length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..ir.nodes import NEVER, CharClass, Literal, Node, Ref, Repeat, Seq
from ..regular.bounded import bounded
from ..regular.table import Table, combine
from .anchors import END, START, Expression, Part, anywhere, seq, tied_parts
from .looks import Assertion
from .sets import ANY, characters, intersection


class OuterLooks(NamedTuple):
    """What a pattern asks of the whole text, and its tree without that.

    `names` are the lookarounds' names among the assertions.
    """

    names: list[str]
    wanted: list[Expression]
    refused: list[Expression]
    rest: Node


class _Looks(NamedTuple):
    """The lookarounds at one end of a tree, and how many of its items they and the anchor are."""

    names: list[str]
    expressions: list[Expression]
    length: int
    is_tied: bool


def outer_looks(
    tree: Node, assertions: Mapping[str, Assertion], *, is_search: bool
) -> OuterLooks | None:
    """The lookarounds at the ends of `tree`; None if there are none at an end of the text.

    `is_search`: the match may begin and end anywhere, unless something ties it.
    """
    items = list(tree.items) if isinstance(tree, Seq) else [tree]
    first = _at_end(items, assertions, START, is_search=is_search)
    rest = items[first.length :]
    last = _at_end(rest[::-1], assertions, END, is_search=is_search)
    rest = rest[: len(rest) - last.length]
    names = [*first.names, *last.names]
    if not names:
        return None
    looks = OuterLooks(names, [], [], rest=seq([*rest]))
    for name, expression in zip(names, [*first.expressions, *last.expressions], strict=True):
        (looks.refused if assertions[name].negative else looks.wanted).append(expression)
    if is_search:
        before, behind = [START] if first.is_tied else [], [END] if last.is_tied else []
        return looks._replace(rest=seq([*before, *rest, *behind]))
    return looks


def _at_end(
    items: Sequence[Node], assertions: Mapping[str, Assertion], anchor: Ref, *, is_search: bool
) -> _Looks:
    """The lookarounds that `items` begin with, where the text begins or, from behind, ends."""
    at_start = anchor == START
    looks = _Looks([], [], 0, not is_search)
    for item in items:
        if item == anchor:
            looks = looks._replace(length=looks.length + 1, is_tied=True)
            continue
        if not isinstance(item, Ref) or item in (START, END):
            break
        assertion = assertions[item.name]
        parts = tied_parts(assertion.body)
        if assertion.behind == at_start or parts is None:
            break
        ties = all(part.start if at_start else part.end for part in parts)
        looks.names.append(item.name)
        looks.expressions.append(
            tuple(Part(p.node, p.start or at_start, p.end or not at_start) for p in parts)
        )
        is_tied = looks.is_tied or (ties and not assertion.negative)
        looks = looks._replace(length=looks.length + 1, is_tied=is_tied)
    return looks if looks.is_tied else _Looks([], [], 0, False)


def met(looks: OuterLooks, rest: Table) -> Node:
    """The texts of `rest` that meet the demands, NEVER if there are none. Raises TooLarge."""
    required, forbidden = [rest], [Table.of_node(anywhere(part)) for part in looks.refused]
    low, high = 0, None
    for expression in looks.wanted:
        length = _length(expression)
        if length is None:
            required.append(Table.of_node(anywhere(expression)))
            continue
        low = max(low, length.min)
        if length.max is not None:
            high = length.max if high is None else min(high, length.max)
        if length.item != CharClass(ANY):
            required.append(Table.of_node(Repeat(length.item, 0, None)))
    return bounded(combine(required, forbidden), low, high)


def _length(expression: Expression) -> Repeat | None:
    """The repetition of one class that is the whole text, if nothing else is asked."""
    match expression:
        case (Part(Repeat(CharClass()) as length, start=True, end=True),):
            return length
        case _:
            return None


def with_length_ahead(tree: Node, assertions: Mapping[str, Assertion]) -> Node | None:
    """The texts in which `tree` matches, where it is as `(?=.{1,32}$)ab`; None for any other.

    Not tied to the start, such a look bounds what follows the few characters that are asked for.
    """
    items = list(tree.items) if isinstance(tree, Seq) else [tree]
    first, *rest = items
    if not isinstance(first, Ref) or assertions[first.name].behind:
        return None
    parts = tied_parts(assertions[first.name].body)
    if parts is None or assertions[first.name].negative:
        return None
    match parts:
        case (Part(Repeat(CharClass(ranges), low, high), start=False, end=True),):
            pass
        case _:
            return None
    asked: list[Node] = []
    for item in rest:
        if isinstance(item, Literal):
            classes = [characters(char) for char in item.text]
        elif isinstance(item, CharClass):
            classes = [item.ranges]
        else:
            return None
        asked += [CharClass(intersection(each, ranges)) for each in classes]
    if CharClass(()) in asked or (high is not None and high < len(asked)):
        return NEVER
    most = None if high is None else high - len(asked)
    left = Repeat(CharClass(ranges), max(low - len(asked), 0), most)
    return seq([Repeat(CharClass(ANY), 0, None), *asked, left])

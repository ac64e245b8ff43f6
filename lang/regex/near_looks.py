r"""Demands on one neighbouring character, as choices of that character: `[a-z-]+(?<!-)\b`.

A place that asks something of the character before or after it, `\b` above all, needs no automaton
where the expression itself says which characters stand there: `\w[a-z-]*(?<!-)` is `\w` or
`\w[a-z-]*[a-z]`. So bounds nearby stay numbers; an automaton would have a state for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Literal as OneOf
from typing import NamedTuple

from ..ir.nodes import EMPTY, NEVER, Alt, CharClass, Literal, Node, Ref, Repeat, Seq
from ..ir.walk import fold, references, with_children
from .anchors import END, START, alt, seq
from .looks import Assertion
from .sets import ANY, Ranges, characters, complement, intersection

_MAX_WORK = 5_000
"""Nodes that are narrowed or copied for one pattern."""

_MAX_JOINED = 16
"""Alternatives of places that stand side by side."""

_AROUND = Repeat(CharClass(ANY), 0, None)


class _TooMuch(Exception):
    """The choices would be too large."""


class _Side(NamedTuple):
    """The characters that may stand at one side of a place, and whether the text may end there."""

    chars: Ranges = ANY
    may_end: bool = True

    def __and__(self, other: _Side) -> _Side:
        return _Side(intersection(self.chars, other.chars), self.may_end and other.may_end)


_FREE = _Side()


class _Place(NamedTuple):
    """What a place demands of the characters beside it, and what the expression goes on with."""

    before: _Side = _FREE
    after: _Side = _FREE
    rest: Node = EMPTY


def without_near_looks(
    tree: Node, assertions: Mapping[str, Assertion], *, is_search: bool
) -> Node | None:
    """The texts that `tree` matches, from end to end or somewhere inside them (`is_search`).

    None if not all of its assertions ask for one character that the expression names.
    """
    resolver = _Resolver(assertions)
    try:
        inside = fold(tree, resolver.visit)
        items = [*inside.items] if isinstance(inside, Seq) else [inside]
        beyond = [_AROUND] if is_search else []
        items = items[1:] if items[0] == START else [*beyond, *items]
        items = items[:-1] if items[-1:] == [END] else [*items, *beyond]
        whole = resolver.sequence(items, is_whole=True)
    except _TooMuch:
        return None
    return None if references(whole) else whole


class _Resolver:
    def __init__(self, assertions: Mapping[str, Assertion]) -> None:
        self._assertions = assertions
        self._work = 0

    def visit(self, node: Node, below: list[Node]) -> Node:
        """The node with the places resolved that have all that they ask about beside them."""
        match node:
            case Seq():
                return self.sequence(below, is_whole=False)
            case Alt():
                return _any(below)
            case Repeat(_, low, _) if below[0] == NEVER:
                return NEVER if low else EMPTY
            case _:
                return with_children(node, below)

    def sequence(self, items: Sequence[Node], *, is_whole: bool) -> Node:
        """All items in order; `is_whole`: the text begins and ends with them."""
        left = self._joined(items)
        at = len(left)
        while at:  # from behind: what a place looks ahead at has no places left
            at -= 1
            found = self._resolved(left, at, is_whole=is_whole)
            if found is not None:
                node, at, last = found
                left[at:last] = [node]
        return _all(left)

    def _resolved(
        self, items: Sequence[Node], at: int, *, is_whole: bool
    ) -> tuple[Node, int, int] | None:
        """What stands instead of the items from one number to another; None if nothing does."""
        places = self._places(items[at])
        if places is None:
            return None
        first, last = at, at + 1
        if any(place.before != _FREE for place in places):
            first = _reach(items, range(at - 1, -1, -1), at)
        if any(place.after != _FREE and _is_nullable(place.rest) for place in places):
            last = _reach(items, range(at + 1, len(items)), at) + 1
        before, behind = items[first:at], items[at + 1 : last]
        if any(map(references, (*before, *behind, *(place.rest for place in places)))):
            return None
        options: list[Node] = []
        for place in places:
            left = self._beside(before, place.before, -1, is_end=is_whole and first == 0)
            is_end = is_whole and last == len(items)
            right = self._beside([place.rest, *behind], place.after, 0, is_end=is_end)
            if left is None or right is None:
                return None
            options.append(_all((left, right)))
        return _any(options), first, last

    def _joined(self, items: Sequence[Node]) -> list[Node]:
        """The items, with neighbouring places made one."""
        joined: list[Node] = []
        for item in reversed(items):
            ways: list[Node] = []
            if joined and _is_place(item) and self._places(joined[-1]):
                ways = [seq(pair) for pair in product(_options(item), _options(joined[-1]))]
            if ways and len(ways) <= _MAX_JOINED:
                joined[-1] = alt(ways)
            else:
                joined.append(item)
        return joined[::-1]

    def _places(self, node: Node) -> list[_Place] | None:
        """The alternatives of a node, of which some begin with places; None if none does."""
        places: list[_Place] = []
        for option in _options(node):
            items = list(option.items) if isinstance(option, Seq) else [option]
            before = after = _FREE
            while items and isinstance(place := items[0], Ref):
                items.pop(0)
                assertion = self._assertions[place.name]
                chars = _characters(assertion.body)
                if chars is None:
                    return None
                side = _Side(complement(chars)) if assertion.negative else _Side(chars, False)
                if assertion.behind:
                    before &= side
                else:
                    after &= side
            places.append(_Place(before, after, seq(items)))
        return places if any(p.before != _FREE or p.after != _FREE for p in places) else None

    def _beside(
        self, items: Sequence[Node], side: _Side, at: OneOf[0, -1], *, is_end: bool
    ) -> Node | None:
        """The items with what is demanded at one of their ends; None if more than they say it.

        `is_end`: beyond them, the text ends.
        """
        if side == _FREE:
            return _all(items)
        narrowed = self._run(items, side.chars, at)
        if not all(map(_is_nullable, items)):
            return narrowed
        if not is_end:
            return None
        return _any((EMPTY, narrowed)) if side.may_end else narrowed

    def _run(self, items: Sequence[Node], chars: Ranges, at: OneOf[0, -1]) -> Node:
        """The texts of `items` in a row, but the empty one, with one of `chars` at that end."""
        options: list[Node] = []
        left = list(items)
        while left:
            item = left.pop(at)
            self._work += len(left)
            edge = self._edge(item, chars, at)
            options.append(_all([edge, *left] if at == 0 else [*left, edge]))
            if not _is_nullable(item):
                break
        return _any(options)

    def _edge(self, node: Node, chars: Ranges, at: OneOf[0, -1]) -> Node:
        """The texts of the node, but the empty one, with one of `chars` at that end."""
        self._work += 1
        if self._work > _MAX_WORK:
            raise _TooMuch
        match node:
            case Literal(text):
                return node if text and intersection(characters(text[at]), chars) else NEVER
            case CharClass(ranges):
                kept = intersection(ranges, chars)
                return CharClass(kept) if kept else NEVER
            case Seq(items):
                return self._run(items, chars, at)
            case Alt(options):
                return _any(self._edge(option, chars, at) for option in options)
            case Repeat(item, low, high):
                edge = self._edge(item, chars, at)
                if high == 1:
                    return edge
                least = 0 if _is_nullable(item) else max(low - 1, 0)
                rest = Repeat(item, least, None if high is None else high - 1)
                return _all((edge, rest) if at == 0 else (rest, edge))
            case _:
                raise AssertionError(f"{type(node).__name__} is no part of an expression")


def _options(node: Node) -> tuple[Node, ...]:
    return node.options if isinstance(node, Alt) else (node,)


def _is_place(node: Node) -> bool:
    """Whether nothing but places is in the node."""
    return all(
        isinstance(item, Ref)
        for option in _options(node)
        for item in (option.items if isinstance(option, Seq) else (option,))
    )


def _reach(items: Sequence[Node], places: range, start: int) -> int:
    """The first of `places` whose item has no empty text, or the last one; `start` if none is."""
    for start in places:
        if not _is_nullable(items[start]):
            break
    return start


def _characters(body: Node) -> Ranges | None:
    """The characters of a body that is one character."""
    match body:
        case Literal(text) if len(text) == 1:
            return characters(text)
        case CharClass(ranges):
            return ranges
        case _:
            return None


def _is_nullable(node: Node) -> bool:
    match node:
        case Literal(text):
            return not text
        case Seq(items):
            return all(map(_is_nullable, items))
        case Alt(options):
            return any(map(_is_nullable, options))
        case Repeat(item, low, _):
            return low == 0 or _is_nullable(item)
        case Ref():
            return True
        case _:
            return False


def _any(options: Iterable[Node]) -> Node:
    return alt(option for option in options if option != NEVER)


def _all(items: Iterable[Node]) -> Node:
    parts = list(items)
    return NEVER if NEVER in parts else seq(parts)

"""Arrays as grammar: a fixed prefix of positions, then like items, within a count.

Items that must differ are `Element`s of a `Unique`. Where some items must, or must not too often,
be of a kind, the rules count them: one rule per position and counts, none of them larger than it
matters.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

from ..errors import SchemaError
from ..ir.nodes import EMPTY, NEVER, Alt, Element, Node, Repeat, Seq, Unique
from .build import Build
from .demand import Demand, every, negation
from .shapes import ArrayShape, Contains, is_void
from .span import Span
from .states import counted
from .value_counts import most_values

_MAX_NESTED = 16
_MAX_STATES = 5_000
_MAX_KINDS = 4


def array_node(shape: ArrayShape, depth: int, build: Build) -> Node:
    """The JSON arrays of this shape, or NEVER. Raises SchemaError."""
    if is_void(shape):
        return NEVER
    low, high = shape.count.low, shape.longest
    is_unique = shape.unique and (high is None or high > 1)
    if is_unique and not shape.prefix and (most := most_values(shape.items, build)) is not None:
        high = most if high is None else min(high, most)
        if high < low:
            return build.define_distinct(NEVER, shape.path)
    if shape.contains:  # a state for each item: not for as many as there are values
        return _Counted(shape, Span(low, shape.longest), is_unique, depth, build).node()
    if high == 0:
        return build.punctuation.enclosed("[]", None, True, depth)
    body = _plain_body(shape, Span(low, high), is_unique, depth, build)
    if body is None:
        return NEVER if low else build.punctuation.enclosed("[]", None, True, depth)
    items = _distinct(body, shape, build) if is_unique else body
    return build.punctuation.enclosed("[]", items, low == 0, depth)


def _distinct(items: Node, shape: ArrayShape, build: Build) -> Node:
    """Items that all differ. Where some must, there may be too few values: that is found later."""
    node = Unique(items)
    needs_several = shape.count.low > 1 or any(clause.count.low for clause in shape.contains)
    return build.define_distinct(node, shape.path) if needs_several else node


def _item(demand: Demand, is_unique: bool, depth: int, build: Build) -> Node:
    node = build.node(demand, depth + 1, "item")
    return Element(node) if is_unique and node != NEVER else node


def _plain_body(
    shape: ArrayShape, count: Span, is_unique: bool, depth: int, build: Build
) -> Node | None:
    """At least one item."""
    low, high = count.low, count.high
    width = len(shape.prefix) if high is None else min(high, len(shape.prefix))
    nodes: list[Node] = []
    for demand in shape.prefix[:width]:
        node = _item(demand, is_unique, depth, build)
        if node == NEVER:
            high = len(nodes)
            break
        nodes.append(node)
        if len(nodes) <= low:
            build.need(node)
    if high is not None and high < low:
        return None
    tail: Node | None = None
    if high is None or high > len(nodes):
        item = _item(shape.items, is_unique, depth, build)
        if item != NEVER:
            if low > len(nodes):
                build.need(item)
            rest = Span(low - len(nodes), None if high is None else high - len(nodes))
            tail = build.listed(item, rest, depth)
        elif low > len(nodes):
            return None
    if not nodes:
        return tail
    comma = build.punctuation.comma(depth)
    after: Node = EMPTY
    if tail is not None:
        more = Seq((comma, tail))
        after = more if low > len(nodes) else Repeat(more, 0, 1)
    # From the last position back: what follows a position is optional once `low` items are there.
    for i in range(len(nodes) - 1, 0, -1):
        here = Seq((comma, nodes[i], after))
        after = here if i < low else Repeat(here, 0, 1)
        if i % _MAX_NESTED == 0:
            after = build.define("items", after)
    return Seq((nodes[0], after))


class _State(NamedTuple):
    """After so many items, so many of which each clause counts; no further than it matters."""

    items: int
    counts: tuple[int, ...]


class _Counted:
    """Arrays with `contains`."""

    def __init__(
        self, shape: ArrayShape, count: Span, is_unique: bool, depth: int, build: Build
    ) -> None:
        self.shape, self.count, self.is_unique = shape, count, is_unique
        self.depth, self.build = depth, build
        if len(shape.contains) > _MAX_KINDS:
            raise SchemaError(
                f"more than {_MAX_KINDS} demands that some item must meet have no grammar",
                shape.path,
                "contains",
            )
        starts = [clause.start for clause in shape.contains]
        self.cap = max(count.low, count.high or 0, len(shape.prefix), *starts)

    def node(self) -> Node:
        build, depth = self.build, self.depth
        start = _State(0, (0,) * len(self.shape.contains))
        comma = build.punctuation.comma(depth)
        body = counted(start, self._following, self._is_end, comma, "items", build, _MAX_STATES)
        if body is None:
            raise SchemaError(
                "contains together with the counts needs too many cases; use smaller bounds",
                self.shape.path,
                "contains",
            )
        may_be_empty = self._is_end(start)
        if not body:
            if not may_be_empty:
                return NEVER
            return build.punctuation.enclosed("[]", None, True, depth)
        options: Node = Alt(tuple(body))
        if self.is_unique:
            options = _distinct(options, self.shape, build)
        return build.punctuation.enclosed("[]", options, may_be_empty, depth)

    def _is_end(self, state: _State) -> bool:
        return state.items >= self.count.low and all(
            count >= clause.count.low
            for count, clause in zip(state.counts, self.shape.contains, strict=True)
        )

    def _following(self, state: _State) -> list[tuple[Node, _State]]:
        if self.count.high is not None and state.items >= self.count.high:
            return []
        found: list[tuple[Node, _State]] = []
        clauses = self.shape.contains
        for kinds in product(*(self._kinds(clause, state.items) for clause in clauses)):
            counts = tuple(
                min(count + 1, _most(clause)) if kind else count
                for count, kind, clause in zip(state.counts, kinds, clauses, strict=True)
            )
            if any(
                clause.count.high is not None and kind and before >= clause.count.high
                for kind, before, clause in zip(kinds, state.counts, clauses, strict=True)
            ):
                continue
            node = _item(self._demand(state.items, kinds), self.is_unique, self.depth, self.build)
            if node != NEVER:
                after = _State(min(state.items + 1, self.cap), counts)
                found.append((node, after))
        return found

    def _kinds(self, clause: Contains, index: int) -> tuple[bool, ...]:
        return (False,) if index < clause.start else (True, False)

    def _demand(self, index: int, kinds: tuple[bool, ...]) -> Demand:
        parts = [self.shape.demand(index)]
        for kind, clause in zip(kinds, self.shape.contains, strict=True):
            if kind:
                parts.append(clause.demand)
            elif clause.count.high is not None and index >= clause.start:
                # Only an upper bound asks that what is not counted be of no counted kind.
                parts.append(negation(clause.demand))
        return every(parts)


def _most(clause: Contains) -> int:
    return max(clause.count.low, clause.count.high or 0)

"""Lengths of the texts of a node, and the part of a language that has certain lengths.

What schemas really combine needs no automaton: a language whose texts all have a fitting length
(`^[0-9]{10}$` with maxLength 10), or whose length varies in a repetition of fixed-length items
beside parts of few lengths (`^https?://.*$` with maxLength 2000). Those stay nodes. Other languages
become an automaton that is run beside a count (`ir/measured.py`). Either way a bound of any size
costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from ..ir.dfa import Dfa
from ..ir.measured import Measured
from ..ir.nodes import EMPTY, NEVER, Alt, CharClass, Literal, Node, Repeat, Seq
from ..ir.walk import fold
from ..regular.bounded import bounded, within
from ..regular.path_lengths import path_lengths
from ..regular.table import Table
from .span import Span

_MAX_WAYS = 64
"""Combinations of lengths of the parts of a sequence that are written out."""


_KEPT_LENGTHS = 64


class Lengths(NamedTuple):
    """Bounds of the lengths, in code points, of some texts; None is no bound."""

    low: int
    high: int | None


def lengths(node: Node) -> Lengths | None:
    """The lengths of the texts of `node`, which has no references; None if it has no text."""

    def visit(node: Node, below: list[Lengths | None]) -> Lengths | None:
        known = [bounds for bounds in below if bounds is not None]
        match node:
            case Literal(text):
                return Lengths(len(text), len(text))
            case CharClass(ranges):
                return Lengths(1, 1) if ranges else None
            case Seq():
                return _sum(known) if len(known) == len(below) else None
            case Alt():
                return _union(known)
            case Repeat(_, low, high):
                if not known:
                    return None if low else Lengths(0, 0)
                return _times(known[0], low, high)
            case Dfa():
                return _of_automaton(node)
            case Measured(dfa, _, low, high):
                bounds = _of_automaton(dfa)
                both = None if bounds is None else Span(*bounds) & Span(low, high)
                return None if both is None or both.is_empty else Lengths(both.low, both.high)
            case _:
                raise AssertionError(f"{type(node).__name__} is no language of decoded text")

    return fold(node, visit)


@lru_cache(_KEPT_LENGTHS)
def _of_automaton(dfa: Dfa) -> Lengths | None:
    if not dfa.accepting:
        return None
    following = [{to for _, _, to in edges} for edges in dfa.edges]
    return Lengths(*path_lengths(following, dfa.accepting))


def _sum(parts: list[Lengths]) -> Lengths:
    highs = [part.high for part in parts]
    total = None if None in highs else sum(high for high in highs if high is not None)
    return Lengths(sum(part.low for part in parts), total)


def _union(parts: list[Lengths]) -> Lengths | None:
    if not parts:
        return None
    highs = [part.high for part in parts]
    top = None if None in highs else max(high for high in highs if high is not None)
    return Lengths(min(part.low for part in parts), top)


def _times(item: Lengths, low: int, high: int | None) -> Lengths:
    if item.high == 0 or high == 0:
        return Lengths(0, 0)
    unbounded = item.high is None or high is None
    return Lengths(item.low * low, None if unbounded else (item.high or 0) * (high or 0))


def with_length(node: Node, span: Span) -> Node | None:
    """The texts of `node` with a length in `span`, or None if that needs an automaton."""
    bounds = lengths(node)
    if bounds is None or span.is_empty:
        return NEVER
    if span.high is not None and bounds.low > span.high:
        return NEVER
    if bounds.high is not None and bounds.high < span.low:
        return NEVER
    if bounds.low >= span.low and (
        span.high is None or (bounds.high is not None and bounds.high <= span.high)
    ):
        return node
    match node:
        case Alt(options):
            narrowed = [with_length(option, span) for option in options]
            kept = [option for option in narrowed if option is not None]
            return _alt(kept) if len(kept) == len(narrowed) else None
        case Seq(items):
            return _sequence(items, span)
        case Measured(_, _, low, high):
            both = Span(low, high) & span
            return NEVER if both.is_empty else within(replace(node, min=both.low, max=both.high))
        case Repeat(item, 0, 1):
            return with_length(Alt((EMPTY, item)), span)
        case Repeat(item, low, high):
            return _repetition(item, Span(low, high), span)
        case _:
            return None


def cut(node: Node, span: Span) -> Node:
    """The texts of `node` with a length in `span`, NEVER if there are none. Raises TooLarge.

    Of alternatives, only those become an automaton that need one: in `^[a-z]{1,128}$|x` a product
    of the two would count to 128 in each of its states.
    """
    narrowed = with_length(node, span)
    if narrowed is not None:
        return narrowed
    if span.high is not None:
        node = _without_idle_bounds(node, span.high)
    options = node.options if isinstance(node, Alt) else (node,)
    each = [with_length(option, span) for option in options]
    rest = [option for option, known in zip(options, each, strict=True) if known is None]
    automaton = bounded(Table.of_node(Alt(tuple(rest))), span.low, span.high)
    return _alt([*(known for known in each if known is not None), automaton])


def _without_idle_bounds(node: Node, longest: int) -> Node:
    """The same texts up to this length, with no bound that only longer ones could reach."""
    match node:
        case Alt(options):
            return Alt(tuple(_without_idle_bounds(option, longest) for option in options))
        case Seq(items):
            lows = [_least(item) for item in items]
            room = longest - sum(lows)
            parts = zip(items, lows, strict=True)
            return Seq(tuple(_without_idle_bounds(item, room + low) for item, low in parts))
        case Repeat(item, low, high):
            least = _least(item)
            inner = _without_idle_bounds(item, longest - least * max(low - 1, 0))
            is_idle = high is not None and least * high >= longest
            return Repeat(inner, low, None if is_idle else high)
        case _:
            return node


def _least(node: Node) -> int:
    bounds = lengths(node)
    return 0 if bounds is None else bounds.low


def _repetition(item: Node, times: Span, span: Span) -> Node | None:
    size = lengths(item)
    if size is None or size.low != size.high or size.low == 0:
        return None
    fewest = -(-span.low // size.low)
    most = None if span.high is None else span.high // size.low
    both = times & Span(fewest, most)
    return NEVER if both.is_empty else Repeat(item, both.low, both.high)


def _sequence(items: Sequence[Node], span: Span) -> Node | None:
    """Writes out the lengths of all parts but the one that varies most, which takes the rest."""
    bounds = [lengths(item) for item in items]
    sizes = [None if b is None or b.high is None else b.high - b.low for b in bounds]
    if sizes.count(None) > 1:
        return None
    widest = (
        sizes.index(None) if None in sizes else max(range(len(sizes)), key=lambda i: sizes[i] or 0)
    )
    others = [
        range(b.low, b.high + 1) if b is not None and b.high is not None else range(0)
        for i, b in enumerate(bounds)
        if i != widest
    ]
    ways = 1
    for other in others:
        ways *= len(other)
    if ways > _MAX_WAYS:
        return None
    options: list[Node] = []
    for chosen in product(*others):
        exact = list(chosen)
        exact.insert(widest, -1)
        used = sum(chosen)
        rest = Span(max(0, span.low - used), None if span.high is None else span.high - used)
        narrowed = [
            with_length(item, rest if i == widest else Span(exact[i], exact[i]))
            for i, item in enumerate(items)
        ]
        if None in narrowed:
            return None
        if NEVER not in narrowed:
            options.append(Seq(tuple(part for part in narrowed if part is not None)))
    return _alt(options)


def _alt(options: list[Node]) -> Node:
    kept = tuple(option for option in options if option != NEVER)
    return kept[0] if len(kept) == 1 else Alt(kept)

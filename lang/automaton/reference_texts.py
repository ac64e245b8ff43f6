"""The texts of those nodes that are sets of texts by themselves, listed from their definition."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from ..ir.dfa import Dfa
from ..ir.measured import Measured


def passages(text: str, words: bool) -> Iterable[str]:
    """The texts of `Substring(text, words)`."""
    spans = pieces(text, words)
    for at, (first, _) in enumerate(spans):
        for _, last in spans[at:]:
            yield text[first:last]


def pieces(text: str, words: bool) -> list[tuple[int, int]]:
    """The characters of `text`, or of `words`: its words and marks; a passage is a run of them."""
    return [m.span() for m in re.finditer(r"\w+|[^\w\s]" if words else r"(?s:.)", text)]


@lru_cache(64)
def measured_dfa(node: Measured) -> Dfa:
    """The texts of `node` as an automaton: a state for each of its states with each count."""
    most = node.min if node.max is None else node.max
    counts = range(most + 2)  # the last one stands for more than `most`
    edges = [
        tuple(
            (low, high, to * (most + 2) + min(count + (to < node.units), most + 1))
            for low, high, to in node.dfa.edges[state]
        )
        for state in range(len(node.dfa.edges))
        for count in counts
    ]
    accepting = frozenset(
        state * (most + 2) + count
        for state in node.dfa.accepting
        for count in counts
        if count >= node.min and (node.max is None or count <= node.max)
    )
    return Dfa(tuple(edges), accepting)


def dfa_texts(dfa: Dfa, state: int, widest: int) -> Iterable[str]:
    """The texts, none empty, that lead from `state` to acceptance; the shortest first.

    Of a range of characters, the first `widest` are written.
    """
    live = dfa.live()
    todo = [("", state)]
    for text, at in todo:  # grows while it is walked
        if text and at in dfa.accepting:
            yield text
        for low, high, to in dfa.edges[at]:
            if to in live:
                codes = range(low, min(high, low + widest - 1) + 1)
                todo += [(text + chr(code), to) for code in codes]

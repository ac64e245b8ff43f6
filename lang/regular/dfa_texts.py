"""Lists of texts as automata: the smallest one, however long the list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ..ir.dfa import Dfa, Edge

_State: TypeAlias = "tuple[bool, tuple[Edge, ...]]"


def of_texts(texts: Iterable[str]) -> Dfa:
    """Exactly these texts: their prefix tree, with equal ends made one."""
    children: list[dict[str, int]] = [{}]
    ends: set[int] = set()
    for text in texts:
        node = 0
        for char in text:
            following = children[node].get(char)
            if following is None:
                following = children[node][char] = len(children)
                children.append({})
            node = following
        ends.add(node)
    numbers: dict[_State, int] = {}
    merged = [0] * len(children)
    # a child has a higher number than its parent, so going down meets the ends first
    for node in range(len(children) - 1, -1, -1):
        edges = sorted((ord(char), ord(char), merged[to]) for char, to in children[node].items())
        merged[node] = numbers.setdefault((node in ends, tuple(edges)), len(numbers))
    return _from_start(list(numbers), merged[0])


def _from_start(states: list[_State], start: int) -> Dfa:
    """The states with `start` as state 0."""
    swapped = {start: 0, 0: start}
    edges: list[tuple[Edge, ...]] = []
    accepting: set[int] = set()
    for number in range(len(states)):
        accepts, old = states[swapped.get(number, number)]
        edges.append(tuple((low, high, swapped.get(to, to)) for low, high, to in old))
        if accepts:
            accepting.add(number)
    return Dfa(tuple(edges), frozenset(accepting))

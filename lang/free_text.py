"""Free text around markers: any text in which none of some strings stands.

One automaton for all markers, after Aho and Corasick (Efficient string matching, 1975): a state is
the longest end of the text that begins a marker, so there are no more states than the markers have
characters, however much they overlap.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from .ir.dfa import Dfa, Edge
from .ir.nodes import Node, Terminal
from .regex.sets import ANY

MAX_CHARACTERS = 5_000
"""All markers together."""


def without(markers: tuple[str, ...]) -> Node:
    """Any text that holds none of `markers`, which are not empty."""
    return _free(markers, frozenset())


def before(marker: str, markers: tuple[str, ...]) -> Node:
    """Any text in which, followed by `marker`, that is the first of `markers`.

    It holds none of them, and does not end with what would make another one together with the
    beginning of `marker`: before a marker `ab` it does not end with `a`, if `aa` is a marker too.
    No marker may hold another one.
    """
    beginnings = {marker[:size] for size in range(1, len(marker))}
    endings = {
        other[:-size]
        for other in markers
        for size in range(1, len(other))
        if other[-size:] in beginnings
    }
    return _free(markers, frozenset(endings))


@lru_cache(256)
def _free(markers: tuple[str, ...], endings: frozenset[str]) -> Node:
    """Any text that holds none of `markers` and ends with none of `endings`, beginnings of them."""
    trie = _trie(markers)
    refused = {trie.state(ending) for ending in endings}
    accepting = set()
    for state in trie.breadth_first:
        if state in refused or (state and trie.shorter[state] in refused):
            refused.add(state)
        elif state not in trie.ends:
            accepting.add(state)
    return Terminal(trie.dfa(accepting))


class _Trie:
    """The beginnings of `markers` as states; state 0 is the empty one.

    Attributes:
        shorter: per state, the longest other beginning that its text ends with.
        ends: states whose text ends with a marker.
        breadth_first: all states, shorter ones first.
    """

    def __init__(self, markers: Iterable[str]) -> None:
        self._children: list[dict[str, int]] = [{}]
        self.ends = {self._add(marker) for marker in markers}
        self.shorter = [0] * len(self._children)
        # per state, where a character leads if not to state 0
        moves: list[dict[str, int]] = [{} for _ in self._children]
        self.breadth_first = [0]
        for state in self.breadth_first:  # grows while it is walked
            fallback = moves[self.shorter[state]] if state else {}
            for char, child in self._children[state].items():
                self.shorter[child] = fallback.get(char, 0)
                if self.shorter[child] in self.ends:
                    self.ends.add(child)
                self.breadth_first.append(child)
            moves[state] = fallback | self._children[state]
        kept = sorted({*self.breadth_first} - self.ends)
        self._numbers = {state: number for number, state in enumerate(kept)}
        self._edges = tuple(self._edges_of(moves[state]) for state in kept)

    def _add(self, text: str) -> int:
        state = 0
        for char in text:
            children = self._children[state]
            if char not in children:
                children[char] = len(self._children)
                self._children.append({})
            state = children[char]
        return state

    def state(self, text: str) -> int:
        """The state of a beginning."""
        state = 0
        for char in text:
            state = self._children[state][char]
        return state

    def _edges_of(self, moves: dict[str, int]) -> tuple[Edge, ...]:
        """The edges of a state: `moves`, and to state 0 with every other character."""
        targets = [(ord(char), self._numbers.get(moves[char])) for char in sorted(moves)]
        edges: list[Edge] = []
        for first, last in ANY:
            for code, to in targets:
                if first <= code <= last:
                    if first < code:
                        edges.append((first, code - 1, 0))
                    if to is not None:
                        edges.append((code, code, to))
                    first = code + 1
            if first <= last:
                edges.append((first, last, 0))
        return tuple(edges)

    def dfa(self, accepting: set[int]) -> Dfa:
        """The automaton of the states in which no marker stands."""
        return Dfa(self._edges, frozenset(self._numbers[state] for state in accepting))


@lru_cache(64)
def _trie(markers: tuple[str, ...]) -> _Trie:
    return _Trie(markers)

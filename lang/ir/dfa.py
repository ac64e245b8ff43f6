"""A deterministic automaton over code points, as a value."""

from __future__ import annotations

from typing import TypeAlias

Edge: TypeAlias = tuple[int, int, int]
"""From code point, to code point (inclusive), next state."""


class Dfa:
    """A set of texts; the automaton starts in state 0. Immutable and hashable.

    `edges[s]` is sorted and disjoint; a code point without an edge is rejected. Equal automata (not
    merely equal languages) compare equal.
    """

    __slots__ = ("_hash", "_live", "accepting", "edges")

    def __init__(self, edges: tuple[tuple[Edge, ...], ...], accepting: frozenset[int]) -> None:
        self.edges = edges
        self.accepting = accepting
        self._hash: int | None = None
        self._live: frozenset[int] | None = None

    def accepts(self, text: str) -> bool:
        """Whether `text` is in the language."""
        state = 0
        for char in text:
            code = ord(char)
            to = next((to for low, high, to in self.edges[state] if low <= code <= high), None)
            if to is None:
                return False
            state = to
        return state in self.accepting

    def is_empty(self) -> bool:
        """Whether nothing is accepted."""
        return 0 not in self.live()

    def live(self) -> frozenset[int]:
        """States from which an accepting state can be reached."""
        if self._live is None:
            self._live = self._find_live()
        return self._live

    def _find_live(self) -> frozenset[int]:
        sources: dict[int, set[int]] = {}
        for state, edges in enumerate(self.edges):
            for *_, to in edges:
                sources.setdefault(to, set()).add(state)
        seen = set(self.accepting)
        todo = list(seen)
        while todo:
            for source in sources.get(todo.pop(), ()):
                if source not in seen:
                    seen.add(source)
                    todo.append(source)
        return frozenset(seen)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dfa):
            return NotImplemented
        return self is other or (
            hash(self) == hash(other)
            and self.accepting == other.accepting
            and self.edges == other.edges
        )

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.edges, self.accepting))
        return self._hash

    def __repr__(self) -> str:
        return f"Dfa({len(self.edges)} states, {len(self.accepting)} accepting)"

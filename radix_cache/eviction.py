"""Nodes in the order in which they may go, without touching the queue on every use.

A node's rank may grow while it waits here; the heap learns of it when the node comes to the top,
and only then moves it down. So adding and discarding cost O(log n), and using a node nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING

from .policy import Rank

if TYPE_CHECKING:
    from .tree import Node


class EvictionQueue:
    """A set of nodes that gives up the one of lowest rank first; ties in order of entry.

    Args:
        rank: of a node now; see `Policy.rank`.
    """

    def __init__(self, rank: Callable[[Node], Rank]) -> None:
        self._rank = rank
        self._heap: list[tuple[Rank, int, Node]] = []
        self._entries: dict[Node, int] = {}  # node -> serial of its one valid heap entry
        self._serial = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, node: object) -> bool:
        return node in self._entries

    def add(self, node: Node) -> None:
        """Adds `node`; nothing changes if it is already here."""
        if node not in self._entries:
            self._serial += 1
            self._entries[node] = self._serial
            heapq.heappush(self._heap, (self._rank(node), self._serial, node))

    def discard(self, node: Node) -> None:
        """Takes `node` out if it is here."""
        self._entries.pop(node, None)
        if len(self._heap) > 2 * len(self._entries) + 64:
            # void entries outnumber the valid ones: O(n) work paid for by n discards
            self._heap = [e for e in self._heap if self._entries.get(e[2]) == e[1]]
            heapq.heapify(self._heap)

    def put(self, node: Node, belongs: bool) -> None:
        """Adds or discards `node`."""
        if belongs:
            self.add(node)
        else:
            self.discard(node)

    def pop(self) -> Node | None:
        """Takes out and returns the node of lowest rank, or None if there is none."""
        while self._heap:
            stored, serial, node = self._heap[0]
            if self._entries.get(node) != serial:
                heapq.heappop(self._heap)
            elif (rank := self._rank(node)) != stored:
                heapq.heapreplace(self._heap, (rank, serial, node))
            else:
                heapq.heappop(self._heap)
                del self._entries[node]
                return node
        return None

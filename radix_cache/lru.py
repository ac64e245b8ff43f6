"""Nodes in order of last use, without touching the queue on every use.

A node's `last_used` may grow while it waits here; the heap learns of it when the node comes to the
top, and only then moves it down. So adding and discarding cost O(log n), and using a node nothing.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tree import Node


class LruQueue:
    """A set of nodes that gives up the least recently used first; ties in order of entry."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Node]] = []
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
            heapq.heappush(self._heap, (node.last_used, self._serial, node))

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
        """Takes out and returns the least recently used node, or None if there is none."""
        while self._heap:
            stamp, serial, node = self._heap[0]
            if self._entries.get(node) != serial:
                heapq.heappop(self._heap)
            elif node.last_used != stamp:
                heapq.heapreplace(self._heap, (node.last_used, serial, node))
            else:
                heapq.heappop(self._heap)
                del self._entries[node]
                return node
        return None

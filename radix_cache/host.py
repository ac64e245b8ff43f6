"""Saved KV in host memory: which nodes use which blob, and how much it all weighs.

After a split two nodes refer to one blob, so its memory is counted, and freed, once.
"""

from __future__ import annotations

from .base import Blob
from .lru import LruQueue
from .tree import Node


class HostTier:
    """Blobs attached to nodes, within a budget that the cache enforces.

    Attributes:
        n_bytes: memory held by all blobs.
        droppable: nodes whose blob may go: parked leaves without a user, and live nodes.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._users: dict[Blob, int] = {}
        self._bytes_per_token = 0.0
        self.n_bytes = 0
        self.droppable = LruQueue()

    @property
    def is_over_budget(self) -> bool:
        return self.n_bytes > self._budget_bytes

    def admits(self, n_tokens: int) -> bool:
        """Whether KV of `n_tokens` could fit the budget at all, judged by what was saved before."""
        return 0 < self._budget_bytes >= n_tokens * self._bytes_per_token

    def attach(self, node: Node, blob: Blob) -> None:
        """Gives `node` a blob that covers it."""
        if blob not in self._users:
            self._users[blob] = 0
            self.n_bytes += blob.n_bytes
            self._bytes_per_token = blob.n_bytes / (blob.stop - blob.start)
        self._users[blob] += 1
        node.blob = blob

    def detach(self, node: Node) -> None:
        """Takes the blob from `node`, and out of memory if that was its last user."""
        blob, node.blob = node.blob, None
        if blob is None:
            return
        self._users[blob] -= 1
        if not self._users[blob]:
            del self._users[blob]
            self.n_bytes -= blob.n_bytes

    def check_integrity(self, nodes: list[Node]) -> None:
        """Raises AssertionError where the books differ from the blobs that `nodes` refer to."""
        users: dict[Blob, int] = {}
        for node in nodes:
            blob = node.blob
            if blob is None:
                continue
            users[blob] = users.get(blob, 0) + 1
            if not blob.start <= node.start < node.stop <= blob.stop:
                raise AssertionError(
                    f"node [{node.start}, {node.stop}) has a blob of [{blob.start}, {blob.stop})"
                )
        n_bytes = sum(blob.n_bytes for blob in users)
        if users != self._users or n_bytes != self.n_bytes:
            raise AssertionError(
                f"host memory: {len(users)} blobs of {n_bytes} bytes in the tree, "
                f"{len(self._users)} of {self.n_bytes} bytes in the books"
            )

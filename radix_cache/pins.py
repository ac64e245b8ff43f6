"""Pinned prefixes: what must not be evicted, by name.

A pinned prefix is saved in host memory as long as it is pinned, also while it is live, so that
nothing that happens to the store loses it. What all pins weigh together fits the memory's budget,
or the last one is refused: a promise that the cache could not keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .base import Blob
from .lease import Lease
from .saved import SavedTree
from .tree import Node


class PinRefused(Exception):
    """A prefix that cannot be pinned.

    Attributes:
        needed_bytes: what the pins would weigh with it.
        budget_bytes: what they may weigh: the host memory for parked prefixes.
    """

    def __init__(self, name: str, tokens: int, needed_bytes: int, budget_bytes: int) -> None:
        self.needed_bytes = needed_bytes
        self.budget_bytes = budget_bytes
        super().__init__(
            f"{name!r} of {tokens} tokens cannot be pinned: with it, pinned prefixes would take "
            f"{needed_bytes} bytes of host memory, and {budget_bytes} are there for parked "
            "prefixes; raise host_bytes, or unpin others"
        )


@dataclass(frozen=True, slots=True)
class Pin:
    """A pinned prefix.

    Attributes:
        tokens: how many tokens it has.
    """

    name: str
    namespace: str
    tokens: int


class Pins:
    """The pins of one cache.

    Attributes:
        pinned_tokens: tokens of all pinned nodes; may be read from any thread.
    """

    def __init__(self, tree: SavedTree) -> None:
        self._tree = tree
        self._pins: dict[str, tuple[Pin, Node]] = {}
        self.pinned_tokens = 0

    def __iter__(self) -> Iterator[Pin]:
        """All pins, oldest first."""
        return iter([pin for pin, _ in self._pins.values()])

    @property
    def nodes(self) -> list[Node]:
        """Where each pin ends, oldest first."""
        return [node for _, node in self._pins.values()]

    def pin(self, name: str, lease: Lease) -> Pin:
        """See `RadixCache.pin`."""
        node = lease.node
        unsaved = [step for step in self._tree.saved_path(node) if not step.blob]
        self._count(node, 1)
        try:
            self._save(name, node)
        except BaseException:
            self._release(node)
            for step in unsaved:  # first: else it would drive out what is there
                self._tree.forget_blob(step)
            self._tree.enforce_host_budget()
            raise
        pin = Pin(name, lease.namespace, node.stop)
        old = self._pins.pop(name, None)
        self._pins[name] = pin, node
        if old is not None:
            self._release(old[1])
        self._tree.enforce_host_budget()
        return pin

    def unpin(self, name: str) -> bool:
        """See `RadixCache.unpin`."""
        found = self._pins.pop(name, None)
        if found is not None:
            self._release(found[1])
            self._tree.enforce_host_budget()
        return found is not None

    def _save(self, name: str, bottom: Node) -> None:
        tree = self._tree
        for node in tree.saved_path(bottom):
            if node.pin_count == 1 or not node.blob:  # others are pinned, and so saved, already
                tree.save_own(node)
            tree.requeue(node)
        bottoms = [bottom, *(node for other, (_, node) in self._pins.items() if other != name)]
        blobs: set[Blob] = {n.blob for end in bottoms for n in tree.saved_path(end) if n.blob}
        needed, budget = sum(blob.n_bytes for blob in blobs), tree.host.budget_bytes
        if needed > budget:
            raise PinRefused(name, bottom.stop, needed, budget)

    def _release(self, bottom: Node) -> None:
        self._count(bottom, -1)
        for node in self._tree.saved_path(bottom):
            self._tree.requeue(node)

    def _count(self, bottom: Node, by: int) -> None:
        for node in bottom.ancestry():
            was_pinned = node.pin_count > 0
            node.pin_count += by
            self.pinned_tokens += len(node) * ((node.pin_count > 0) - was_pinned)

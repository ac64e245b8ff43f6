"""Saved KV outside the store: which nodes use which item of a tier, and how much it all weighs.

After a split two nodes refer to one item, so its bytes are counted, and freed, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Literal, Protocol, TypeVar

from .eviction import EvictionQueue
from .policy import Rank
from .tree import Node


class Saved(Protocol):
    """KV of positions [start, stop), wherever it is."""

    @property
    def start(self) -> int: ...

    @property
    def stop(self) -> int: ...

    @property
    def n_bytes(self) -> int: ...


ItemT = TypeVar("ItemT", bound=Saved)


class Tier(Generic[ItemT]):
    """Items attached to nodes, within a budget that the cache enforces.

    Args:
        slot: the attribute of a node that refers to its item.
        budget_bytes: the most that all items should weigh.
        rank: the order in which nodes give their items up, lowest first.
        on_unused: called with an item that its last user gave up.

    Attributes:
        n_bytes: what all items weigh.
        other_bytes: what else counts against the budget.
        droppable: nodes whose item may go.
    """

    def __init__(
        self,
        slot: Literal["blob", "file"],
        budget_bytes: int,
        rank: Callable[[Node], Rank],
        on_unused: Callable[[ItemT], None] = lambda item: None,
    ) -> None:
        self._slot = slot
        self.budget_bytes = budget_bytes
        self._on_unused = on_unused
        self._users: dict[ItemT, int] = {}
        self._bytes_per_token = 0.0
        self.n_bytes = self.other_bytes = 0
        self.droppable = EvictionQueue(rank)

    @property
    def is_over_budget(self) -> bool:
        return self.n_bytes + self.other_bytes > self.budget_bytes

    def admits(self, n_tokens: int) -> bool:
        """Whether KV of `n_tokens` could fit the budget at all, judged by what was saved before."""
        return 0 < self.budget_bytes >= n_tokens * self._bytes_per_token

    def of(self, node: Node) -> ItemT | None:
        """The item that covers `node`, or None."""
        item: ItemT | None = getattr(node, self._slot)
        return item

    def attach(self, node: Node, item: ItemT) -> None:
        """Gives `node` an item that covers it."""
        if item not in self._users:
            self._users[item] = 0
            self.n_bytes += item.n_bytes
            self._bytes_per_token = item.n_bytes / (item.stop - item.start)
        self._users[item] += 1
        setattr(node, self._slot, item)

    def detach(self, node: Node) -> None:
        """Takes the item from `node`, and out of the tier if that was its last user."""
        item = self.of(node)
        if item is None:
            return
        setattr(node, self._slot, None)
        self._users[item] -= 1
        if not self._users[item]:
            del self._users[item]
            self.n_bytes -= item.n_bytes
            self._on_unused(item)

    def check_integrity(self, nodes: list[Node]) -> None:
        """Raises AssertionError where the books differ from the items that `nodes` refer to."""
        users: dict[ItemT, int] = {}
        for node in nodes:
            item = self.of(node)
            if item is None:
                continue
            users[item] = users.get(item, 0) + 1
            if not item.start <= node.start < node.stop <= item.stop:
                raise AssertionError(
                    f"node [{node.start}, {node.stop}) has a {self._slot} of "
                    f"[{item.start}, {item.stop})"
                )
        n_bytes = sum(item.n_bytes for item in users)
        if users != self._users or n_bytes != self.n_bytes:
            raise AssertionError(
                f"{self._slot}s: {len(users)} of {n_bytes} bytes in the tree, "
                f"{len(self._users)} of {self.n_bytes} bytes in the books"
            )

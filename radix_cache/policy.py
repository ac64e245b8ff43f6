"""What is evicted first: the rank of a node, by one of five policies.

A policy notes uses on the nodes themselves (`uses`, `worth`) and ranks a node by these and by when
it was last used. A rank never falls while a node waits in a queue, which lets the queues
(`eviction.py`) learn of it lazily: a use costs O(1) per node, an eviction O(log n).

    lru         what was used longest ago; idle conversations end up here
    lfu         what was used least often; what was popular once stays for ever
    slru        what was used again outlives what was used once, by the age at which nodes go
    priority    what only requests of low priority used
    cost_aware  the least recompute cost x likelihood of reuse / bytes
"""

from __future__ import annotations

from math import log2
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from .tree import Node

Rank: TypeAlias = tuple[float, ...]
"""The lowest goes first; the later numbers break ties."""

PolicyName: TypeAlias = Literal["lru", "lfu", "slru", "priority", "cost_aware"]

DEFAULT_POLICY: PolicyName = "cost_aware"
"""Of all, it alone evaluates fewer tokens than lru on every trace of benchmarks/cache_traces.py."""


class Policy(Protocol):
    """The order of eviction. One object serves one cache."""

    def use(self, node: Node, now: float, priority: int) -> None:
        """Notes that a request of this priority, which made `node` or found it, has ended."""
        ...

    def rank(self, node: Node) -> Rank:
        """Does not fall while nobody uses the node, and grows as its `last_used` does."""
        ...

    def evicted(self, node: Node, now: float) -> None:
        """Notes that `node` has to go: out of host memory, or out of the cache."""
        ...


class Lru:
    """Least recently used."""

    def use(self, node: Node, now: float, priority: int) -> None:
        node.uses += 1

    def rank(self, node: Node) -> Rank:
        return node.last_used, 0.0

    def evicted(self, node: Node, now: float) -> None:
        """Nothing to learn."""


class Lfu(Lru):
    """Least frequently used, then least recently."""

    def rank(self, node: Node) -> Rank:
        return node.uses, node.last_used


class PriorityFirst(Lru):
    """By the highest priority of the requests that used a node, then least recently used."""

    def use(self, node: Node, now: float, priority: int) -> None:
        node.worth = max(node.worth, priority) if node.uses else priority
        node.uses += 1

    def rank(self, node: Node) -> Rank:
        return node.worth, node.last_used


class Slru(Lru):
    """Segmented LRU (Karedla et al., 1994): a protected segment for what was used again.

    The segments are bounded in time, not in space: a protected node is demoted, that is ranked with
    the newest nodes of one use, once it has been idle for the age at which those have to go.
    """

    def __init__(self) -> None:
        self._age = 0.0

    def use(self, node: Node, now: float, priority: int) -> None:
        node.uses += 1
        if node.uses > 1:
            node.worth = max(node.worth, now + self._age)

    def rank(self, node: Node) -> Rank:
        return max(node.worth, node.last_used), node.last_used

    def evicted(self, node: Node, now: float) -> None:
        age = max(now - self.rank(node)[0], 0.0)
        self._age += (age - self._age) / 64 if self._age else age


class CostAware(Lru):
    """The least recompute cost x likelihood of reuse / bytes.

    The likelihood is the number of uses, and halves with each quarter of the age at which nodes
    have to go. Bytes are the same for every token; its cost grows with its depth, because attention
    does (as Marconi weighs it: Pan et al., 2024, arXiv:2411.19379). In logarithms, that is the time
    of the last use and an advance on it:

        last_used + age / 4 * log2(uses * cost)

    Frequency is so weighed against recency as in LRFU (Lee et al., IEEE TC 50(12), 2001), with a
    half-life that the cache sets itself.

    Args:
        attention_tokens: the depth at which attention costs as much as all the rest of a token.
    """

    HALVINGS = 4

    def __init__(self, attention_tokens: float = 16384.0) -> None:
        self._attention_tokens = attention_tokens
        self._age = 0.0
        self._usual = 0.0  # log2 of the value of what goes, which advances are relative to

    def use(self, node: Node, now: float, priority: int) -> None:
        node.uses += 1
        node.worth = self._age / self.HALVINGS * (self._log_value(node) - self._usual)

    def rank(self, node: Node) -> Rank:
        return node.last_used + node.worth, node.last_used

    def evicted(self, node: Node, now: float) -> None:
        idle, value = max(now - node.last_used, 0.0), self._log_value(node)
        if not self._age:
            self._age, self._usual = idle, value
        # a night without requests is no age
        self._age += (min(idle, 2 * self._age) - self._age) / 64
        self._usual += (value - self._usual) / 64

    def _log_value(self, node: Node) -> float:
        cost = 1 + (node.start + node.stop) / 2 / self._attention_tokens
        return log2(max(node.uses, 1) * cost)


def new_policy(name: PolicyName) -> Policy:
    """A policy for one cache. Raises ValueError for an unknown name."""
    policies: dict[str, type[Policy]] = {
        "lru": Lru,
        "lfu": Lfu,
        "slru": Slru,
        "priority": PriorityFirst,
        "cost_aware": CostAware,
    }
    if name not in policies:
        known = ", ".join(policies)
        raise ValueError(f"no eviction policy {name!r}; expected one of {known}")
    return policies[name]()

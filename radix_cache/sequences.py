"""Sequence ids, which llama.cpp has few of (256): who holds each, and which are free."""

from __future__ import annotations


class SequenceIds:
    """Hands out the ids [0, n). An id is free when no lease and no node refers to it.

    Attributes:
        n_nodes: how many tree nodes are live.
    """

    def __init__(self, n: int) -> None:
        self._free = list(reversed(range(n)))
        self._node_counts = [0] * n
        self._leased = [False] * n
        self.n_nodes = 0

    @property
    def n_free(self) -> int:
        return len(self._free)

    @property
    def n_used(self) -> int:
        return len(self._node_counts) - len(self._free)

    def node_count(self, seq: int) -> int:
        """How many tree nodes are live under `seq`."""
        return self._node_counts[seq]

    def is_leased(self, seq: int) -> bool:
        return self._leased[seq]

    def take(self) -> int:
        """A free id, leased to the caller. Raises IndexError if there is none."""
        seq = self._free.pop()
        self._leased[seq] = True
        return seq

    def adopt(self, seq: int) -> None:
        """Leases an id that nodes already use."""
        self._leased[seq] = True

    def end_lease(self, seq: int) -> None:
        """The lease is over; nodes may still use the id."""
        self._leased[seq] = False

    def add_node(self, seq: int) -> None:
        self._node_counts[seq] += 1
        self.n_nodes += 1

    def drop_node(self, seq: int) -> None:
        self._node_counts[seq] -= 1
        self.n_nodes -= 1

    def free(self, seq: int) -> None:
        """Gives back an id that neither a lease nor a node uses."""
        if self._leased[seq] or self._node_counts[seq]:
            raise ValueError(
                f"sequence {seq} is in use: leased {self._leased[seq]}, "
                f"{self._node_counts[seq]} nodes"
            )
        self._free.append(seq)

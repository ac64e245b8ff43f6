"""A tree with what is saved of it: in host memory, and on disk.

Whatever is over a budget goes one tier down, in the order of an eviction policy: from memory to
disk, and from disk, or where there is none, out of the tree. What is pinned stays in memory.

What a node's blob or file stands for is the subclass's business: its edge (`saved_edges.py`), or
the whole prefix that ends there (`snapshot_tree.py`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress

import numpy as np

from .base import Blob
from .disk import DiskFile, DiskFolder, Stored
from .lease import Lease
from .policy import Policy, Rank
from .stats import CacheStats, Counters
from .tier import Tier
from .tree import Match, Node, RadixTree, Root, TokenArray


class SavedTree(ABC):
    """A tree of nodes that are live (the subclass's business), parked or stored.

    Attributes:
        host, disk: the tiers.
        folder: where files are; None without a disk.
        leases: by sequence id.
        private_tokens: tokens of leases that are not in the tree.
        parked_tokens: tokens of nodes that are saved and not live.
        stored_tokens: those of them that are only on disk.
    """

    def __init__(
        self,
        host_bytes: int,
        clock: Callable[[], float],
        folder: DiskFolder | None,
        disk_bytes: int,
        policy: Policy,
    ) -> None:
        self.policy = policy
        self.tree = RadixTree(clock)
        self.host: Tier[Blob] = Tier("blob", host_bytes, policy.rank)
        self.folder = folder
        self.disk: Tier[DiskFile] = Tier("file", disk_bytes, self.disk_rank, self._remove_file)
        self.leases: dict[int, Lease] = {}
        self.private_tokens = self.parked_tokens = self.stored_tokens = 0
        self.counters = Counters()
        self._lost: list[Node] = []
        self._wanted: dict[DiskFile, Node] = {}  # being read -> one of its nodes

    # --- what a node's item stands for -----------------------------------------------------

    @abstractmethod
    def disk_rank(self, node: Node) -> Rank:
        """The order in which files go, lowest first."""

    @abstractmethod
    def split(self, node: Node, at: int) -> Node:
        """As `RadixTree.split`."""

    @abstractmethod
    def requeue(self, node: Node) -> None:
        """Brings the queues of what may go up to date after a change to `node`."""

    @abstractmethod
    def saved_path(self, bottom: Node) -> list[Node]:
        """The nodes whose blobs together are the prefix down to `bottom`, downwards."""

    @abstractmethod
    def save_own(self, node: Node) -> None:
        """Sees to it that a live node has a blob that stands for nothing else. Raises MemoryError.

        The budget is for the caller to enforce.
        """

    @abstractmethod
    def lose(self, node: Node) -> None:
        """Gives up all that is saved of a node that is not live, and what is of no use without."""

    @abstractmethod
    def give_file(self, bottom: Node, file: DiskFile, used: float) -> bool:
        """Attaches `file`, which ends at `bottom` and was last used at `used`, to those nodes that
        it stands for and that have none; False if there are none."""

    # --- the tree --------------------------------------------------------------------------

    def end_of(self, match: Match) -> Node:
        """The node that ends where `match` does, split off if need be."""
        if match.length < match.node.stop:
            return self.split(match.node, match.length)
        return match.node

    def insert_below(self, node: Node, tokens: TokenArray) -> Node:
        """The node that ends where `tokens`, int32[n], do, made if need be.

        The first `node.stop` of them are the path to `node`.
        """
        match = self.tree.match_below(node, tokens)
        bottom = self.end_of(match)
        if match.length < len(tokens):
            bottom = self.tree.append(bottom, tokens[match.length :])
        return bottom

    def count_parked(self, node: Node, sign: int) -> None:
        """Adds a node to the books, or takes it out; nothing while it is live."""
        if node.seq < 0 and (node.blob or node.file):
            self.parked_tokens += sign * len(node)
            self.stored_tokens += sign * len(node) * (not node.blob)

    # --- from disk -------------------------------------------------------------------------

    def read(self, nodes: list[Node]) -> Blob | None:
        """Brings `nodes`, which one file covers, into host memory; None if the file is lost."""
        file = nodes[0].file
        assert file is not None
        assert self.folder is not None
        blob = None
        if self._wanted.pop(file, None):
            blob = self.folder.ahead.claim(file)
        blob = blob or self.folder.read(file)
        if blob is None:
            self._lost.append(nodes[0])
            return None
        self._bring(nodes, blob)
        return blob

    def read_ahead(self, nodes: Iterable[Node]) -> None:
        """Has the files read that alone hold what is saved of `nodes`, a path downwards."""
        if self.folder is None:
            return
        stored = dict[DiskFile, Node]()
        for node in nodes:
            file = node.file
            if file is not None and node.blob is None and node.seq < 0 and file.pending is None:
                stored[file] = node
        for file, node in stored.items():
            if file.blob_bytes <= self.host.budget_bytes and self.folder.ahead.start(file):
                self._wanted[file] = node

    def take_read(self) -> None:
        """Puts what was read ahead into host memory, where it ranks as any other."""
        if self.folder is None or not self._wanted:
            return
        while (found := self.folder.ahead.take()) is not None:
            file, blob = found
            bottom = self._wanted.pop(file)
            nodes = [n for n in bottom.ancestry() if n.file is file and not n.blob and n.seq < 0]
            if blob is not None and nodes:
                self._bring(nodes, blob)
        self.enforce_host_budget()

    def _bring(self, nodes: list[Node], blob: Blob) -> None:
        for node in nodes:
            self.count_parked(node, -1)
            self.host.attach(node, blob)
            self.count_parked(node, 1)
            self.requeue(node)
        self.counters.read_tokens += blob.stop - blob.start

    def forget_lost(self) -> None:
        """Gives up the nodes whose file was found lost."""
        while self._lost:
            self.lose(self._lost.pop())

    def adopt(self, found: list[Stored]) -> None:
        """Puts the prefixes of files, in order of their beginnings, into an empty tree."""
        assert self.folder is not None
        now, wall = self.tree.now(), time.time()
        left = []
        for stored in found:
            file, root = stored.file, self.tree.root(stored.namespace)
            match = self.tree.match_below(root, stored.tokens)
            # else what it goes on from is not there
            if match.length < file.start or not self.give_file(
                self.insert_below(root, stored.tokens), file, now - max(wall - stored.used, 0.0)
            ):
                left.append(stored)
        self.folder.leave(left)
        self.enforce_disk_budget()

    # --- budgets, and to disk --------------------------------------------------------------

    def enforce_host_budget(self) -> None:
        while self.host.is_over_budget:
            node = self.host.droppable.pop()
            if node is None:
                break
            if node.seq >= 0:
                self.forget_blob(node)
            elif self.write(node):
                self.forget_blob(node)
                self.policy.evicted(node, self.tree.now())
            else:
                self.lose(node)
        self.enforce_disk_budget()

    def forget_blob(self, node: Node) -> None:
        """Takes the blob from a node that has something else: it is live, locked, or on disk."""
        self.count_parked(node, -1)
        self.host.detach(node)
        self.count_parked(node, 1)
        self.requeue(node)

    def enforce_disk_budget(self) -> None:
        if self.folder is not None:
            self.disk.other_bytes = self.folder.other_bytes
            while self.disk.is_over_budget and self.disk.other_bytes:
                self.folder.remove_oldest_other()
                self.disk.other_bytes = self.folder.other_bytes
        while self.disk.is_over_budget:
            node = self.disk.droppable.pop()
            if node is None:
                return
            if node.seq >= 0 or node.blob:
                self.disk.detach(node)
                self.requeue(node)
            else:
                self.lose(node)

    def write(self, node: Node, *, may_wait: bool = False) -> bool:
        """Sees to it that a parked node is on disk, too; False if that cannot be.

        Nor can it be while too many writes are queued, unless it `may_wait`: on a slow disk that
        would hold up every request.
        """
        blob, folder = node.blob, self.folder
        if _is_stored(node):
            return True
        if blob is None or folder is None or not self._may_write(may_wait):
            return False
        if memoryview(blob.data).nbytes > self.disk.budget_bytes:
            return False
        bottom = self.blob_chain(node)[-1]
        path = bottom.path()
        root = path[0]
        assert isinstance(root, Root)
        tokens = np.concatenate([step.tokens for step in path])
        chain = [step for step in reversed(path) if step.blob is blob]
        for step in chain:  # first: an old file may go by the new one's name
            self.disk.detach(step)
        file = folder.write(root.namespace, tokens, blob)
        for step in chain:
            self.disk.attach(step, file)
            self.requeue(step)
        self.counters.written_tokens += bottom.stop - blob.start
        return True

    def write_live(self, node: Node, *, may_wait: bool = False) -> bool:
        """As `write`, for a node that may be live: it takes host memory while it is copied."""
        if _is_stored(node):
            return True
        if not self._may_write(may_wait):
            return False  # copying it out would be for nothing
        had_blob, is_written = node.blob is not None, False
        with suppress(MemoryError):
            if node.seq >= 0:
                self.save_own(node)
            is_written = self.write(node, may_wait=may_wait)
        if not had_blob:  # host memory is for what is not live
            self.forget_blob(node)
        return is_written

    def write_all(self) -> None:
        """Writes what is live or parked, highest rank first, as far as the budget goes, and ends
        the folder. For the end of a process: it may take long."""
        if self.folder is None:
            return
        saved = [node for node in self.tree.nodes() if node.seq >= 0 or node.blob or node.file]
        for node in sorted(saved, key=self.disk_rank, reverse=True):
            if self.write_live(node, may_wait=True):
                self.enforce_disk_budget()
                if node.file is None:  # all that is left ranks still lower
                    break
        self.folder.close()

    def _may_write(self, may_wait: bool) -> bool:
        folder = self.folder
        return folder is not None and folder.takes_writes and (may_wait or not folder.would_wait)

    @staticmethod
    def blob_chain(node: Node) -> list[Node]:
        """A parked `node` and the nodes below it that share its blob, downwards."""
        chain, blob = [node], node.blob
        assert blob is not None
        while chain[-1].stop < blob.stop:  # else nobody does, however many children there are
            below = next((c for c in chain[-1].children.values() if c.blob is blob), None)
            if below is None:
                break
            chain.append(below)
        return chain

    def _remove_file(self, file: DiskFile) -> None:
        assert self.folder is not None
        self.folder.remove(file)

    # --- insight ---------------------------------------------------------------------------

    def stats_with(
        self,
        *,
        live_tokens: int,
        locked_tokens: int,
        free_cells: int,
        sequences_used: int,
        sequences_free: int,
    ) -> CacheStats:
        """The state and the totals, given what the subclass knows of the store."""
        return CacheStats(
            live_tokens=live_tokens,
            locked_tokens=locked_tokens,
            private_tokens=self.private_tokens,
            free_cells=free_cells,
            parked_tokens=self.parked_tokens,
            stored_tokens=self.stored_tokens,
            host_bytes=self.host.n_bytes,
            disk_bytes=self.disk.n_bytes,
            nodes=len(self.tree),
            sequences_used=sequences_used,
            sequences_free=sequences_free,
            queried_tokens_total=self.counters.queried_tokens,
            hit_tokens_total=self.counters.hit_tokens,
            parked_tokens_total=self.counters.parked_tokens,
            restored_tokens_total=self.counters.restored_tokens,
            written_tokens_total=self.counters.written_tokens,
            read_tokens_total=self.counters.read_tokens,
            evicted_tokens_total=self.counters.evicted_tokens,
        )


def _is_stored(node: Node) -> bool:
    return node.file is not None and not node.file.is_lost

"""The tree with what is saved of it: in host memory, and on disk.

    parked  the node's own KV is saved in `node.blob`
    stored  the node's own KV is saved in `node.file` alone

Whatever is over a budget goes one tier down, in the order of an eviction policy: from memory to
disk, and from disk, or where there is none, out of the tree. What is pinned stays in memory.
`tiers.py` adds the store's own cells.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from .base import Blob
from .disk import DiskFile, DiskFolder, Stored
from .policy import Policy, Rank
from .stats import Counters
from .tier import Tier
from .tree import Match, Node, RadixTree, Root


class SavedTree:
    """A tree of nodes that are live (the subclass's business), parked or stored.

    Attributes:
        host, disk: the tiers.
        folder: where files are; None without a disk.
        parked_tokens: tokens of nodes that are not live.
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
        self.parked_tokens = self.stored_tokens = 0
        self.counters = Counters()
        self._lost: list[Node] = []
        self._wanted: dict[DiskFile, Node] = {}  # being read -> one of its nodes

    def disk_rank(self, node: Node) -> Rank:
        """By the policy, but no node before those below it, and of equals the deepest first.

        A file without those of the nodes above it is of no use to the next process.
        """
        return *min(self.policy.rank(n) for n in node.ancestry() if n.parent), -node.stop

    def end_of(self, match: Match) -> Node:
        """The node that ends where `match` does, split off if need be."""
        if match.length < match.node.stop:
            return self.split(match.node, match.length)
        return match.node

    def split(self, node: Node, at: int) -> Node:
        """As `RadixTree.split`."""
        upper = self.tree.split(node, at)
        if upper.blob is not None:
            self.host.attach(upper, upper.blob)
        if upper.file is not None:
            self.disk.attach(upper, upper.file)
        self.requeue(upper)
        return upper

    def requeue(self, node: Node) -> None:
        """Brings the queues of what may go up to date after a change to `node`."""
        is_live, is_free = node.seq >= 0, not node.lock_count
        is_leaf = is_free and not node.children
        # what goes to disk stays in the tree, so that its children may, too
        may_leave_memory = is_leaf or (is_free and self.folder is not None)
        is_spare = bool(node.blob) and not node.pin_count and (is_live or may_leave_memory)
        self.host.droppable.put(node, is_spare)
        is_spare = bool(node.file) and (is_live or bool(node.blob) or is_leaf)
        self.disk.droppable.put(node, is_spare)

    def count_parked(self, node: Node, sign: int) -> None:
        """Adds a node that is not live to the books, or takes it out."""
        if node.blob or node.file:
            self.parked_tokens += sign * len(node)
            self.stored_tokens += sign * len(node) * (not node.blob)

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

    def expect(self, match: Match) -> None:
        """A request waits that will find this: it counts as used now, and what of it is only on
        disk is read ahead.

        Belady's rule evicts what is needed last. Of what is needed at all, waiting requests are all
        that is known; so it goes last.
        """
        now, stored = self.tree.now(), dict[DiskFile, Node]()
        for node in match.node.ancestry():
            node.last_used = now
            file = node.file
            if file is not None and node.blob is None and node.seq < 0 and file.pending is None:
                stored.setdefault(file, node)
        if self.folder is not None and stored:
            for file, node in reversed(stored.items()):
                if self.host.admits(file.stop - file.start) and self.folder.ahead.start(file):
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
            self.counters.read_tokens += len(node)

    def forget_lost(self) -> None:
        """Drops the nodes whose file was found lost, and what is below them."""
        while self._lost:
            self.drop_subtree(self._lost.pop())

    def drop(self, leaf: Node) -> None:
        """Takes a leaf that is neither locked nor live out of the tree."""
        parent = leaf.parent
        assert parent is not None
        self.count_parked(leaf, -1)
        self.host.detach(leaf)
        self.disk.detach(leaf)
        self.requeue(leaf)
        self.tree.remove(leaf)
        self.requeue(parent)
        self.counters.evicted_tokens += len(leaf)
        self.policy.evicted(leaf, self.tree.now())

    def drop_subtree(self, node: Node) -> None:
        for step in reversed(list(node.subtree())):
            self.drop(step)

    def enforce_host_budget(self) -> None:
        while self.host.is_over_budget:
            node = self.host.droppable.pop()
            if node is None:
                break
            if node.seq >= 0:
                self.host.detach(node)
                self.requeue(node)
            elif self.write(node):
                self.count_parked(node, -1)
                self.host.detach(node)
                self.count_parked(node, 1)
                self.requeue(node)
                self.policy.evicted(node, self.tree.now())
            else:
                self.drop_subtree(node)
        self.enforce_disk_budget()

    def enforce_disk_budget(self) -> None:
        while self.disk.is_over_budget:
            if self.folder is not None and self.folder.other_bytes:
                self.folder.remove_oldest_other()
                self.disk.other_bytes = self.folder.other_bytes
                continue
            node = self.disk.droppable.pop()
            if node is None:
                return
            if node.seq >= 0 or node.blob:
                self.disk.detach(node)
                self.requeue(node)
            else:
                self.drop(node)

    def write(self, node: Node, *, may_wait: bool = False) -> bool:
        """Sees to it that a parked node is on disk, too; False if that cannot be.

        Nor can it be while too many writes are queued, unless it `may_wait`: on a slow disk that
        would hold up every request.
        """
        blob, folder = node.blob, self.folder
        if node.file is not None and not node.file.is_lost:
            return True
        if blob is None or folder is None or not folder.takes_writes:
            return False
        if (folder.would_wait and not may_wait) or not self.disk.admits(len(node)):
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

    def adopt(self, found: list[Stored]) -> None:
        """Puts the prefixes of files, in order of their beginnings, into an empty tree."""
        assert self.folder is not None
        now, wall = self.tree.now(), time.time()
        for stored in found:
            file = stored.file
            match = self.tree.match_below(self.tree.root(stored.namespace), stored.tokens)
            if match.length < file.start:  # what it goes on from is gone
                self.folder.remove(file)
                continue
            bottom = self.end_of(match)
            if match.length < len(stored.tokens):
                bottom = self.tree.append(bottom, stored.tokens[match.length :])
            used = now - max(wall - stored.used, 0.0)
            is_used = False
            for step in bottom.ancestry():
                if step.file is None and step.start >= file.start and step.parent is not None:
                    step.last_used = used
                    self.disk.attach(step, file)
                    self.count_parked(step, 1)
                    is_used = True
                step.last_used = max(step.last_used, used)
                self.requeue(step)
            if not is_used:
                self.folder.remove(file)
        self.disk.other_bytes = self.folder.other_bytes
        self.enforce_disk_budget()

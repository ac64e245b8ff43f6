"""A tree whose edges are saved one by one, for stores whose sequences can be cut anywhere.

    parked  the node's own KV is saved in `node.blob`
    stored  the node's own KV is saved in `node.file` alone

A node is of no use without those above it, so they go after it. `tiers.py` adds the store's own
cells.
"""

from __future__ import annotations

from .disk import DiskFile
from .policy import Rank
from .saved import SavedTree
from .tree import Match, Node


class SavedEdges(SavedTree):
    """A `SavedTree` where a blob or a file covers the edge of each node that has it."""

    def disk_rank(self, node: Node) -> Rank:
        """By the policy, but no node before those below it, and of equals the deepest first.

        A file without those of the nodes above it is of no use to the next process.
        """
        return *min(self.policy.rank(n) for n in node.ancestry() if n.parent), -node.stop

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

    def saved_path(self, bottom: Node) -> list[Node]:
        return bottom.path()[1:]

    def expect(self, match: Match) -> None:
        """A request waits that will find this: it counts as used now, and what of it is only on
        disk is read ahead.

        Belady's rule evicts what is needed last. Of what is needed at all, waiting requests are all
        that is known; so it goes last.
        """
        path, now = match.node.path(), self.tree.now()
        for node in path:
            node.last_used = now
        self.read_ahead(path)

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

    def lose(self, node: Node) -> None:
        """Takes `node` and all that goes on from it out of the tree; none of it is live."""
        for step in reversed(list(node.subtree())):
            self.drop(step)

    def give_file(self, bottom: Node, file: DiskFile, used: float) -> bool:
        is_used = False
        for step in bottom.ancestry():
            if step.file is None and step.start >= file.start and step.parent is not None:
                step.last_used = used
                self.disk.attach(step, file)
                self.count_parked(step, 1)
                is_used = True
            step.last_used = max(step.last_used, used)
            self.requeue(step)
        return is_used

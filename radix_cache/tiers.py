"""The radix tree with its KV: live in the store, parked in host memory, or stored on disk.

Idle cells slow every decode step and cost little to bring back (about a thousandth of evaluating
them again), so there are tiers:

    live    the path down to the node is in the store, under sequence `node.seq`
    parked  the node's own KV is saved in `node.blob`
    stored  the node's own KV is saved in `node.file` alone

    root ─ live ─┬─ live ── live        leaves of the live part are parked, lowest rank first,
                 ├─ parked ── parked    parked nodes are stored, or, without a disk, dropped,
                 └─ parked ── stored    and so are stored leaves at last

Invariants
- A live node's parent is live; a node that is neither live nor saved is not in the tree.
- All nodes live under one sequence lie on one path, and every sequence that spans a live node
  shares the same cells. So cells in use = live tokens + private tokens of leases, exactly.
- A sequence that no lease holds ends at an unlocked live node without live children. So sequences
  in use = leases + idle live leaves, however many turns a conversation has.
- A locked node is live (but for an instant inside `RadixCache.acquire`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import groupby

from .base import Blob, CacheFull, KVStore
from .disk import DiskFolder
from .eviction import EvictionQueue
from .lease import Lease
from .policy import Policy
from .saved_edges import SavedEdges
from .sequences import SequenceIds
from .stats import CacheStats
from .tree import Node


class TieredTree(SavedEdges):
    """Moves nodes between the tiers and keeps the books. Leases are the business of `RadixCache`.

    Attributes:
        live_leaves: unlocked live nodes without live children: those that may be parked.
        live_tokens: tokens of live nodes.
        idle_tokens: tokens of unlocked live nodes.
    """

    def __init__(
        self,
        store: KVStore,
        host_bytes: int,
        clock: Callable[[], float],
        folder: DiskFolder | None = None,
        disk_bytes: int = 0,
        *,
        policy: Policy,
    ) -> None:
        super().__init__(host_bytes, clock, folder, disk_bytes, policy)
        self.store = store
        self.scratch = store.n_seqs - 1
        self.ids = SequenceIds(store.n_seqs - 1)
        self.live_leaves = EvictionQueue(policy.rank)
        self.live_tokens = self.idle_tokens = 0

    @property
    def free_cells(self) -> int:
        """Cells of the store that nothing holds."""
        return self.store.n_cells - self.live_tokens - self.private_tokens

    def lock(self, node: Node) -> None:
        """As `RadixTree.lock`, for a node that is live."""
        self.idle_tokens -= self.tree.lock(node)
        self.requeue(node)

    def unlock(self, node: Node) -> None:
        """As `RadixTree.unlock`, for a node that is live."""
        self.idle_tokens += self.tree.unlock(node)
        self.requeue(node)

    def split(self, node: Node, at: int) -> Node:
        """As `RadixTree.split`."""
        upper = super().split(node, at)
        if upper.seq >= 0:
            self.ids.add_node(upper.seq)
        return upper

    def requeue(self, node: Node) -> None:
        """Brings every queue up to date after a change to `node`."""
        super().requeue(node)
        is_idle = node.seq >= 0 and not node.lock_count
        self.live_leaves.put(node, is_idle and not node.live_children)

    def take_sequence(self, node: Node) -> int:
        """A leased sequence that holds exactly the path down to `node`, which must be locked."""
        while True:
            if node.seq >= 0 and not node.live_children and not self.ids.is_leased(node.seq):
                self.ids.adopt(node.seq)
                return node.seq
            if self.ids.n_free:
                seq = self.ids.take()
                if node.seq >= 0:
                    self.store.copy(node.seq, seq, 0, node.stop)
                return seq
            # each unlocked live leaf has a sequence that parking it, or it and its parents, frees
            if not self.park_oldest():
                raise CacheFull(f"all {self.ids.n_used} sequences are on loan")

    def settle(self, seq: int, node: Node) -> bool:
        """Frees `seq` if no lease needs it and other sequences hold all its nodes.

        `node` is the deepest live node under `seq`, or below it. Returns whether `seq` is free now.
        """
        if self.ids.is_leased(seq):
            return False
        if self.ids.node_count(seq):
            deepest = next(step for step in node.ancestry() if step.seq == seq)
            heir = self._other_sequence(deepest)
            if heir is None:
                return False
            for step in deepest.ancestry():
                if step.seq == seq:
                    step.seq = heir
                    self.ids.drop_node(seq)
                    self.ids.add_node(heir)
                if not self.ids.node_count(seq):
                    break
        self.store.remove(seq, 0, -1)
        self.ids.free(seq)
        return True

    def _other_sequence(self, node: Node) -> int | None:
        """A sequence other than `node.seq` that spans `node`, if its own is needed no longer."""
        for child in node.live_children.values():
            return child.seq
        if node.lock_count:
            for lease in self.leases.values():
                if lease.node is node:
                    return lease.seq
        return None

    def make_live(self, node: Node, seq: int) -> None:
        """Notes that the cells of `node` are in the store, under `seq` as its parent's are."""
        assert node.parent is not None
        self.count_parked(node, -1)
        node.seq = seq
        node.parent.live_children[node.first_token] = node
        self.ids.add_node(seq)
        self.live_tokens += len(node)
        if not node.lock_count:
            self.idle_tokens += len(node)
        self.requeue(node)
        self.requeue(node.parent)

    def join(self, lease: Lease, bottom: Node) -> None:
        """Moves the end of the lease's committed part down to `bottom`, whose tokens it holds.

        Live nodes on the way replace the lease's own cells; the others become live with them.
        """
        top, seq = lease.node, lease.seq
        added = bottom.path()[len(top.path()) :]
        shared = [node for node in added if node.seq >= 0]
        superseded = -1  # sequence of an idle leaf that the lease's own sequence now spans
        if shared:
            last = shared[-1]
            self.store.remove(seq, top.stop, last.stop)
            self.store.copy(last.seq, seq, top.stop, last.stop)
            superseded = -1 if last.live_children else last.seq
        for node in added[len(shared) :]:
            self.make_live(node, seq)
        self.move(lease, bottom)
        for node in added:
            self.requeue(node)
        if superseded >= 0:
            self.settle(superseded, bottom)

    def move(self, lease: Lease, node: Node) -> None:
        """Moves the lease's lock to `node`, which must be live under the lease's path."""
        self.lock(node)
        self.unlock(lease.node)
        lease.node = node

    def retire(self, node: Node) -> None:
        """Takes an unlocked live leaf out of the store. It is left parked, or empty.

        A node that is not live is left as it is.
        """
        if node.seq < 0:
            return
        assert node.parent is not None
        seq, node.seq = node.seq, -1
        del node.parent.live_children[node.first_token]
        self.ids.drop_node(seq)
        self.live_tokens -= len(node)
        self.idle_tokens -= len(node)
        self.count_parked(node, 1)
        if not self.settle(seq, node.parent):
            self.store.remove(seq, node.start, -1)
        self.requeue(node)
        self.requeue(node.parent)

    def reserve(self, n_cells: int) -> bool:
        """See `RadixCache.reserve`."""
        if n_cells > self.free_cells + self.idle_tokens:
            return False
        while self.free_cells < n_cells and self.park_oldest():
            pass
        return self.free_cells >= n_cells

    def park_oldest(self) -> bool:
        """Moves the live leaf of lowest rank to host memory, or forgets it where that is full.

        False if there is none.
        """
        node = self.live_leaves.pop()
        if node is None:
            return False
        is_saved = node.blob is not None and (node.pin_count or _is_own(node.blob, node))
        if not is_saved and self.host.admits(len(node)):
            # without memory for it the node is forgotten; evaluating it again is always correct
            with suppress(MemoryError):
                blob = self._save(node)
                self.host.detach(node)
                self.host.attach(node, blob)
        self.retire(node)
        if node.blob is not None:
            self.counters.parked_tokens += len(node)
        elif node.file is None:
            self.lose(node)
        self.enforce_host_budget()
        return True

    def save_own(self, node: Node) -> None:
        """Sees to it that a live node has a blob of its own. Raises MemoryError.

        The budget is for the caller to enforce.
        """
        if node.blob is None or not _is_own(node.blob, node):
            blob = self.save_range(node.seq, node.start, node.stop)
            self.host.detach(node)
            self.host.attach(node, blob)
        self.requeue(node)

    def write_through(self, bottom: Node) -> None:
        """Writes the live path down to `bottom` to disk as far as it is not there.

        What the disk cannot take now is left for the next time.
        """
        for node in bottom.path()[1:]:
            if not self.write_live(node):
                break
        self.enforce_host_budget()

    def _save(self, node: Node) -> Blob:
        # an unlocked live leaf is all that its sequence holds, but for the path above it
        if node.start == 0:
            return self.store.save(node.seq, 0, node.stop)
        return self.save_range(node.seq, node.start, node.stop)

    def save_range(self, seq: int, start: int, stop: int) -> Blob:
        """Positions [start, stop) of a sequence, copied into host memory."""
        self.store.copy(seq, self.scratch, start, stop)
        try:
            return self.store.save(self.scratch, start, stop)
        finally:
            self.store.remove(self.scratch, 0, -1)

    def restore(self, lease: Lease, parked: list[Node]) -> None:
        """Loads `parked`, the path below the lease's node, into its sequence as far as they fit."""
        for _, group in groupby(parked, key=lambda node: node.blob or node.file):
            nodes = list(group)
            start, stop = nodes[0].start, nodes[-1].stop
            blob = nodes[0].blob or self.read(nodes)
            if blob is None or not self._load(blob, lease.seq, nodes):
                break
            for node in nodes:
                self.make_live(node, lease.seq)
            if stop < blob.stop:
                self._give_up(blob, nodes[-1])
            self.counters.restored_tokens += stop - start
            self.move(lease, nodes[-1])
        self.enforce_host_budget()

    def _load(self, blob: Blob, seq: int, nodes: list[Node]) -> bool:
        """Puts the part of `blob` that covers `nodes` into `seq`.

        False if the whole blob does not fit for now.
        """
        if not self.reserve(blob.stop - blob.start):
            return False
        try:
            self.store.load(blob, self.scratch)
            self.store.copy(self.scratch, seq, nodes[0].start, nodes[-1].stop)
            self._cut(nodes[-1])
        except CacheFull:
            return False
        finally:
            self.store.remove(self.scratch, 0, -1)
        return True

    def _cut(self, last: Node) -> None:
        """Saves what follows `last` in its blob, which scratch holds whole, as another blob.

        Else the memory of `last` would be held as long as the rest is parked.
        """
        rest = self.blob_chain(last)[1:]
        if not rest or rest[0].pin_count:
            return
        self.store.remove(self.scratch, 0, last.stop)
        assert last.blob is not None
        if rest[-1].stop < last.blob.stop:
            self.store.remove(self.scratch, rest[-1].stop, -1)
        with suppress(MemoryError):
            blob = self.store.save(self.scratch, last.stop, rest[-1].stop)
            for node in rest:
                self.host.detach(node)
                self.host.attach(node, blob)

    def _give_up(self, blob: Blob, last: Node) -> None:
        """Takes `blob` from `last` and the nodes above it, which are live, unless pinned."""
        for node in last.ancestry():
            if node.blob is not blob or node.pin_count:
                break
            self.host.detach(node)
            self.requeue(node)

    def forget_live(self) -> None:
        """After the store has lost every cell: leases are void, and what was saved stays."""
        for lease in self.leases.values():
            lease.seq = -1
        self.leases.clear()
        self.ids = SequenceIds(self.store.n_seqs - 1)
        self.tree.unlock_all()
        nodes = list(self.tree.nodes())
        for node in nodes:
            assert node.parent is not None
            node.parent.live_children.clear()
            if node.seq >= 0:
                node.seq = -1
                self.count_parked(node, 1)
        self.live_tokens = self.idle_tokens = self.private_tokens = 0
        for node in reversed(nodes):
            if not (node.blob or node.file):
                self.lose(node)
        for node in self.tree.nodes():
            self.requeue(node)

    def stats(self) -> CacheStats:
        """See `RadixCache.stats`."""
        return self.stats_with(
            live_tokens=self.live_tokens,
            locked_tokens=self.live_tokens - self.idle_tokens,
            free_cells=self.free_cells,
            sequences_used=self.ids.n_used,
            sequences_free=self.ids.n_free,
        )


def _is_own(blob: Blob, node: Node) -> bool:
    """Whether `blob` covers nothing but `node`, so that its memory is freed with the node.

    After a split it covers more. The parts get blobs of their own when they are parked again.
    """
    return (blob.start, blob.stop) == (node.start, node.stop)

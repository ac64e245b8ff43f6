"""A tree with snapshots of whole sequences: held in the store, parked in memory, stored on disk.

    held    sequence `node.seq` ends where the node does, and is no lease's
    parked  the whole prefix down to the node is saved in `node.blob`
    stored  it is saved in `node.file` alone

A node needs no snapshot, and none needs that of another: any may go at any time, by its own last
use, and what is left of use to nobody is pruned.

The price is that nothing saved is shared. A blob or file has the state, whatever its length, and in
hybrid models the KV of all its tokens: n snapshots along one conversation take n states, and up to
n times its KV. So host memory and disk hold fewer conversations than of a model whose memory can be
cut; in the store copies share their cells.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from contextlib import suppress

from .base import CacheFull, KVStore
from .disk import DiskFile, DiskFolder
from .eviction import EvictionQueue
from .policy import Lru, Rank
from .saved import SavedTree
from .shared_cells import SharedCells
from .stats import CacheStats
from .tree import Node


class OwnUse(Lru):
    """Least recently used, going by the very snapshot: uses further down its path are none."""

    def use(self, node: Node, now: float, priority: int) -> None:
        node.worth = now

    def rank(self, node: Node) -> Rank:
        return node.worth, 0.0


class SnapshotTree(SavedTree):
    """Moves snapshots between the tiers. Leases are the business of `SnapshotCache`.

    Attributes:
        cells: which cells the sequences share.
        ids: sequence ids that nobody has, sorted.
        held: nodes with a sequence.
    """

    def __init__(
        self,
        store: KVStore,
        host_bytes: int,
        clock: Callable[[], float],
        folder: DiskFolder | None = None,
        disk_bytes: int = 0,
    ) -> None:
        super().__init__(host_bytes, clock, folder, disk_bytes, OwnUse())
        self.store = store
        self.cells = SharedCells()
        self.ids = list(range(store.n_seqs))
        self.held = EvictionQueue(self.policy.rank)

    # --- what a node's item stands for -----------------------------------------------------

    def disk_rank(self, node: Node) -> Rank:
        return self.policy.rank(node)

    def split(self, node: Node, at: int) -> Node:
        """As `RadixTree.split`; the snapshot is the lower part's."""
        self.count_parked(node, -1)
        upper = self.tree.split(node, at)
        assert upper.parent is not None
        upper.seq, upper.blob, upper.file = -1, None, None
        upper.parent.live_children.clear()
        upper.live_children.clear()
        self.count_parked(node, 1)
        return upper

    def requeue(self, node: Node) -> None:
        self.held.put(node, node.seq >= 0)
        self.host.droppable.put(node, bool(node.blob) and not self.is_pinned(node))
        self.disk.droppable.put(node, bool(node.file))

    def saved_path(self, bottom: Node) -> list[Node]:
        return [bottom]

    def save_own(self, node: Node) -> None:
        """As in `SavedTree`, for a node that some sequence ends at, be it held or on loan."""
        if node.blob is None:
            blob = self.store.save(self._sequence_of(node), 0, node.stop)
            self.count_parked(node, -1)
            self.host.attach(node, blob)
            self.count_parked(node, 1)
        self.requeue(node)

    def lose(self, node: Node) -> None:
        self.count_parked(node, -1)
        self.host.detach(node)
        self.disk.detach(node)
        self.requeue(node)
        self.prune(node)

    def give_file(self, bottom: Node, file: DiskFile, used: float) -> bool:
        if bottom.file is not None:
            return False
        bottom.worth = used
        self.disk.attach(bottom, file)
        self.count_parked(bottom, 1)
        self.requeue(bottom)
        return True

    @staticmethod
    def is_pinned(node: Node) -> bool:
        """Whether a pin ends at the very node."""
        return node.pin_count > sum(child.pin_count for child in node.children.values())

    # --- finding ---------------------------------------------------------------------------

    @staticmethod
    def has_snapshot(node: Node) -> bool:
        """Whether there is one in some tier; a root is one of nothing."""
        return SnapshotTree.is_at_hand(node) or node.file is not None

    @staticmethod
    def is_at_hand(node: Node) -> bool:
        """Whether there is one that needs no reading."""
        return node.seq >= 0 or node.blob is not None or node.parent is None

    def deepest(self, node: Node, depth: int) -> Node:
        """The deepest node with a snapshot at or above `node`, at most `depth` tokens deep."""
        return next(
            step for step in node.ancestry() if step.stop <= depth and self.has_snapshot(step)
        )

    def use(self, node: Node) -> None:
        """Notes that the snapshot of `node` is used now."""
        self.policy.use(node, self.tree.now(), 0)

    def _sequence_of(self, node: Node) -> int:
        if node.seq >= 0:
            return node.seq
        return next(
            seq for seq, lease in self.leases.items() if lease.node is node and not lease.private
        )

    # --- sequences -------------------------------------------------------------------------

    @property
    def free_cells(self) -> int:
        """Cells of the store that nothing holds."""
        return self.store.n_cells - self.cells.used

    def free_an_id(self) -> bool:
        """Whether an id is free, if need be by parking the least recently used snapshot."""
        return bool(self.ids) or self.park_oldest()

    def free(self, seq: int) -> None:
        """Gives up a sequence with all its cells."""
        self.store.remove(seq, 0, -1)
        self.cells.close(seq)
        insort(self.ids, seq)

    def start(self, seq: int, node: Node, depth: int) -> Node:
        """Fills `seq` with the deepest snapshot at or above `node`, at most `depth` tokens deep,
        that fits the store; returns its node."""
        while True:
            node = self.deepest(node, depth)
            if node.parent is None:
                self.cells.open(seq, locked=True)
                return node
            if node.seq >= 0:
                self.store.copy(node.seq, seq, 0, node.stop)
                self.cells.copy(node.seq, seq, locked=True)
                return node
            if self._load(node, seq):
                return node
            depth = node.stop - 1

    def _load(self, node: Node, seq: int) -> bool:
        if not self.reserve(node.stop):
            return False
        blob = node.blob or (self.read([node]) if node.file is not None else None)
        if blob is None:
            return False
        try:
            self.store.load(blob, seq)
        except CacheFull:
            self.store.remove(seq, 0, -1)
            return False
        self.cells.open(seq, blob.stop, locked=True)
        self.counters.restored_tokens += blob.stop
        if self.ids:  # the next request for it copies instead of loading
            self._hold(node, seq)
        return True

    def keep(self, node: Node, seq: int) -> None:
        """Takes a snapshot of `seq`, a lease's sequence that ends at `node` and goes on."""
        self.use(node)
        if self.free_an_id():
            self._hold(node, seq)
        else:
            self._park(node)
            self.enforce_host_budget()

    def settle(self, node: Node, seq: int) -> None:
        """Makes `seq`, a sequence that ends at `node` and was a lease's, the snapshot of `node`."""
        if self.ids:
            self._hold(node, seq)
            self.free(seq)
        else:
            self.cells.unlock(seq)
            self._give_sequence(node, seq)

    def _hold(self, node: Node, source: int) -> None:
        # the highest id: those of leases should be low and adjacent
        seq = self.ids.pop()
        self.store.copy(source, seq, 0, node.stop)
        self.cells.copy(source, seq, locked=False)
        self._give_sequence(node, seq)

    def _give_sequence(self, node: Node, seq: int) -> None:
        self.count_parked(node, -1)
        node.seq = seq
        self.requeue(node)

    def let_go(self, node: Node) -> None:
        """Takes the sequence from a node that is held."""
        seq, node.seq = node.seq, -1
        self.count_parked(node, 1)
        self.requeue(node)
        self.free(seq)

    # --- between the tiers -----------------------------------------------------------------

    def reserve(self, n_cells: int) -> bool:
        """See `SnapshotCache.reserve`."""
        if n_cells > self.store.n_cells - self.cells.locked:
            return False
        while self.free_cells < n_cells and self.park_oldest():
            pass
        return self.free_cells >= n_cells

    def park_oldest(self) -> bool:
        """Moves the least recently used held snapshot to host memory, or forgets it where that is
        full. False if none is held."""
        node = self.held.pop()
        if node is None:
            return False
        self._park(node)
        self.let_go(node)
        if node.blob is not None:
            self.counters.parked_tokens += node.stop
        self.prune(node)
        self.enforce_host_budget()
        return True

    def _park(self, node: Node) -> None:
        if not self.host.budget_bytes and self.folder is None:
            return
        # without memory for it the snapshot is lost; evaluating it again is always correct
        with suppress(MemoryError):
            self.save_own(node)
        if node.blob is not None and node.blob.n_bytes > self.host.budget_bytes:
            self.write(node)  # at once: it would drive all others out of memory, and follow them
            self.forget_blob(node)

    def write_through(self, bottom: Node) -> None:
        """Writes the snapshots down to `bottom` that are at hand to disk, if they are not there.

        What the disk cannot take now is left for the next time.
        """
        for node in bottom.path()[1:]:
            if self.is_at_hand(node) and not self.write_live(node):
                break
        self.enforce_host_budget()

    def prune(self, node: Node) -> None:
        """Takes `node` and its parents out of the tree, up to what is of use."""
        step: Node | None = node
        while step is not None and step.parent is not None:
            if step.children or step.lock_count or self.has_snapshot(step):
                return
            parent = step.parent
            self.tree.remove(step)
            self.counters.evicted_tokens += len(step)
            step = parent

    def forget_live(self) -> None:
        """After the store has lost every cell: leases are void, and what was saved stays."""
        for lease in self.leases.values():
            lease.seq = -1
        self.leases.clear()
        self.private_tokens = 0
        self.tree.unlock_all()
        self.cells = SharedCells()
        self.ids = list(range(self.store.n_seqs))
        nodes = list(self.tree.nodes())
        for node in nodes:
            if node.seq >= 0:
                node.seq = -1
                self.count_parked(node, 1)
                self.requeue(node)
        for node in reversed(nodes):  # children before parents
            self.prune(node)

    def clear(self, namespace: str | None) -> None:
        """See `SnapshotCache.clear`."""
        for node in reversed(list(self.tree.nodes(namespace))):
            if not self.is_pinned(node):
                if node.seq >= 0:
                    self.let_go(node)
                self.lose(node)

    def stats(self) -> CacheStats:
        """See `SnapshotCache.stats`."""
        return self.stats_with(
            live_tokens=self.cells.used - self.private_tokens,
            locked_tokens=self.cells.locked - self.private_tokens,
            free_cells=self.free_cells,
            sequences_used=self.store.n_seqs - len(self.ids),
            sequences_free=len(self.ids),
        )

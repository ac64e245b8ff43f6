"""The prefix cache of models whose memory cannot be cut: recurrent and hybrid ones.

Such a model keeps a state that stands for all tokens so far. It exists where evaluation stopped and
nowhere else: no part of a sequence can be copied, trimmed or saved, only the whole. So the tree of
tokens holds *snapshots* at some of its nodes, each a whole sequence: held in the store under an id
of its own (a copy moves no data there), or parked in host memory. A match ends at the deepest
snapshot on its path.

    root ── "You are a" ──┬── " judge" (snapshot)
            (snapshot)    └── " poet"  ── ... (snapshot)

A state is large and long prompts have many tokens, so snapshots are taken where they are likely to
be used again (Marconi, Pan et al., 2024, arXiv:2411.19379): where a request ends, where its prompt
ends, and where its tokens leave what the tree has seen. The last is known when a second request
comes by: it stops there (`next_stop`), so that the third finds a snapshot.
"""

from __future__ import annotations

import time
from bisect import insort
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress

from .base import Blob, CacheFull, KVStore
from .lease import Lease
from .respell import Pieces, respelled
from .shared_cells import SharedCells
from .stats import CacheStats, Counters
from .tree import Node, RadixTree, TokenArray, Tokens, as_token_array


class SnapshotCache:
    """Implements `PrefixCache` on whole sequences of a store. Not thread-safe.

    Of the tree's nodes, `seq` is here the sequence that holds the node's snapshot, or -1, and
    `blob` the whole prefix in host memory, or None.

    Args:
        store: the cache is its only user, but for the cells that lease holders write.
        host_bytes: most host memory for parked snapshots; 0 turns parking off.
        idle_cells: how many cells of unused snapshots `trim_idle` leaves in the store.
        clock: orders uses in time; must not run backwards.
    """

    def __init__(
        self,
        store: KVStore,
        *,
        host_bytes: int = 2 << 30,
        idle_cells: int = 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if store.n_seqs < 2:
            raise ValueError(f"a store of {store.n_seqs} sequences; at least 2 are needed")
        self._store = store
        self._host_bytes = host_bytes
        self._idle_cells = idle_cells
        self._tree = RadixTree(clock)
        self._cells = SharedCells()
        self._ids = list(range(store.n_seqs))  # free ones, sorted
        self._held: OrderedDict[Node, None] = OrderedDict()  # with a sequence, by last use
        self._parked: OrderedDict[Node, Blob] = OrderedDict()  # with a blob, by last use
        self._parked_bytes = 0
        self._leases: dict[int, Lease] = {}
        self._stops: dict[int, list[int]] = {}  # by sequence of a lease, sorted
        self._private_tokens = 0  # counted as they change: `stats` is asked from other threads
        self._parked_tokens = 0
        self._counters = Counters()

    # --- asking ----------------------------------------------------------------------------

    @property
    def free_cells(self) -> int:
        """Cells that nothing holds; `reserve` makes more."""
        return self._store.n_cells - self._cells.used

    def match(self, tokens: Tokens, namespace: str = "") -> int:
        """The length of the longest prefix with a snapshot. Changes nothing."""
        match = self._tree.match_prefix(tokens, namespace)
        return self._deepest(match.node, match.length).stop

    def respelled(self, tokens: Tokens, pieces: Pieces, namespace: str = "") -> TokenArray:
        """See `RadixCache.respelled`."""
        root = self._tree.match_prefix((), namespace).node
        return respelled(root, as_token_array(tokens), pieces)

    def expect(self, tokens: Tokens, namespace: str = "") -> None:
        """Notes that a request for `tokens` waits: what it will find counts as used now."""
        match = self._tree.match_prefix(tokens, namespace)
        self._touch(self._deepest(match.node, match.length))

    def has_room(
        self, tokens: Tokens, limit: int, namespace: str = "", *, spare_cells: int = 0
    ) -> bool:
        """See `RadixCache.has_room`."""
        match = self._tree.match_prefix(tokens[:limit], namespace)
        node = self._deepest(match.node, match.length)
        shared = self._cells.locked_in(node.seq) if node.seq >= 0 else 0
        needed = len(tokens) - shared + spare_cells
        return needed <= self._store.n_cells - self._cells.locked

    def next_stop(self, lease: Lease) -> int | None:
        """Where evaluation should pause and commit next, so that a snapshot can be taken."""
        return next((at for at in self._stops[lease.seq] if at > lease.length), None)

    # --- leases ----------------------------------------------------------------------------

    def acquire(
        self,
        tokens: Tokens,
        limit: int | None = None,
        namespace: str = "",
        *,
        priority: int = 0,
    ) -> Lease:
        """A lease that begins with the deepest snapshot within the first `limit` tokens.

        What is evicted first goes by last use alone, whatever the `priority`.

        Raises CacheFull if every sequence id is on loan.
        """
        wanted = as_token_array(tokens)
        bound = len(wanted) if limit is None else max(min(limit, len(wanted)), 0)
        match = self._tree.match_below(self._tree.root(namespace), wanted)
        depth = min(match.length, bound)
        self._tree.lock(match.node)  # keeps the path in the tree while room is made
        try:
            self._touch(self._deepest(match.node, depth))
            if not self._free_an_id():
                raise CacheFull(f"all {len(self._leases)} sequences are on loan")
            seq = self._ids.pop(0)  # low and adjacent: such rows are evaluated together
            node = self._start(seq, match.node, depth)
            self._tree.lock(node)
        finally:
            self._tree.unlock(match.node)
            self._prune(match.node)
        lease = Lease(seq, namespace, node, node.stop, node.stop, priority)
        self._leases[seq] = lease
        self._stops[seq] = sorted({len(wanted), depth})
        self._counters.queried_tokens += len(wanted)
        self._counters.hit_tokens += node.stop
        return lease

    def stop_at(self, lease: Lease, length: int) -> None:
        """Asks for a snapshot at `length` tokens: somebody waits for that prefix."""
        stops = self._stops[lease.seq]
        if length not in stops:
            insort(stops, length)

    def extend(self, lease: Lease, n: int) -> None:
        """Notes that `n` more tokens were evaluated into the lease's sequence."""
        self._check_open(lease)
        if n < 0:
            raise ValueError(f"cannot extend a lease by {n} tokens")
        lease.length += n
        self._private_tokens += n
        self._cells.grow(lease.seq, n)

    def commit(self, lease: Lease, tokens: Tokens) -> None:
        """Puts the tokens of the whole sequence into the tree, with a snapshot if this is a stop.

        What the tree already has of them is not shared: the lease's cells stay its own.
        """
        self._check_open(lease)
        wanted, old = as_token_array(tokens), lease.node
        if len(wanted) != lease.length:
            raise ValueError(
                f"commit of {len(wanted)} tokens; expected all {lease.length} of the sequence, "
                "whose state stands for exactly those"
            )
        if (old.tokens != wanted[old.start : old.stop]).any():
            raise ValueError(f"commit changes tokens below {old.stop}, which are committed already")
        if len(wanted) > old.stop:
            self._private_tokens -= lease.private
            lease.node = self._insert(old, wanted)
            self._tree.lock(lease.node)
            self._tree.unlock(old)
        if lease.length in self._stops[lease.seq] and not self._has_snapshot(lease.node):
            if self._free_an_id():
                self._hold(lease.node, lease.seq)
            else:
                self._save(lease.node, lease.seq)

    def truncate(self, lease: Lease, length: int) -> None:
        """Does nothing if the lease has `length` tokens; a state cannot be taken back.

        Raises ValueError on any other length.
        """
        self._check_open(lease)
        if length != lease.length:
            raise ValueError(
                f"truncate to {length} tokens; this model's memory cannot be cut, so expected "
                f"{lease.length}"
            )

    def release(self, lease: Lease) -> None:
        """Ends a lease. If all of it is committed, a snapshot of its end stays."""
        self._check_open(lease)
        seq, node = lease.seq, lease.node
        del self._leases[seq], self._stops[seq]
        self._private_tokens -= lease.private
        lease.seq = -1
        self._touch(node)
        if lease.private or self._has_snapshot(node):
            self._free(seq)
        elif self._ids:
            self._hold(node, seq)
            self._free(seq)
        else:
            self._cells.unlock(seq)
            node.seq = seq
            self._held[node] = None
        self._tree.unlock(node)
        self._prune(node)

    # --- making room -----------------------------------------------------------------------

    def reserve(self, n_cells: int) -> bool:
        """Parks unused snapshots, least recently used first, until `n_cells` cells are free.

        False, with nothing changed, if that many cannot be freed now.
        """
        if n_cells > self._store.n_cells - self._cells.locked:
            return False
        while self.free_cells < n_cells and self._park_oldest():
            pass
        return self.free_cells >= n_cells

    def park_idle(self) -> bool:
        """Parks every snapshot; False if none was held."""
        found = bool(self._held)
        while self._park_oldest():
            pass
        return found

    def trim_idle(self) -> None:
        """Parks snapshots while more than `idle_cells` cells are held for them alone."""
        while self._cells.used - self._cells.locked > self._idle_cells and self._park_oldest():
            pass

    def forget_live(self) -> None:
        """To be called when the store has lost everything: leases are void, blobs stay."""
        for lease in self._leases.values():
            lease.seq = -1
        self._leases.clear()
        self._stops.clear()
        self._private_tokens = 0
        self._tree.unlock_all()
        self._cells = SharedCells()
        self._ids = list(range(self._store.n_seqs))
        for node in self._held:
            node.seq = -1
            self._count_parked(node, 1)
        self._held.clear()
        for node in reversed(list(self._tree.nodes())):  # children before parents
            self._prune(node)

    def close(self) -> None:
        """Nothing outlives the process: there is no disk tier for snapshots."""

    def clear(self, namespace: str | None = None) -> None:
        """Forgets every snapshot, of every namespace by default."""
        for node in reversed(list(self._tree.nodes(namespace))):
            if node.blob is not None:
                self._forget_blob(node)
            if node.seq >= 0:
                self._drop_sequence(node)
            self._prune(node)

    # --- the mechanics ---------------------------------------------------------------------

    @staticmethod
    def _has_snapshot(node: Node) -> bool:
        return node.seq >= 0 or node.blob is not None or node.parent is None

    def _deepest(self, node: Node, depth: int) -> Node:
        """The deepest node with a snapshot at or above `node`, at most `depth` tokens deep."""
        return next(
            step for step in node.ancestry() if step.stop <= depth and self._has_snapshot(step)
        )

    def _touch(self, node: Node) -> None:
        if node in self._held:
            self._held.move_to_end(node)
        if node in self._parked:
            self._parked.move_to_end(node)

    def _free_an_id(self) -> bool:
        """Whether an id is free, if need be by parking the least recently used snapshot."""
        return bool(self._ids) or self._park_oldest()

    def _free(self, seq: int) -> None:
        self._store.remove(seq, 0, -1)
        self._cells.close(seq)
        insort(self._ids, seq)

    def _start(self, seq: int, node: Node, depth: int) -> Node:
        """Fills `seq` with the deepest snapshot that fits the store; returns its node."""
        while True:
            node = self._deepest(node, depth)
            if node.parent is None:
                self._cells.open(seq, locked=True)
                return node
            if node.seq >= 0:
                self._store.copy(node.seq, seq, 0, node.stop)
                self._cells.copy(node.seq, seq, locked=True)
                return node
            if self._load(node, seq):
                return node
            depth = node.stop - 1

    def _load(self, node: Node, seq: int) -> bool:
        blob = node.blob
        assert blob is not None
        if not self.reserve(blob.stop):
            return False
        try:
            self._store.load(blob, seq)
        except CacheFull:
            self._store.remove(seq, 0, -1)
            return False
        self._cells.open(seq, blob.stop, locked=True)
        self._counters.restored_tokens += blob.stop
        if self._ids:  # the next request for it copies instead of loading
            self._hold(node, seq)
        return True

    def _insert(self, old: Node, tokens: TokenArray) -> Node:
        """The node that ends where `tokens` do, below `old`; a split leaves snapshots below."""
        match = self._tree.match_below(old, tokens)
        node = match.node
        if match.length < node.stop:
            lower = node
            self._count_parked(lower, -1)
            node = self._tree.split(lower, match.length)
            self._count_parked(lower, 1)
            assert node.parent is not None
            node.seq, node.blob = -1, None
            node.parent.live_children.clear()
            node.live_children.clear()
        if match.length < len(tokens):
            node = self._tree.append(node, tokens[match.length :])
        return node

    def _hold(self, node: Node, source: int) -> None:
        """Makes a copy of sequence `source`, under the highest free id, the snapshot of `node`."""
        seq = self._ids.pop()
        self._store.copy(source, seq, 0, node.stop)
        self._cells.copy(source, seq, locked=False)
        self._count_parked(node, -1)
        node.seq = seq
        self._held[node] = None

    def _park_oldest(self) -> bool:
        """Moves the least recently used held snapshot to host memory, or forgets it."""
        if not self._held:
            return False
        node = next(iter(self._held))
        if node.blob is None:
            self._save(node, node.seq)
        self._drop_sequence(node)
        if node.blob is not None:
            self._counters.parked_tokens += node.stop
        self._prune(node)
        return True

    def _drop_sequence(self, node: Node) -> None:
        del self._held[node]
        seq, node.seq = node.seq, -1
        self._count_parked(node, 1)
        self._free(seq)

    def _save(self, node: Node, seq: int) -> None:
        """Saves sequence `seq` as the blob of `node`, as far as host memory goes."""
        if not self._host_bytes:
            return
        # without memory for it the snapshot is lost; evaluating it again is always correct
        with suppress(MemoryError):
            blob = self._store.save(seq, 0, node.stop)
            node.blob = self._parked[node] = blob
            self._parked_bytes += blob.n_bytes
            self._count_parked(node, 1)
        while self._parked_bytes > self._host_bytes:
            oldest = next(iter(self._parked))
            self._forget_blob(oldest)
            if oldest is not node:
                self._prune(oldest)

    def _forget_blob(self, node: Node) -> None:
        self._count_parked(node, -1)
        self._parked_bytes -= self._parked.pop(node).n_bytes
        node.blob = None

    def _count_parked(self, node: Node, sign: int) -> None:
        """Adds `node` to the books if only its blob is left, or takes it out."""
        if node.blob is not None and node.seq < 0:
            self._parked_tokens += sign * len(node)

    def _prune(self, node: Node) -> None:
        """Takes `node` and its parents out of the tree, up to what is of use."""
        step: Node | None = node
        while step is not None and step.parent is not None:
            if step.children or step.lock_count or self._has_snapshot(step):
                return
            parent = step.parent
            self._tree.remove(step)
            self._counters.evicted_tokens += len(step)
            step = parent

    def _check_open(self, lease: Lease) -> None:
        if self._leases.get(lease.seq) is not lease:
            raise ValueError("the lease was released, or is another cache's")

    # --- insight ---------------------------------------------------------------------------

    def stats(self) -> CacheStats:
        """The state and the totals at this moment; cells that are shared count once."""
        private = self._private_tokens
        return CacheStats(
            live_tokens=self._cells.used - private,
            locked_tokens=self._cells.locked - private,
            private_tokens=private,
            free_cells=self.free_cells,
            parked_tokens=self._parked_tokens,
            stored_tokens=0,
            host_bytes=self._parked_bytes,
            disk_bytes=0,
            nodes=len(self._tree),
            sequences_used=self._store.n_seqs - len(self._ids),
            sequences_free=len(self._ids),
            queried_tokens_total=self._counters.queried_tokens,
            hit_tokens_total=self._counters.hit_tokens,
            parked_tokens_total=self._counters.parked_tokens,
            restored_tokens_total=self._counters.restored_tokens,
            written_tokens_total=0,
            read_tokens_total=0,
            evicted_tokens_total=self._counters.evicted_tokens,
        )

    def check_integrity(self) -> None:
        """Raises AssertionError, with the numbers, where the books contradict the tree."""
        self._tree.check_integrity()
        self._cells.check_integrity()
        nodes = list(self._tree.nodes())
        held = [node.seq for node in nodes if node.seq >= 0]
        if sorted([*held, *self._leases, *self._ids]) != list(range(self._store.n_seqs)):
            raise AssertionError(
                f"sequences: {len(held)} held + {len(self._leases)} on loan + {len(self._ids)} "
                f"free of {self._store.n_seqs}"
            )
        if {node for node in nodes if node.seq >= 0} != self._held.keys():
            raise AssertionError(f"{len(held)} nodes with a sequence, {len(self._held)} in order")
        if {node: node.blob for node in nodes if node.blob is not None} != self._parked:
            raise AssertionError(f"blobs of the tree are not the {len(self._parked)} in order")
        if sum(blob.n_bytes for blob in self._parked.values()) != self._parked_bytes:
            raise AssertionError(f"{self._parked_bytes} bytes of blobs in the books")
        parked = sum(len(node) for node in nodes if node.blob is not None and node.seq < 0)
        private = sum(lease.private for lease in self._leases.values())
        if (parked, private) != (self._parked_tokens, self._private_tokens):
            raise AssertionError(
                f"tokens parked, private: {self._parked_tokens}, {self._private_tokens} in the "
                f"books, {parked}, {private} counted"
            )
        for node in nodes:
            where = f"node [{node.start}, {node.stop})"
            if not (node.children or node.lock_count or self._has_snapshot(node)):
                raise AssertionError(f"{where}: a leaf without snapshot or user")
            if node.seq >= 0 and self._cells.length(node.seq) != node.stop:
                raise AssertionError(f"{where}: {self._cells.length(node.seq)} cells are held")
            if node.blob is not None and (node.blob.start, node.blob.stop) != (0, node.stop):
                raise AssertionError(f"{where}: its blob is [{node.blob.start}, {node.blob.stop})")
        for lease in self._leases.values():
            if self._cells.length(lease.seq) != lease.length or not lease.node.lock_count:
                raise AssertionError(f"lease of {lease.length} tokens on {lease.seq}")

"""The prefix cache of models whose memory cannot be cut: recurrent and hybrid ones.

Such a model keeps a state that stands for all tokens so far. It exists where evaluation stopped and
nowhere else: no part of a sequence can be copied, trimmed or saved, only the whole. So the tree of
tokens holds *snapshots* at some of its nodes, each a whole sequence: held in the store under an id
of its own (a copy moves no data there), parked in host memory, or stored on disk
(`snapshot_tree.py`). A match ends at the deepest snapshot on its path.

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
from collections.abc import Callable
from dataclasses import replace

from .base import CacheFull, KVStore
from .disk import DiskFolder
from .integrity import check_snapshots
from .lease import Lease
from .pins import Pin, Pins
from .respell import Pieces, respelled
from .snapshot_tree import SnapshotTree
from .stats import CacheStats
from .tree import TokenArray, Tokens, as_token_array


class SnapshotCache:
    """Implements `PrefixCache` on whole sequences of a store. Not thread-safe.

    Args:
        store: the cache is its only user, but for the cells that lease holders write.
        host_bytes: most host memory for parked snapshots; 0 turns parking off.
        folder: where snapshots that leave host memory go, and outlive the process; None for
            nowhere.
        disk_bytes: most bytes of files there.
        idle_cells: how many cells of unused snapshots `trim_idle` leaves in the store.
        clock: orders uses in time; must not run backwards.
    """

    def __init__(
        self,
        store: KVStore,
        *,
        host_bytes: int = 2 << 30,
        folder: DiskFolder | None = None,
        disk_bytes: int = 0,
        idle_cells: int = 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if store.n_seqs < 2:
            raise ValueError(f"a store of {store.n_seqs} sequences; at least 2 are needed")
        self._idle_cells = idle_cells
        self._snapshots = SnapshotTree(store, host_bytes, clock, folder, disk_bytes)
        self._tree = self._snapshots.tree
        self._pins = Pins(self._snapshots)
        self._stops: dict[int, list[int]] = {}  # by sequence of a lease, sorted
        if folder is not None:
            self._snapshots.adopt(folder.scan())

    # --- asking ----------------------------------------------------------------------------

    @property
    def free_cells(self) -> int:
        """Cells that nothing holds; `reserve` makes more."""
        return self._snapshots.free_cells

    def match(self, tokens: Tokens, namespace: str = "") -> int:
        """The length of the longest prefix with a snapshot. Changes nothing."""
        match = self._tree.match_prefix(tokens, namespace)
        return self._snapshots.deepest(match.node, match.length).stop

    def respelled(self, tokens: Tokens, pieces: Pieces, namespace: str = "") -> TokenArray:
        """See `RadixCache.respelled`."""
        root = self._tree.match_prefix((), namespace).node
        return respelled(root, as_token_array(tokens), pieces)

    def expect(self, tokens: Tokens, namespace: str = "") -> None:
        """See `RadixCache.expect`."""
        snapshots = self._snapshots
        snapshots.take_read()
        match = self._tree.match_prefix(tokens, namespace)
        node = snapshots.deepest(match.node, match.length)
        snapshots.use(node)
        snapshots.read_ahead([node])

    def has_room(
        self, tokens: Tokens, limit: int, namespace: str = "", *, spare_cells: int = 0
    ) -> bool:
        """See `RadixCache.has_room`."""
        store, cells = self._snapshots.store, self._snapshots.cells
        match = self._tree.match_prefix(tokens[:limit], namespace)
        node = self._snapshots.deepest(match.node, match.length)
        shared = cells.locked_in(node.seq) if node.seq >= 0 else 0
        return len(tokens) - shared + spare_cells <= store.n_cells - cells.locked

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
        snapshots, tree = self._snapshots, self._tree
        snapshots.take_read()
        wanted = as_token_array(tokens)
        bound = len(wanted) if limit is None else max(min(limit, len(wanted)), 0)
        match = tree.match_below(tree.root(namespace), wanted)
        depth = min(match.length, bound)
        tree.lock(match.node)  # keeps the path in the tree while room is made
        try:
            snapshots.use(snapshots.deepest(match.node, depth))
            if not snapshots.free_an_id():
                raise CacheFull(f"all {len(snapshots.leases)} sequences are on loan")
            seq = snapshots.ids.pop(0)  # low and adjacent: such rows are evaluated together
            node = snapshots.start(seq, match.node, depth)
            tree.lock(node)
        finally:
            tree.unlock(match.node)
            snapshots.prune(match.node)
            snapshots.forget_lost()
            snapshots.enforce_host_budget()
        lease = Lease(seq, namespace, node, node.stop, node.stop, priority)
        snapshots.leases[seq] = lease
        self._stops[seq] = sorted({len(wanted), depth})
        snapshots.counters.queried_tokens += len(wanted)
        snapshots.counters.hit_tokens += node.stop
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
        self._snapshots.private_tokens += n
        self._snapshots.cells.grow(lease.seq, n)

    def commit(self, lease: Lease, tokens: Tokens) -> None:
        """Puts the tokens of the whole sequence into the tree, with a snapshot if this is a stop.

        What the tree already has of them is not shared: the lease's cells stay its own.
        """
        self._check_open(lease)
        snapshots, wanted, old = self._snapshots, as_token_array(tokens), lease.node
        if len(wanted) != lease.length:
            raise ValueError(
                f"commit of {len(wanted)} tokens; expected all {lease.length} of the sequence, "
                "whose state stands for exactly those"
            )
        if (old.tokens != wanted[old.start : old.stop]).any():
            raise ValueError(f"commit changes tokens below {old.stop}, which are committed already")
        if len(wanted) > old.stop:
            snapshots.private_tokens -= lease.private
            lease.node = snapshots.insert_below(old, wanted)
            self._tree.lock(lease.node)
            self._tree.unlock(old)
        if lease.length in self._stops[lease.seq] and not snapshots.is_at_hand(lease.node):
            snapshots.keep(lease.node, lease.seq)

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
        snapshots, seq, node = self._snapshots, lease.seq, lease.node
        del snapshots.leases[seq], self._stops[seq]
        snapshots.private_tokens -= lease.private
        lease.seq = -1
        snapshots.use(node)
        if lease.private or snapshots.is_at_hand(node):
            snapshots.free(seq)
        else:
            snapshots.settle(node, seq)
        if snapshots.folder is not None and snapshots.folder.writes_through:
            snapshots.write_through(node)
        self._tree.unlock(node)
        snapshots.prune(node)

    # --- pins ------------------------------------------------------------------------------

    def pin(self, name: str, lease: Lease) -> Pin:
        """See `RadixCache.pin`. Pins share nothing: each takes the memory of a whole snapshot.

        Raises ValueError, too, if the lease has gone on from what it committed.
        """
        self._check_open(lease)
        if not lease.committed or lease.private:
            raise ValueError(
                f"cannot pin {name!r} with {lease.committed} tokens committed and {lease.private} "
                "that are not; commit all of the sequence, and at least one"
            )
        return self._pins.pin(name, lease)

    def unpin(self, name: str) -> bool:
        """See `RadixCache.unpin`."""
        return self._pins.unpin(name)

    def pins(self) -> tuple[Pin, ...]:
        """What is pinned, oldest first."""
        return tuple(self._pins)

    # --- making room -----------------------------------------------------------------------

    def reserve(self, n_cells: int) -> bool:
        """Parks unused snapshots, least recently used first, until `n_cells` cells are free.

        False, with nothing changed, if that many cannot be freed now.
        """
        return self._snapshots.reserve(n_cells)

    def park_idle(self) -> bool:
        """Parks every snapshot; False if none was held."""
        found = len(self._snapshots.held) > 0
        while self._snapshots.park_oldest():
            pass
        return found

    def trim_idle(self) -> None:
        """Parks snapshots while more than `idle_cells` cells are held for them alone."""
        cells = self._snapshots.cells
        while cells.used - cells.locked > self._idle_cells and self._snapshots.park_oldest():
            pass

    def forget_live(self) -> None:
        """To be called when the store has lost everything: leases are void, and what was parked
        or stored stays cached."""
        self._stops.clear()
        self._snapshots.forget_live()

    def close(self) -> None:
        """Writes snapshots to disk, those used last first, as far as the budget goes."""
        self._snapshots.write_all()

    def clear(self, namespace: str | None = None) -> None:
        """Forgets every snapshot that is not pinned, of every namespace by default."""
        self._snapshots.clear(namespace)

    # --- insight ---------------------------------------------------------------------------

    def stats(self) -> CacheStats:
        """The state and the totals at this moment; cells that are shared count once."""
        return replace(self._snapshots.stats(), pinned_tokens=self._pins.pinned_tokens)

    def check_integrity(self) -> None:
        """Raises AssertionError, with the numbers, where the books contradict the tree."""
        check_snapshots(self._snapshots, self._pins)

    def _check_open(self, lease: Lease) -> None:
        if self._snapshots.leases.get(lease.seq) is not lease:
            raise ValueError("the lease was released, or is another cache's")

"""The prefix cache that the engine uses: leases on sequences that begin with what is cached.

A request's life with it:

    lease = cache.acquire(prompt, limit=len(prompt) - 1)    sequence holding the cached prefix
    cache.reserve(n); decode n tokens; cache.extend(lease, n)
    cache.commit(lease, tokens)                             now others share them
    cache.release(lease)                                    idle until parked or evicted
    cache.trim_idle()                                       after each step

`tiers.py` holds the mechanics and their invariants.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from .base import CacheFull, KVStore
from .defragment import defragment
from .disk import DiskFolder
from .integrity import check_integrity
from .lease import Lease
from .pins import Pin, Pins
from .policy import DEFAULT_POLICY, Policy, PolicyName, new_policy
from .render import render
from .respell import Pieces, respelled
from .stats import CacheStats
from .tiers import TieredTree
from .tree import TokenArray, Tokens, as_token_array

__all__ = ["CacheStats", "Lease", "RadixCache"]


class RadixCache:
    """Prefixes of past and running requests over one `KVStore`. Not thread-safe.

    Args:
        store: the cache is its only user, but for the cells that lease holders write.
            Its last sequence id is kept as scratch.
        host_bytes: most host memory for parked KV (exceeded by one node at most, while it is being
            saved). 0 turns parking off: what leaves the store is forgotten.
        folder: where prefixes that leave host memory go, and outlive the process; None for nowhere.
        disk_bytes: most bytes of files there.
        policy: what goes first where there is no more room; see `policy.py`.
        idle_cells: how many live cells without a user `trim_idle` leaves in the store.
        clock: orders uses in time; must not run backwards.
    """

    def __init__(
        self,
        store: KVStore,
        *,
        host_bytes: int = 2 << 30,
        folder: DiskFolder | None = None,
        disk_bytes: int = 0,
        policy: PolicyName | Policy = DEFAULT_POLICY,
        idle_cells: int = 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if store.n_seqs < 2:
            raise ValueError(f"a store of {store.n_seqs} sequences; at least 2 are needed")
        self._idle_cells = idle_cells
        self._tiers = TieredTree(
            store,
            host_bytes,
            clock,
            folder,
            disk_bytes,
            policy=new_policy(policy) if isinstance(policy, str) else policy,
        )
        self._pins = Pins(self._tiers)
        if folder is not None:
            self._tiers.adopt(folder.scan())

    # --- asking ----------------------------------------------------------------------------

    @property
    def free_cells(self) -> int:
        """Cells that nothing holds; `reserve` makes more."""
        return self._tiers.free_cells

    @property
    def live_runs(self) -> int:
        """How many stretches of tokens `defragment` would move."""
        return self._tiers.ids.n_nodes + len(self._tiers.leases)

    def match(self, tokens: Tokens, namespace: str = "") -> int:
        """How many leading tokens are cached, live or parked. Changes nothing."""
        return self._tiers.tree.match_prefix(tokens, namespace).length

    def respelled(self, tokens: Tokens, pieces: Pieces, namespace: str = "") -> TokenArray:
        """`tokens` with stretches replaced by cached tokens that spell the same bytes.

        See `respell.py`. Changes nothing; int32[n].
        """
        root = self._tiers.tree.match_prefix((), namespace).node
        return respelled(root, as_token_array(tokens), pieces)

    def has_room(
        self, tokens: Tokens, limit: int, namespace: str = "", *, spare_cells: int = 0
    ) -> bool:
        """Whether `tokens` and `spare_cells` more would fit beside all that is locked now.

        What other leases hold of the prefix (at most `limit` tokens) needs no cells; idle prefixes
        can be parked. Changes nothing.
        """
        match = self._tiers.tree.match_prefix(tokens[:limit], namespace)
        locked = next((n.stop for n in match.node.ancestry() if n.lock_count), 0)
        needed = len(tokens) - min(locked, match.length) + spare_cells
        return needed <= self.free_cells + self._tiers.idle_tokens

    def continuation(self, lease: Lease, tokens: Sequence[int], n: int) -> list[int]:
        """What others have behind what `lease` committed and `tokens`: at most `n` tokens.

        Of several continuations that used last. Changes nothing; live or not makes no difference.
        """
        return self._tiers.tree.continuation(lease.node, tokens, n)

    def next_stop(self, lease: Lease) -> int | None:
        """Where evaluation should pause so that others can share from there: nowhere in
        particular, as any token is as good."""
        return None

    def expect(self, tokens: Tokens, namespace: str = "") -> None:
        """Notes that a request for `tokens` waits: what is cached of them outlives what nobody
        waits for, and comes back from disk meanwhile.

        A hint that may be wrong, or repeated.
        """
        tiers = self._tiers
        tiers.take_read()
        tiers.expect(tiers.tree.match_prefix(tokens, namespace))

    # --- leases ----------------------------------------------------------------------------

    def acquire(
        self,
        tokens: Tokens,
        limit: int | None = None,
        namespace: str = "",
        *,
        priority: int = 0,
    ) -> Lease:
        """A lease that holds the longest cached prefix of `tokens`, at most `limit` tokens of it.

        `priority` is what an eviction policy by that name goes by.

        Parked parts are brought back as far as they fit into the store; the lease holds less where
        they do not. Raises CacheFull if every sequence id is on loan; then nothing has changed
        that a caller could see.
        """
        tiers = self._tiers
        tiers.take_read()
        queried_tokens = len(tokens)
        wanted = as_token_array(tokens if limit is None else tokens[: max(limit, 0)])
        match = tiers.tree.match_below(tiers.tree.root(namespace), wanted)
        bottom = tiers.end_of(match)
        path = bottom.path()
        parked = [node for node in path[1:] if node.seq < 0]
        live = path[-1 - len(parked)]
        tiers.lock(live)
        tiers.tree.lock(bottom)  # keeps the parked part in the tree while cells are being freed
        for node in path[1:]:
            tiers.requeue(node)
        try:
            seq = tiers.take_sequence(live)
            lease = Lease(seq, namespace, live, live.stop, live.stop, priority)
            tiers.leases[lease.seq] = lease
            tiers.restore(lease, parked)
        except CacheFull:
            tiers.unlock(live)
            raise
        finally:
            tiers.tree.unlock(bottom)
            for node in path[1:]:
                tiers.requeue(node)
            tiers.forget_lost()
            tiers.enforce_host_budget()
        lease.cached_tokens = lease.length = lease.committed
        tiers.counters.queried_tokens += queried_tokens
        tiers.counters.hit_tokens += lease.cached_tokens
        return lease

    def stop_at(self, lease: Lease, length: int) -> None:
        """Notes that somebody waits for the first `length` tokens; see `next_stop`."""

    def extend(self, lease: Lease, n: int) -> None:
        """Notes that `n` more tokens were evaluated into the lease's sequence."""
        self._check_open(lease)
        if n < 0:
            raise ValueError(f"cannot extend a lease by {n} tokens; use truncate")
        lease.length += n
        self._tiers.private_tokens += n

    def share(self, source: Lease, lease: Lease, length: int) -> None:
        """Extends a lease to `length` tokens by those of another one that begins with the same.

        No data moves. The cells count for both leases until they are committed or dropped.
        """
        self._check_open(source)
        self._check_open(lease)
        if source.namespace != lease.namespace or not lease.length <= length <= source.length:
            raise ValueError(
                f"share {length} tokens of {source.length} in {source.namespace!r}; expected at "
                f"least the {lease.length} of the lease in {lease.namespace!r}"
            )
        self._tiers.store.copy(source.seq, lease.seq, lease.length, length)
        self.extend(lease, length - lease.length)

    def commit(self, lease: Lease, tokens: Tokens) -> None:
        """Puts private tokens into the tree, where others can share them at once.

        `tokens` are those of the sequence from its beginning, at least the committed and at most
        all of them. Where the tree already has them live, the lease's own cells are freed and the
        tree's are shared; where they are parked, they become live without loading.
        """
        self._check_open(lease)
        wanted, old = as_token_array(tokens), lease.node
        if not lease.committed <= len(wanted) <= lease.length:
            raise ValueError(
                f"commit of {len(wanted)} tokens; expected {lease.committed} (those committed "
                f"before) to {lease.length} (those in the sequence)"
            )
        if (old.tokens != wanted[old.start : old.stop]).any():
            raise ValueError(f"commit changes tokens below {old.stop}, which are committed already")
        if len(wanted) == old.stop:
            return
        tiers = self._tiers
        tiers.private_tokens -= len(wanted) - old.stop
        if self._is_own_leaf(lease):
            # chunk after chunk of one prompt stays one node, and parks as one blob
            tiers.live_tokens += len(wanted) - old.stop
            tiers.tree.extend(old, wanted[old.stop :])
            return
        match = tiers.tree.match_below(old, wanted)
        bottom = tiers.end_of(match)
        if match.length < len(wanted):
            bottom = tiers.tree.append(bottom, wanted[match.length :])
        tiers.join(lease, bottom)

    def truncate(self, lease: Lease, length: int) -> None:
        """Drops private tokens, so that `length` tokens are left; committed ones cannot be."""
        self._check_open(lease)
        if not lease.committed <= length <= lease.length:
            raise ValueError(
                f"truncate to {length} tokens; expected {lease.committed} (those committed) to "
                f"{lease.length} (those in the sequence)"
            )
        if length < lease.length:
            self._tiers.store.remove(lease.seq, length, -1)
            self._tiers.private_tokens -= lease.length - length
            lease.length = length

    def release(self, lease: Lease) -> None:
        """Ends a lease. Its private tokens are gone; what it committed stays live for now."""
        self._check_open(lease)
        seq, private = lease.seq, lease.private
        policy, now = self._tiers.policy, self._tiers.tree.now()
        for node in lease.node.ancestry():
            policy.use(node, now, lease.priority)
        if self._tiers.folder is not None and self._tiers.folder.writes_through:
            self._tiers.write_through(lease.node)
        del self._tiers.leases[seq]
        self._tiers.ids.end_lease(seq)
        self._tiers.private_tokens -= private
        if not self._tiers.settle(seq, lease.node) and private:
            self._tiers.store.remove(seq, lease.committed, -1)
        self._tiers.unlock(lease.node)
        lease.seq = -1

    # --- pins ------------------------------------------------------------------------------

    def pin(self, name: str, lease: Lease) -> Pin:
        """Keeps what a lease has committed in host memory until `unpin(name)`.

        It replaces an earlier pin of that name. Raises PinRefused if all pins together would exceed
        the host memory, and MemoryError; then nothing has changed.
        """
        self._check_open(lease)
        if not lease.committed:
            raise ValueError(f"nothing to pin as {name!r}: the lease has committed no tokens")
        return self._pins.pin(name, lease)

    def unpin(self, name: str) -> bool:
        """Lets a pinned prefix be evicted like any other; False if there is no such pin."""
        return self._pins.unpin(name)

    def pins(self) -> tuple[Pin, ...]:
        """What is pinned, oldest first."""
        return tuple(self._pins)

    # --- making room -----------------------------------------------------------------------

    def reserve(self, n_cells: int) -> bool:
        """Parks idle prefixes, lowest rank first, until `n_cells` cells are free.

        False, with nothing changed, if that many cannot be freed now.
        """
        return self._tiers.reserve(n_cells)

    def park_idle(self) -> bool:
        """Parks every idle prefix; False if there was none."""
        found = self._tiers.idle_tokens > 0
        self.reserve(self.free_cells + self._tiers.idle_tokens)
        return found

    def trim_idle(self) -> None:
        """Parks idle prefixes above `idle_cells`: each idle cell slows every decode step."""
        while self._tiers.idle_tokens > self._idle_cells and self._tiers.park_oldest():
            pass

    def defragment(self) -> bool:
        """Moves the cells of each sequence together; see `defragment.py`. False if not done."""
        return defragment(self._tiers)

    def forget_live(self) -> None:
        """To be called when the store has lost all its cells: every lease is void, and what was
        parked or stored stays cached."""
        self._tiers.forget_live()

    def close(self) -> None:
        """Writes what is committed to disk, highest rank first, as far as the budget goes."""
        self._tiers.write_all()

    def clear(self, namespace: str | None = None) -> None:
        """Forgets all that is neither in use nor pinned; of every namespace by default."""
        for node in reversed(list(self._tiers.tree.nodes(namespace))):  # children before parents
            if not node.lock_count and not node.pin_count:
                self._tiers.retire(node)
                self._tiers.drop(node)

    # --- insight ---------------------------------------------------------------------------

    def stats(self) -> CacheStats:
        """The state and the totals at this moment."""
        return replace(self._tiers.stats(), pinned_tokens=self._pins.pinned_tokens)

    def check_integrity(self) -> None:
        """Raises AssertionError, with the numbers, where the books contradict the tree."""
        check_integrity(self._tiers, self._pins)

    def render(self) -> str:
        """The tree as text, a line per node: range, tier, locks, first tokens."""
        return render(self._tiers.tree)

    def _check_open(self, lease: Lease) -> None:
        if self._tiers.leases.get(lease.seq) is not lease:
            raise ValueError("this lease was released, or is of another cache")

    def _is_own_leaf(self, lease: Lease) -> bool:
        """Whether nobody but the lease can tell if its node grows."""
        node = lease.node
        return (
            node.seq == lease.seq
            and node.lock_count == 1
            and not node.children
            and node.blob is None
            and node.file is None
        )

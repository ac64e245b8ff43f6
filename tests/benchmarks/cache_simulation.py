"""The real cache over a store that only counts, on a trace; and the best that could be known.

`leafwise_belady` sees the future: of all cached nodes it drops the one whose next use is farthest
away (Belady, IBM Systems Journal 5(2), 1966). A node's parent is used whenever the node is, so that
is always a leaf. Its nodes are those of the whole trace's tree, finer than any cache can have them.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from math import inf

from treegram.radix_cache import Blob, CacheFull, Node, RadixCache, RadixTree
from treegram.radix_cache.policy import PolicyName
from treegram.radix_cache.tree import TokenArray

BYTES_PER_TOKEN = 1
"""What a saved token weighs in the simulations: budgets are in tokens."""


class CountingStore:
    """A `KVStore` that keeps no cells: every call is O(1). It trusts the cache's own books."""

    can_cut = True

    def __init__(self, n_cells: int, n_seqs: int = 8) -> None:
        self.n_cells = n_cells
        self.n_seqs = n_seqs
        self.saved_tokens = 0
        self.loaded_tokens = 0

    def copy(self, src: int, dst: int, start: int, stop: int) -> None:
        """Nothing to do."""

    def remove(self, seq: int, start: int, stop: int) -> None:
        """Nothing to do."""

    def save(self, seq: int, start: int, stop: int) -> Blob:
        self.saved_tokens += stop - start
        return Blob(start, stop, b"", (stop - start) * BYTES_PER_TOKEN)

    def load(self, blob: Blob, seq: int) -> None:
        if blob.stop - blob.start > self.n_cells:
            raise CacheFull
        self.loaded_tokens += blob.stop - blob.start


@dataclass(frozen=True, slots=True)
class Simulated:
    """Totals of one run over a trace.

    Attributes:
        evaluated: tokens that were not cached.
        prompt: all tokens asked.
        moved: tokens saved to host memory and loaded from there.
        nodes: of the tree at the end.
    """

    requests: int
    prompt: int
    evaluated: int
    moved: int
    nodes: int
    us_per_request: float

    @property
    def hit_rate(self) -> float:
        return 1 - self.evaluated / self.prompt


def simulate(
    prompts: Iterable[TokenArray],
    *,
    capacity_tokens: int | None,
    policy: PolicyName,
    n_cells: int,
) -> Simulated:
    """One request after the other through a `RadixCache`; all that is idle is parked at once.

    Args:
        capacity_tokens: what host memory holds; None for all.
        n_cells: of the store; the longest prompt must fit.
    """
    store, ticks = CountingStore(n_cells), count(1)
    cache = RadixCache(
        store,
        host_bytes=1 << 60 if capacity_tokens is None else capacity_tokens * BYTES_PER_TOKEN,
        policy=policy,
        idle_cells=0,
        clock=lambda: float(next(ticks)),
    )
    requests = prompt = evaluated = 0
    spent = 0.0
    for tokens in prompts:
        began = time.thread_time()
        lease = cache.acquire(tokens)
        missing = len(tokens) - lease.length
        if not cache.reserve(missing):
            raise ValueError(f"a prompt of {len(tokens)} tokens does not fit {n_cells} cells")
        cache.extend(lease, missing)
        cache.commit(lease, tokens)
        cache.release(lease)
        cache.trim_idle()
        spent += time.thread_time() - began
        requests, prompt, evaluated = requests + 1, prompt + len(tokens), evaluated + missing
    cache.check_integrity()
    us = 1e6 * spent / max(requests, 1)
    moved = store.saved_tokens + store.loaded_tokens
    return Simulated(requests, prompt, evaluated, moved, cache.stats().nodes, us)


def whole_tree(prompts: Iterable[TokenArray]) -> tuple[RadixTree, int, int]:
    """The tree of all prompts: what is evaluated at the least, and what a working set is.

    Returns it, its tokens, and the length of the longest prompt.
    """
    tree, longest = RadixTree(lambda: 0.0), 0
    for tokens in prompts:
        tree.insert(tokens)
        longest = max(longest, len(tokens))
    return tree, sum(map(len, tree.nodes())), longest


def leafwise_belady(prompts: Iterable[TokenArray], tree: RadixTree, capacity_tokens: int) -> int:
    """Tokens that are evaluated if each eviction takes the leaf that is used farthest from now.

    `tree` is that of all `prompts`. As in `simulate`, the running prompt does not count against the
    capacity until it is over.
    """
    paths = [tree.match_prefix(tokens).node.path()[1:] for tokens in prompts]
    following: list[list[float]] = []
    last_seen: dict[Node, float] = {}
    for at in range(len(paths) - 1, -1, -1):
        following.append([last_seen.get(node, inf) for node in paths[at]])
        last_seen.update(dict.fromkeys(paths[at], float(at)))
    following.reverse()
    cached: dict[Node, float] = {}  # node -> its next use
    heap: list[tuple[float, int, int, Node]] = []
    used = evaluated = 0
    serial = count()
    for path, uses in zip(paths, following, strict=True):
        for node, use in zip(path, uses, strict=True):
            if node not in cached:
                evaluated += len(node)
                used += len(node)
            cached[node] = use
            heapq.heappush(heap, (-use, -node.stop, next(serial), node))
        while used > capacity_tokens:
            use, _, _, node = heapq.heappop(heap)
            if cached.get(node) == -use:
                del cached[node]
                used -= len(node)
    return evaluated

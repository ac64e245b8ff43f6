"""Puts the cells of each sequence side by side.

Sequences that are decoded together take cells in turn, so each ends up with every n-th cell of a
long stretch. Attention that works on tiles of cells (a CPU's, see `runtime/tiles.py`) then goes
through the whole stretch for each of them. llama.cpp has no defragmentation any more, and gives
tokens the first cells that are free; but saved KV that is loaded into an empty store lies there in
the order of loading. So everything live is saved and loaded again, the tree in depth-first order.
That moves about 10 GB/s where evaluating a token takes its weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .base import Blob
from .lease import Lease
from .tiers import TieredTree
from .tree import Node

MOST_BYTES = 512 << 20
"""More is not moved: all of it is in host memory twice meanwhile."""


@dataclass(slots=True)
class _Run:
    """Positions [start, stop) of sequences that share their cells."""

    seqs: list[int]
    start: int
    stop: int


def defragment(tiers: TieredTree) -> bool:
    """Moves all cells; False if they are too many, and nothing has changed.

    Leases stay as they are. Private tokens that leases share have a cell for each of them then, as
    they are counted. Raises what the store raises; then what it held is lost.
    """
    runs = _runs(tiers)
    total = sum(run.stop - run.start for run in runs)
    blobs: list[Blob] = []
    for run in runs:
        try:
            blob = tiers.save_range(run.seqs[0], run.start, run.stop)
        except MemoryError:
            return False
        if blob.n_bytes * total > MOST_BYTES * (run.stop - run.start):
            return False
        blobs.append(blob)
    store, scratch = tiers.store, tiers.scratch
    for seq in {seq for run in runs for seq in run.seqs}:
        store.remove(seq, 0, -1)
    for run, blob in zip(runs, blobs, strict=True):
        store.load(blob, scratch)
        for seq in run.seqs:
            store.copy(scratch, seq, run.start, run.stop)
        store.remove(scratch, 0, -1)
    return True


def _runs(tiers: TieredTree) -> list[_Run]:
    """All that is live, depth first, private tokens behind the node that they follow."""
    leases: dict[Node, list[Lease]] = {}
    for lease in tiers.leases.values():
        leases.setdefault(lease.node, []).append(lease)
    nodes: list[Node] = []
    roots = [tiers.tree.root(name) for name in tiers.tree.namespaces]
    below = [child for root in roots for child in root.live_children.values()]
    while below:
        nodes.append(below.pop())
        below.extend(nodes[-1].live_children.values())
    spans: dict[Node, set[int]] = {}
    for node in reversed(nodes):  # children first
        spans[node] = {node.seq, *(lease.seq for lease in leases.get(node, ()))}
        spans[node].update(*(spans[child] for child in node.live_children.values()))
    runs = _private_runs(lease for lease in tiers.leases.values() if lease.node.parent is None)
    for node in nodes:
        run = _Run(sorted(spans[node]), node.start, node.stop)
        if runs and (runs[-1].seqs, runs[-1].stop) == (run.seqs, run.start):
            runs[-1].stop = run.stop
        else:
            runs.append(run)
        runs += _private_runs(leases.get(node, ()))
    return runs


def _private_runs(leases: Iterable[Lease]) -> list[_Run]:
    return [_Run([lease.seq], lease.committed, lease.length) for lease in leases if lease.private]

"""The cache's books, audited against the tree: each count is made again from the nodes."""

from __future__ import annotations

from collections import Counter

from .pins import Pins
from .saved import SavedTree
from .snapshot_tree import SnapshotTree
from .tiers import TieredTree
from .tree import Node


def check_integrity(tiers: TieredTree, pins: Pins) -> None:
    """Raises AssertionError, with the numbers, where an invariant of `tiers.py` does not hold."""
    nodes = _check_saved(tiers, pins)
    _check_counts(tiers, nodes)
    for node in nodes:
        _check_node(tiers, node)
    _check_leases(tiers)
    _check_sequences(tiers, nodes)


def check_snapshots(tree: SnapshotTree, pins: Pins) -> None:
    """Raises AssertionError, with the numbers, where the books contradict `snapshot_tree.py`."""
    nodes = _check_saved(tree, pins)
    tree.cells.check_integrity()
    held = [node for node in nodes if node.seq >= 0]
    if sorted([*(n.seq for n in held), *tree.leases, *tree.ids]) != list(range(tree.store.n_seqs)):
        raise AssertionError(
            f"sequences: {len(held)} held + {len(tree.leases)} on loan + {len(tree.ids)} free of "
            f"{tree.store.n_seqs}"
        )
    _equal("held nodes", len(tree.held), len(held))
    for node in nodes:
        _check_snapshot(tree, node)
    for lease in tree.leases.values():
        if tree.cells.length(lease.seq) != lease.length or not lease.node.lock_count:
            raise AssertionError(f"lease of {lease.length} tokens on {lease.seq}")


def _check_snapshot(tree: SnapshotTree, node: Node) -> None:
    where = f"node [{node.start}, {node.stop})"
    if not (node.children or node.lock_count or tree.has_snapshot(node)):
        raise AssertionError(f"{where}: a leaf without snapshot or user")
    if node.seq >= 0 and tree.cells.length(node.seq) != node.stop:
        raise AssertionError(f"{where}: {tree.cells.length(node.seq)} cells are held")
    for item in (node.blob, node.file):
        if item is not None and (item.start, item.stop) != (0, node.stop):
            raise AssertionError(f"{where}: what is saved of it is [{item.start}, {item.stop})")
    _equal(f"{where}: may be parked", node in tree.held, node.seq >= 0)
    is_spare = bool(node.blob) and not tree.is_pinned(node)
    _equal(f"{where}: blob may go", node in tree.host.droppable, is_spare)
    _equal(f"{where}: file may go", node in tree.disk.droppable, bool(node.file))


def _check_saved(tree: SavedTree, pins: Pins) -> list[Node]:
    """What all trees have in common; returns the nodes."""
    tree.tree.check_integrity()
    nodes = list(tree.tree.nodes())
    tree.host.check_integrity(nodes)
    tree.disk.check_integrity(nodes)
    _equal("nodes", len(tree.tree), len(nodes))
    saved = [node for node in nodes if node.seq < 0 and (node.blob or node.file)]
    _equal("parked tokens", tree.parked_tokens, sum(map(len, saved)))
    _equal("stored tokens", tree.stored_tokens, sum(len(n) for n in saved if not n.blob))
    _equal("private tokens", tree.private_tokens, sum(x.private for x in tree.leases.values()))
    _check_pins(tree, pins, nodes)
    return nodes


def _equal(what: str, booked: object, counted: object) -> None:
    if booked != counted:
        raise AssertionError(f"{what}: {booked} in the books, {counted} counted")


def _check_counts(tiers: TieredTree, nodes: list[Node]) -> None:
    live = [node for node in nodes if node.seq >= 0]
    _equal("live tokens", tiers.live_tokens, sum(map(len, live)))
    _equal("idle tokens", tiers.idle_tokens, sum(len(n) for n in live if not n.lock_count))
    if tiers.free_cells < 0:
        raise AssertionError(
            f"{tiers.live_tokens} live + {tiers.private_tokens} private tokens in "
            f"{tiers.store.n_cells} cells"
        )


def _check_node(tiers: TieredTree, node: Node) -> None:
    where = f"node [{node.start}, {node.stop}) under sequence {node.seq}"
    is_live, parent = node.seq >= 0, node.parent
    assert parent is not None
    if is_live and parent.seq < 0 and parent.parent is not None:
        raise AssertionError(f"{where}: live under a parked parent")
    if not (is_live or node.blob or node.file):
        raise AssertionError(f"{where}: neither live nor saved")
    if not is_live and node.lock_count:
        raise AssertionError(f"{where}: parked with {node.lock_count} locks")
    _equal(f"{where}: live child", node.first_token in parent.live_children, is_live)
    is_live_leaf = is_live and not node.lock_count and not node.live_children
    _equal(f"{where}: may be parked", node in tiers.live_leaves, is_live_leaf)
    may_leave_memory = tiers.folder is not None or not node.children
    is_spare = bool(node.blob) and not node.pin_count and (is_live or may_leave_memory)
    _equal(f"{where}: blob may go", node in tiers.host.droppable, is_spare)
    is_spare = bool(node.file) and (is_live or bool(node.blob) or not node.children)
    _equal(f"{where}: file may go", node in tiers.disk.droppable, is_spare)


def _check_pins(tree: SavedTree, pins: Pins, nodes: list[Node]) -> None:
    counted = Counter(step for node in pins.nodes for step in node.path()[1:])
    _equal("pins of nodes", {n: n.pin_count for n in nodes if n.pin_count}, dict(counted))
    _equal("pinned tokens", pins.pinned_tokens, sum(map(len, counted)))
    for node in (saved for end in pins.nodes for saved in tree.saved_path(end)):
        if not node.blob:
            raise AssertionError(f"node [{node.start}, {node.stop}): pinned and not in memory")


def _check_leases(tiers: TieredTree) -> None:
    locks: Counter[Node] = Counter()
    for seq, lease in tiers.leases.items():
        _equal("sequence of a lease", lease.seq, seq)
        if lease.private < 0 or not lease.node.lock_count:
            raise AssertionError(
                f"lease on {seq}: length {lease.length}, committed {lease.committed}, "
                f"{lease.node.lock_count} locks on its node"
            )
        locks.update(lease.node.ancestry())
    booked = {n: n.lock_count for n in tiers.tree.nodes() if n.lock_count}
    counted = {n: count for n, count in locks.items() if n.parent is not None}
    if booked != counted:
        raise AssertionError(
            f"{sum(booked.values())} locks on {len(booked)} nodes, but the leases account for "
            f"{sum(counted.values())} on {len(counted)}"
        )


def _check_sequences(tiers: TieredTree, nodes: list[Node]) -> None:
    by_sequence: dict[int, list[Node]] = {}
    for node in nodes:
        if node.seq >= 0:
            by_sequence.setdefault(node.seq, []).append(node)
    for seq, members in by_sequence.items():
        deepest = max(members, key=lambda node: node.stop)
        lease = tiers.leases.get(seq)
        end = lease.node if lease else deepest
        on_path = set(end.ancestry())
        if not on_path.issuperset(members):
            raise AssertionError(f"sequence {seq}: its {len(members)} nodes are not on one path")
        if lease is None and (deepest.live_children or deepest.lock_count):
            raise AssertionError(f"sequence {seq}: held by no lease, and not needed at its end")
        _equal(f"nodes of sequence {seq}", tiers.ids.node_count(seq), len(members))
    used = by_sequence.keys() | tiers.leases.keys()
    _equal("sequences in use", tiers.ids.n_used, len(used))
    _equal("sequences, free + used", tiers.ids.n_free + len(used), tiers.store.n_seqs - 1)

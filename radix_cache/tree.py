"""A radix tree over token ids: which prefixes are known, and who is using them.

The tree knows nothing of KV cells; the cache hangs its state on the nodes. Edges are int32 arrays,
so that a 10,000-token edge is compared in one vectorised step, and every walk is a loop: a
conversation of thousands of turns is a path of thousands of nodes.

    root ── "You are a" ──┬── " judge" ── ...
                          └── " poet"  ── ...        one root per namespace

The idea is RadixAttention's (Zheng et al., 2024, arXiv:2312.07104).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .base import Blob

if TYPE_CHECKING:
    from .disk import DiskFile

TokenArray = NDArray[np.int32]
Tokens = Sequence[int] | TokenArray


def as_token_array(tokens: Tokens) -> TokenArray:
    """`tokens` as int32[n]; the same object if it already is one."""
    return np.asarray(tokens, dtype=np.int32)


class Node:
    """An edge of the tree and the point where it ends.

    Attributes:
        tokens: the edge's label, int32[stop - start]; never written to.
        start, stop: how many tokens lie between the root and either end of the edge.
        parent: None for a root.
        children: by the first token of their label.
        lock_count: users at or below this node; a locked node is not removed.
        last_used: the clock when a user last came or went.
        uses, worth: the eviction policy's: how often it was used, and what that is worth.
        pin_count: pins at or below this node; the cache keeps a pinned node saved in memory.
        room: the array that `tokens` is the beginning of, where the edge grew; else None.
        seq: the cache's: a sequence that holds the whole path down to `stop`, or -1.
        live_children: the cache's: those children whose `seq` is not -1.
        blob: the cache's: KV saved in memory that covers [start, stop), perhaps more, or None.
        file: the cache's: the same on disk.
    """

    __slots__ = (
        "blob",
        "children",
        "file",
        "last_used",
        "live_children",
        "lock_count",
        "parent",
        "pin_count",
        "room",
        "seq",
        "start",
        "stop",
        "tokens",
        "uses",
        "worth",
    )

    def __init__(self, tokens: TokenArray, parent: Node | None, last_used: float) -> None:
        self.tokens = tokens
        self.parent = parent
        self.start: int = parent.stop if parent else 0
        self.stop: int = self.start + len(tokens)
        self.children: dict[int, Node] = {}
        self.live_children: dict[int, Node] = {}
        self.lock_count = 0
        self.last_used = last_used
        self.uses = 0.0
        self.worth = 0.0
        self.pin_count = 0
        self.room: TokenArray | None = None
        self.seq = -1
        self.blob: Blob | None = None
        self.file: DiskFile | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    def __bool__(self) -> bool:  # a root has length 0 and is a node all the same
        return True

    @property
    def first_token(self) -> int:
        """The key of this node among its parent's children. A root has none."""
        return int(self.tokens[0])

    def path(self) -> list[Node]:
        """The nodes from the root to this one, both included."""
        nodes = list(self.ancestry())
        nodes.reverse()
        return nodes

    def ancestry(self) -> Iterator[Node]:
        """This node, its parent, and so on up to the root."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def subtree(self) -> Iterator[Node]:
        """This node and all below it, each before its children."""
        pending: list[Node] = [self]
        while pending:
            node = pending.pop()
            pending.extend(node.children.values())
            yield node


class Root(Node):
    """The empty prefix of one namespace."""

    __slots__ = ("namespace",)

    def __init__(self, namespace: str, last_used: float) -> None:
        super().__init__(np.empty(0, dtype=np.int32), None, last_used)
        self.namespace = namespace


@dataclass(frozen=True, slots=True)
class Match:
    """The longest known prefix: `length` tokens, the last of them on the edge of `node`.

    Where `length < node.stop` the match ends inside the edge.
    """

    node: Node
    length: int


def common_prefix(a: TokenArray, b: TokenArray) -> int:
    """Length of the longest common prefix."""
    n = min(len(a), len(b))
    if not n:
        return 0
    differs = a[:n] != b[:n]
    first = int(differs.argmax())
    return first if differs[first] else n


class RadixTree:
    """Token prefixes, shared. Not thread-safe.

    `clock` gives the time that `last_used` is stamped with; it must not run backwards.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._roots: dict[str, Root] = {}
        self._n_nodes = 0

    def __len__(self) -> int:
        """Nodes, roots not counted."""
        return self._n_nodes

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that hold tokens or locks, oldest first."""
        return tuple(self._roots)

    def now(self) -> float:
        """What a node that is used at this moment is stamped with."""
        return self._clock()

    def root(self, namespace: str = "") -> Root:
        """The namespace's root, made if there is none."""
        root = self._roots.get(namespace)
        if root is None:
            root = self._roots[namespace] = Root(namespace, self._clock())
        return root

    def nodes(self, namespace: str | None = None) -> Iterator[Node]:
        """Every node but the roots, each before its children; of all namespaces by default."""
        names = self._roots if namespace is None else (namespace,)
        for root in [self._roots[name] for name in names if name in self._roots]:
            for node in root.subtree():
                if node is not root:
                    yield node

    def match_prefix(self, tokens: Tokens, namespace: str = "") -> Match:
        """The longest prefix of `tokens` in the tree. Changes nothing, splits nothing.

        In a namespace that holds nothing the match is an empty root that is not part of the tree.
        """
        root = self._roots.get(namespace)
        if root is None:
            return Match(Root(namespace, 0.0), 0)
        return self.match_below(root, as_token_array(tokens))

    def match_below(self, node: Node, tokens: TokenArray) -> Match:
        """As `match_prefix`, given that the first `node.stop` tokens are the path to `node`."""
        depth = node.stop
        while depth < len(tokens):
            child = node.children.get(int(tokens[depth]))
            if child is None:
                break
            node = child
            depth += common_prefix(node.tokens, tokens[depth:])
            if depth < node.stop:
                break
        return Match(node, depth)

    def continuation(self, node: Node, tokens: Sequence[int], n: int) -> list[int]:
        """At most `n` tokens behind `tokens` below `node`, along the branches used last.

        Empty where the tree does not have all of `tokens`. Changes nothing.
        """
        at, matched = 0, len(node)  # of `tokens`, and of the edge
        while at < len(tokens):
            child = node.children.get(tokens[at])
            if child is None:
                return []
            matched = min(len(child), len(tokens) - at)
            if child.tokens[:matched].tolist() != list(tokens[at : at + matched]):
                return []
            node, at = child, at + matched
        found: list[int] = node.tokens[matched : matched + n].tolist()
        while len(found) < n and node.children:
            node = max(node.children.values(), key=lambda child: child.last_used)
            found += node.tokens[: n - len(found)].tolist()
        return found

    def insert(self, tokens: Tokens, namespace: str = "") -> Node:
        """The node that ends exactly where `tokens` does, made if need be."""
        tokens = as_token_array(tokens)
        match = self.match_below(self.root(namespace), tokens)
        node = match.node
        if match.length < node.stop:
            node = self.split(node, match.length)
        return self.append(node, tokens[match.length :]) if match.length < len(tokens) else node

    def append(self, node: Node, tokens: TokenArray) -> Node:
        """A new leaf under `node`. The label is copied; no child may share its first token."""
        key = int(tokens[0])
        if key in node.children:
            raise ValueError(f"a child of the node at {node.stop} already starts with token {key}")
        leaf = node.children[key] = Node(tokens.copy(), node, self._clock())
        self._n_nodes += 1
        return leaf

    def extend(self, leaf: Node, tokens: TokenArray) -> None:
        """Lengthens the edge of `leaf` by `tokens`. Its node stays the same object.

        Chunk after chunk costs O(1) a token: the label grows into room left behind it, by a quarter
        of its length.
        """
        if leaf.children or leaf.parent is None:
            raise ValueError(f"only a leaf can be extended; the node at {leaf.stop} is none")
        used = len(leaf)
        size = used + len(tokens)
        if leaf.room is None or size > len(leaf.room):
            leaf.room = np.empty(size + size // 4, np.int32)
            leaf.room[:used] = leaf.tokens
        leaf.room[used:size] = tokens
        leaf.tokens = leaf.room[:size]
        leaf.stop += len(tokens)

    def split(self, node: Node, at: int) -> Node:
        """Cuts the edge of `node` at depth `at`, between `node.start` and `node.stop`.

        Returns the new upper node. `node` stays the lower one, so whoever holds it still ends at
        the same depth. The upper takes over locks, time of use, sequence and what is saved.
        """
        parent = node.parent
        if parent is None or not node.start < at < node.stop:
            raise ValueError(f"cannot split the edge [{node.start}, {node.stop}) at {at}")
        key, cut = node.first_token, at - node.start
        upper = Node(node.tokens[:cut], parent, node.last_used)
        upper.lock_count, upper.seq = node.lock_count, node.seq
        upper.blob, upper.file = node.blob, node.file
        upper.uses, upper.worth, upper.pin_count = node.uses, node.worth, node.pin_count
        node.room = None  # the upper part's label lies there, too
        parent.children[key] = upper
        node.tokens, node.start, node.parent = node.tokens[cut:], at, upper
        upper.children[node.first_token] = node
        if node.seq >= 0:
            parent.live_children[key] = upper
            upper.live_children[node.first_token] = node
        self._n_nodes += 1
        return upper

    def remove(self, leaf: Node) -> None:
        """Takes an unlocked leaf out of the tree."""
        if leaf.parent is None or leaf.children or leaf.lock_count:
            raise ValueError(
                f"only an unlocked leaf can be removed; the node at {leaf.stop} has "
                f"{len(leaf.children)} children and {leaf.lock_count} locks"
            )
        del leaf.parent.children[leaf.first_token]
        self._n_nodes -= 1
        self._forget_if_empty(leaf.parent)
        leaf.parent = None

    def lock(self, node: Node) -> int:
        """Keeps the path down to `node` in the tree until `unlock(node)`. Locks nest.

        Returns how many tokens of the path were not locked before.
        """
        now, newly_locked = self._clock(), 0
        for step in node.ancestry():
            if not step.lock_count:
                newly_locked += len(step)
            step.lock_count += 1
            step.last_used = now
        return newly_locked

    def unlock(self, node: Node) -> int:
        """Undoes one `lock(node)`. Returns how many tokens of the path are no longer locked."""
        if not node.lock_count:
            raise ValueError(f"the node at {node.stop} is not locked")
        now, newly_unlocked, top = self._clock(), 0, node
        for top in node.ancestry():
            top.lock_count -= 1
            top.last_used = now
            if not top.lock_count:
                newly_unlocked += len(top)
        self._forget_if_empty(top)
        return newly_unlocked

    def unlock_all(self) -> None:
        """Undoes every lock."""
        for root in list(self._roots.values()):
            for node in root.subtree():
                node.lock_count = 0
            self._forget_if_empty(root)

    def _forget_if_empty(self, node: Node) -> None:
        # namespaces may be many (tenants, adapters): an unused one costs nothing
        if isinstance(node, Root) and not node.children and not node.lock_count:
            del self._roots[node.namespace]

    def check_integrity(self) -> None:
        """Raises AssertionError, with the numbers, where the structure contradicts itself."""
        for root in self._roots.values():
            for node in root.subtree():
                self._check_node(node)

    def _check_node(self, node: Node) -> None:
        where = f"node [{node.start}, {node.stop})"
        locks_below = 0
        for key, child in node.children.items():
            locks_below += child.lock_count
            if child.parent is not node or child.first_token != key or child.start != node.stop:
                raise AssertionError(
                    f"{where}: child under key {key} starts at {child.start} with token "
                    f"{child.first_token}; its parent is this node: {child.parent is node}"
                )
        if len(node.tokens) != len(node) or (len(node) == 0) != (node.parent is None):
            raise AssertionError(f"{where}: label of {len(node.tokens)} tokens")
        if not 0 <= locks_below <= node.lock_count:
            raise AssertionError(f"{where}: {node.lock_count} locks, its children {locks_below}")

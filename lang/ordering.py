"""Orders of interchangeable blocks that make prompts share prefixes.

Blocks of many prompts, each put in the order of how often it occurs in all of them, form an FP-tree
(Han et al., SIGMOD 2000): frequent ones come first, so prompts have long prefixes in common. Where
counts change as prompts come, an order that was used before is worth more than the best one of now,
because its KV is cached: so a prompt first goes along orders that were used, then by count.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MAX_NODES = 200_000
MAX_STEPS = 2_000


@dataclass(frozen=True, slots=True)
class OrderReport:
    """What ordering blocks has saved so far, in characters of blocks.

    A block is saved where it and all before it are those of an earlier prompt.

    Attributes:
        prompts: how many lists of blocks were ordered.
        total: characters of all their blocks.
        saved: those that earlier prompts began with, in the order chosen.
        saved_as_given: the same, had every list been left in its own order.
    """

    prompts: int
    total: int
    saved: int
    saved_as_given: int

    def __add__(self, other: OrderReport) -> OrderReport:
        return OrderReport(
            self.prompts + other.prompts,
            self.total + other.total,
            self.saved + other.saved,
            self.saved_as_given + other.saved_as_given,
        )


@dataclass(slots=True)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)


class _Trie:
    """Orders that were used; forgotten all at once when there are too many."""

    def __init__(self) -> None:
        self.root = _Node()
        self.saved = 0
        self._n_nodes = 0

    def add(self, blocks: Sequence[str]) -> None:
        if self._n_nodes > MAX_NODES:
            self.root, self._n_nodes = _Node(), 0
        node = self.root
        for block in blocks:
            child = node.children.get(block)
            if child is None:
                child = node.children[block] = _Node()
                self._n_nodes += 1
            else:
                self.saved += len(block)
            node = child


class OrderPlanner:
    """Chooses orders for the lists of blocks of one program. Thread-safe.

    Counts, as orders, are forgotten all at once when there are too many.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._foreseen: Counter[str] = Counter()
        self._chosen, self._given = _Trie(), _Trie()
        self._prompts = self._total = 0

    def foresee(self, rows: Iterable[object]) -> None:
        """Counts the texts in lists among the arguments of rows that are about to run."""
        with self._lock:
            for row in rows:
                values = row.values() if isinstance(row, Mapping) else row
                if isinstance(values, str) or not isinstance(values, Iterable):
                    continue
                for value in values:
                    if isinstance(value, list | tuple):
                        _count(self._foreseen, [v for v in value if isinstance(v, str)])

    def order(self, blocks: Sequence[str]) -> tuple[int, ...]:
        """A permutation of `range(len(blocks))`: which block comes first, second, ..."""
        with self._lock:
            _count(self._counts, blocks)
            left: dict[str, list[int]] = {}
            for index, block in enumerate(blocks):
                left.setdefault(block, []).append(index)
            path = _longest_path(self._chosen.root, Counter(blocks))
            chosen = [_take(left, block) for block in path]
            for block in sorted(left, key=self._rank):
                chosen += left[block]
            self._chosen.add([blocks[index] for index in chosen])
            self._given.add(blocks)
            self._prompts += 1
            self._total += sum(map(len, blocks))
            return tuple(chosen)

    def report(self) -> OrderReport:
        """What was saved so far."""
        with self._lock:
            return OrderReport(self._prompts, self._total, self._chosen.saved, self._given.saved)

    def _rank(self, block: str) -> tuple[int, str]:
        # equal counts: by content, which is the same in every list
        return (-max(self._counts[block], self._foreseen[block]), block)


class OrderPlanners:
    """The planners of one program, one for each adapter and namespace. Thread-safe.

    Prompts of different ones share nothing, and an order must not tell one tenant what another's
    prompts held. The least recently used one is forgotten when there are too many.
    """

    MOST = 64

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planners: OrderedDict[tuple[str, str], OrderPlanner] = OrderedDict()
        self._forgotten = OrderReport(0, 0, 0, 0)

    def of(self, adapter: str, namespace: str) -> OrderPlanner:
        """The planner for prompts under an adapter and in a namespace."""
        with self._lock:
            planner = self._planners.setdefault((adapter, namespace), OrderPlanner())
            self._planners.move_to_end((adapter, namespace))
            if len(self._planners) > self.MOST:
                _, oldest = self._planners.popitem(last=False)
                self._forgotten += oldest.report()
            return planner

    def report(self) -> OrderReport:
        """What all of them have saved so far."""
        with self._lock:
            reports = [planner.report() for planner in self._planners.values()]
            return sum(reports, start=self._forgotten)


def _count(counts: Counter[str], blocks: Sequence[str]) -> None:
    if len(counts) > MAX_NODES:
        counts.clear()
    counts.update(blocks)


def _longest_path(root: _Node, available: Counter[str]) -> list[str]:
    """The path with the most characters that only takes what is available.

    Of MAX_STEPS nodes at most: with so many orders in use, one of the longest will do.
    """
    best: tuple[int, list[str]] = (0, [])
    work: list[tuple[_Node, int, list[str]]] = [(root, 0, [])]
    for _ in range(MAX_STEPS):
        if not work:
            break
        node, size, path = work.pop()
        if size > best[0]:
            best = size, path
        left = available - Counter(path)
        for block in left:
            child = node.children.get(block)
            if child is not None:
                work.append((child, size + len(block), [*path, block]))
    return best[1]


def _take(left: dict[str, list[int]], block: str) -> int:
    indices = left[block]
    index = indices.pop(0)
    if not indices:
        del left[block]
    return index

"""The token tree against a brute-force model: the set of all known prefixes."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from treegram.radix_cache import Node, RadixTree
from treegram.radix_cache.render import render

SEQUENCES = st.lists(st.integers(0, 2), max_size=10)
NAMESPACES = st.sampled_from(["", "tenant"])


def new_tree() -> RadixTree:
    ticks = count()
    return RadixTree(lambda: next(ticks))


def path_tokens(node: Node) -> list[int]:
    return [int(token) for step in node.path() for token in step.tokens]


class TreeMachine(RuleBasedStateMachine):
    """Random inserts, matches, locks and removals; the model holds every prefix by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = new_tree()
        self.known: dict[str, set[tuple[int, ...]]] = {"": set(), "tenant": set()}
        self.locked: list[tuple[str, Node, list[int]]] = []

    @rule(tokens=SEQUENCES.filter(bool), namespace=NAMESPACES)
    def insert(self, tokens: list[int], namespace: str) -> None:
        node = self.tree.insert(tokens, namespace)
        assert path_tokens(node) == tokens
        self.known[namespace] |= {tuple(tokens[:n]) for n in range(1, len(tokens) + 1)}

    @rule(tokens=SEQUENCES, namespace=NAMESPACES)
    def match(self, tokens: list[int], namespace: str) -> None:
        before = render(self.tree)
        match = self.tree.match_prefix(tokens, namespace)
        known = self.known[namespace]
        longest = max((n for n in range(len(tokens) + 1) if tuple(tokens[:n]) in known), default=0)
        assert match.length == longest
        assert path_tokens(match.node)[:longest] == tokens[:longest]
        assert match.node.parent is None or match.node.start < longest <= match.node.stop
        assert render(self.tree) == before

    @rule(tokens=SEQUENCES, namespace=NAMESPACES)
    def lock(self, tokens: list[int], namespace: str) -> None:
        node = self.tree.insert(tokens, namespace)
        self.known[namespace] |= {tuple(tokens[:n]) for n in range(1, len(tokens) + 1)}
        unlocked = sum(len(step) for step in node.path() if not step.lock_count)
        assert self.tree.lock(node) == unlocked
        self.locked.append((namespace, node, tokens))

    @precondition(lambda self: self.locked)
    @rule(data=st.data())
    def unlock(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.locked) - 1))
        _, node, _ = self.locked.pop(index)
        self.tree.unlock(node)

    @rule(data=st.data(), namespace=NAMESPACES)
    def remove(self, data: st.DataObject, namespace: str) -> None:
        leaves = [n for n in self.tree.nodes(namespace) if not n.children and not n.lock_count]
        if leaves:
            leaf = data.draw(st.sampled_from(leaves))
            tokens = path_tokens(leaf)
            self.known[namespace] -= {
                tuple(tokens[:n]) for n in range(leaf.start + 1, leaf.stop + 1)
            }
            self.tree.remove(leaf)

    @invariant()
    def holds_exactly_the_known_prefixes(self) -> None:
        self.tree.check_integrity()
        assert len(self.tree) == len(list(self.tree.nodes()))
        for namespace, known in self.known.items():
            held = set[tuple[int, ...]]()
            for node in self.tree.nodes(namespace):
                tokens = path_tokens(node)
                held |= {tuple(tokens[:n]) for n in range(node.start + 1, node.stop + 1)}
            assert held == known

    @invariant()
    def locked_nodes_still_end_where_they_did(self) -> None:
        for _, node, tokens in self.locked:
            assert path_tokens(node) == tokens
            assert node.lock_count > 0

    @invariant()
    def unused_namespaces_are_forgotten(self) -> None:
        used = {name for name, known in self.known.items() if known}
        used |= {namespace for namespace, _, _ in self.locked}
        assert used == set(self.tree.namespaces)


TestTree = pytest.mark.slow(TreeMachine.TestCase)
TestTree.settings = settings(
    derandomize=True, deadline=None, max_examples=60, stateful_step_count=30
)


def test_match_says_where_inside_an_edge_it_stopped() -> None:
    tree = new_tree()
    node = tree.insert([1, 2, 3, 4])
    match = tree.match_prefix([1, 2, 9])
    assert (match.node, match.length) == (node, 2)
    assert len(tree) == 1


def test_split_keeps_the_lower_node_and_gives_the_upper_its_locks() -> None:
    tree = new_tree()
    node = tree.insert([1, 2, 3, 4])
    tree.lock(node)
    upper = tree.split(node, 1)
    assert (upper.start, upper.stop, upper.lock_count) == (0, 1, 1)
    assert (node.start, node.stop, node.parent) == (1, 4, upper)
    tree.unlock(node)
    assert (upper.lock_count, node.lock_count) == (0, 0)


def test_coming_and_going_stamp_the_whole_path() -> None:
    now = 0.0
    tree = RadixTree(lambda: now)
    upper, leaf, other = tree.insert([1]), tree.insert([1, 2]), tree.insert([1, 3])
    now = 1.0
    tree.lock(leaf)
    assert (upper.last_used, leaf.last_used, other.last_used) == (1, 1, 0)
    now = 2.0
    tree.unlock(leaf)
    assert (upper.last_used, leaf.last_used, other.last_used) == (2, 2, 0)


def test_namespaces_share_nothing_and_cost_nothing_when_empty() -> None:
    tree = new_tree()
    leaf = tree.insert([1, 2], "a")
    assert tree.match_prefix([1, 2], "b").length == 0
    assert list(tree.namespaces) == ["a"]
    tree.remove(leaf)
    assert list(tree.namespaces) == []


def test_a_path_of_thousands_of_nodes_needs_no_recursion() -> None:
    tree = new_tree()
    tokens = np.arange(2_000, dtype=np.int32)
    node: Node = tree.root()
    for i in range(len(tokens)):
        node = tree.append(node, tokens[i : i + 1])
    tree.lock(node)
    assert tree.match_prefix(tokens).length == len(tokens)
    tree.check_integrity()
    assert len(render(tree).splitlines()) == 2_001
    tree.unlock(node)


def test_inserted_labels_are_not_views_of_the_callers_array() -> None:
    tree = new_tree()
    tokens = np.array([1, 2, 3], dtype=np.int32)
    tree.insert(tokens)
    tokens[:] = 7
    assert tree.match_prefix([1, 2, 3]).length == 3


def test_misuse_is_refused() -> None:
    tree = new_tree()
    parent, leaf = tree.insert([1, 2]), tree.insert([1, 2, 3])
    with pytest.raises(ValueError, match=r"cannot split the edge \[0, 2\) at 2"):
        tree.split(parent, 2)
    with pytest.raises(ValueError, match="has 1 children and 0 locks"):
        tree.remove(parent)
    with pytest.raises(ValueError, match="not locked"):
        tree.unlock(leaf)
    with pytest.raises(ValueError, match="already starts with token 3"):
        tree.append(parent, np.array([3], dtype=np.int32))
    with pytest.raises(ValueError, match="only a leaf can be extended"):
        tree.extend(parent, np.array([3], dtype=np.int32))
    tree.lock(leaf)
    with pytest.raises(ValueError, match="has 0 children and 1 locks"):
        tree.remove(leaf)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda node: setattr(node, "start", 3), "child under key 3 starts at 3"),
        (lambda node: setattr(node, "stop", 9), r"\[2, 9\): label of 1 tokens"),
        (lambda node: setattr(node, "lock_count", 1), r"\[0, 2\): 0 locks, its children 1"),
    ],
)
def test_damage_is_found(damage: object, message: str) -> None:
    tree = new_tree()
    tree.insert([1, 2])
    leaf = tree.insert([1, 2, 3])
    tree.check_integrity()
    assert callable(damage)
    damage(leaf)
    with pytest.raises(AssertionError, match=message):
        tree.check_integrity()


def test_render_shows_ranges_locks_and_tokens() -> None:
    tree = new_tree()
    tree.insert(list(range(10)))
    tree.lock(tree.insert([0, 1, 5]))
    assert render(tree) == "\n".join(
        [
            "namespace ''",
            "  [0, 2) known, 1 lock: 0 1",
            "    [2, 10) known: 2 3 4 5 6 7 8 9",
            "    [2, 3) known, 1 lock: 5",
        ]
    )

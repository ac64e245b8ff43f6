"""What the tree has behind a text, against a plain list of all texts."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from treegram.radix_cache.tree import RadixTree

tokens = st.lists(st.integers(0, 2), max_size=8)


@given(st.lists(tokens.filter(bool), max_size=10), tokens, st.integers(0, 8), st.integers(1, 6))
def test_a_continuation_is_that_of_the_text_used_last(
    texts: list[list[int]], asked: list[int], cut: int, n: int
) -> None:
    clock = count()
    tree = RadixTree(lambda: float(next(clock)))
    for text in texts:
        node = tree.insert(text)
        tree.lock(node)
        tree.unlock(node)
    ends = [i for i in range(len(asked) + 1) if any(t[:i] == asked[:i] for t in texts)]
    above = tree.insert(asked[: min(cut, max(ends))]) if ends else tree.root("")
    found = tree.continuation(above, asked[above.stop :], n)
    wanted = [text[len(asked) :] for text in texts if text[: len(asked)] == asked]
    assert bool(found) == any(wanted)
    if found:
        assert any(text[: len(found)] == found for text in wanted)
        assert len(found) == n or found in wanted
        if not above.stop:  # inserting the part above would use a branch
            last = [text for text in wanted if text][-1]
            assert found[0] == last[0]


def test_it_follows_the_branch_that_was_used_last() -> None:
    clock = count()
    tree = RadixTree(lambda: float(next(clock)))
    for text in ([1, 2, 3, 4], [1, 2, 5, 6], [1, 2, 3, 7]):
        node = tree.insert(text)
        tree.lock(node)
        tree.unlock(node)
    assert tree.continuation(tree.root(""), [1], 3) == [2, 3, 7]
    assert tree.continuation(tree.root(""), [1, 2, 5], 3) == [6]
    assert tree.continuation(tree.root(""), [1, 2, 8], 3) == []
    assert tree.continuation(node, [], 3) == []

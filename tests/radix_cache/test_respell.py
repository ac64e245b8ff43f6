"""Prompts matched by their bytes, against a search of every spelling that the tree holds."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from treegram.radix_cache.respell import MAX_STEPS, WINDOW, Pieces, respelled
from treegram.radix_cache.tree import RadixTree, as_token_array

PIECES = [b"", b"a", b"b", b"c", b"ab", b"bc", b"abc", b"ca", b"aa", b"a"]  # 9 spells what 1 does
SPELLING = Pieces(PIECES)
CONTROL = 0


def spelled(tokens: list[int]) -> bytes:
    return b"".join(PIECES[t] or b"<>" for t in tokens)


def canonical(data: bytes) -> list[int]:
    """The longest token at each place, as a tokeniser of this vocabulary might do it."""
    tokens: list[int] = []
    while data:
        best = max(
            (t for t in range(1, 9) if data.startswith(PIECES[t])), key=lambda t: len(PIECES[t])
        )
        tokens.append(best)
        data = data[len(PIECES[best]) :]
    return tokens


def tree_of(paths: list[list[int]]) -> RadixTree:
    ticks = itertools.count()
    tree = RadixTree(lambda: float(next(ticks)))
    for path in paths:
        tree.insert(path)
    return tree


def respell(tree: RadixTree, tokens: list[int]) -> list[int]:
    return list(map(int, respelled(tree.root(), as_token_array(tokens), SPELLING)))


def test_generated_text_is_found_again_from_its_text() -> None:
    tree = tree_of([[CONTROL, 6, CONTROL, 1, 2, 3, 1, 5, CONTROL, 8]])
    resent = [CONTROL, *canonical(b"abc"), CONTROL, *canonical(b"abcabc"), CONTROL, 8, 4]
    assert respell(tree, resent) == [CONTROL, 6, CONTROL, 1, 2, 3, 1, 5, CONTROL, 8, 4]


def test_two_turns_are_two_detours() -> None:
    tree = tree_of([[CONTROL, 1, 2, CONTROL, 3, CONTROL, 1, 5, CONTROL]])
    resent = [CONTROL, 4, CONTROL, 3, CONTROL, 6, CONTROL, 7]
    assert respell(tree, resent) == [CONTROL, 1, 2, CONTROL, 3, CONTROL, 1, 5, CONTROL, 7]


def test_a_detour_that_ends_inside_a_token_is_none() -> None:
    tree = tree_of([[1]])
    assert respell(tree, [4]) == [4]


def test_control_tokens_are_matched_by_id_only() -> None:
    tree = tree_of([[1, 2, CONTROL]])
    assert respell(tree, [4, 3]) == [1, 2, 3]
    assert respell(tree, [CONTROL]) == [CONTROL]


def test_what_is_cached_as_it_is_stays_the_same_object() -> None:
    tree = tree_of([[1, 2, 3], [6, 6]])
    tokens = as_token_array([6, 6, 4])
    assert respelled(tree.root(), tokens, SPELLING) is tokens


def test_a_long_text_takes_many_detours() -> None:
    generated = [1, 2, 3] * 500
    tree = tree_of([[CONTROL, *generated, CONTROL]])
    resent = [CONTROL, *canonical(b"abc" * 500), CONTROL]
    assert len(resent) == 502
    assert respell(tree, resent) == [CONTROL, *generated, CONTROL]


def test_a_hostile_tree_costs_a_bounded_search() -> None:
    """2^k spellings of one text, none of which comes to a common end."""
    paths = [[*(8 if bit else 1 for bit in bits)] for bits in itertools.product((0, 1), repeat=9)]
    tree = tree_of([[*path, 2] for path in paths])
    assert len(paths) > MAX_STEPS
    resent = canonical(b"a" * 31)
    found = respell(tree, resent)
    assert spelled(found) == spelled(resent)


texts = st.lists(st.integers(0, 9), min_size=1, max_size=8)


@settings(max_examples=400, deadline=None)
@given(st.lists(texts, min_size=1, max_size=6), texts)
def test_same_bytes_more_of_them_cached(paths: list[list[int]], tail: list[int]) -> None:
    tree = tree_of(paths)
    words = [list(g) for _, g in itertools.groupby(paths[0] + tail, lambda t: t == CONTROL)]
    prompt = [t for w in words for t in (w if CONTROL in w else canonical(spelled(w)))]
    found = respell(tree, prompt)
    assert spelled(found) == spelled(prompt)
    before = tree.match_prefix(prompt).length
    after = tree.match_prefix(found).length
    assert found[:before] == prompt[:before]
    assert (after > before) == (found != prompt)
    assert _is_best(tree, prompt, found)


def _is_best(tree: RadixTree, prompt: list[int], found: list[int]) -> bool:
    """Whether no path of the tree spells more of the prompt, ending between two of its tokens.

    Counted from the first place where the prompt leaves the tree, and up to the first control token
    behind it: what one detour is for.
    """
    before = tree.match_prefix(prompt).length
    rest = prompt[before:]
    until = rest.index(CONTROL) if CONTROL in rest else len(rest)
    if until > WINDOW:
        return True
    ends = {len(spelled(rest[:k])): k for k in range(1, until + 1)}
    text = spelled(rest[:until])
    best = 0
    work: list[list[int]] = [[]]
    while work:
        path = work.pop()
        size = len(spelled(path))
        best = max(best, ends.get(size, 0))
        for token in range(1, len(PIECES)):
            longer = [*path, token]
            there = [*prompt[:before], *longer]
            if text.startswith(PIECES[token], size) and tree.match_prefix(there).length == len(
                there
            ):
                work.append(longer)
    if not best:
        return found == prompt
    size = len(spelled(rest[:best]))
    covered = [
        k
        for k in range(len(found) + 1)
        if len(spelled(found[:k])) == len(spelled(prompt[:before])) + size
    ]
    return any(tree.match_prefix(found[:k]).length == k for k in covered)


def test_images_are_matched_by_their_pseudo_tokens_only() -> None:
    """Those are negative, and spell nothing."""
    tree = tree_of([[4, -7, -9, 4], [4, -8, 3]])
    for written, expected in (
        ([1, 2, -7, -9, 1, 2], [4, -7, -9, 4]),
        ([1, 2, -8, 3], [4, -8, 3]),
        ([1, 2, -9, 1, 2], [4, -9, 1, 2]),
    ):
        assert respelled(tree.root(""), as_token_array(written), SPELLING).tolist() == expected

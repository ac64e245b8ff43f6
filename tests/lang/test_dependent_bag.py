"""Members that come only with others, in order: which can be taken, by brute force."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from treegram.lang.automaton.dependent_bag import with_needs
from treegram.lang.automaton.scopes import Bag

COUNT = 6


@pytest.mark.parametrize("seed", range(60))
def test_members_can_be_taken_that_leave_enough_to_follow(seed: int) -> None:
    random = Random(seed)
    ranks = random.sample(range(COUNT), COUNT)  # no needs run in a circle
    pairs = [random.sample(range(COUNT), 2) for _ in range(random.randint(1, 5))]
    needs = tuple((i, j) for i, j in pairs if ranks[i] < ranks[j])
    low, high = random.randint(2, COUNT), random.choice([None, *range(3, COUNT + 1)])
    objects = [
        chosen
        for size in range(low, (COUNT if high is None else high) + 1)
        for chosen in combinations(range(COUNT), size)
        if all(j in chosen for i, j in needs if i in chosen)
    ]
    plain = Bag(0, 0, 0, None, COUNT, 0, low, high, ordered=True)
    bag = with_needs(plain, needs)
    for chosen in objects:
        used = taken = 0
        for place, member in enumerate(chosen):
            begun = chosen[:place]
            following = {o[place] for o in objects if o[:place] == begun and len(o) > place}
            found = bag.takes(used, taken)
            assert {i for i in range(COUNT) if found >> i & 1} == following, (needs, begun)
            used, taken = bag.after_taking(member, used, taken)

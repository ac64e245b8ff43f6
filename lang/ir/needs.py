"""Members that come only together with others, as `dependentRequired` asks.

Whether an object can be completed is a question of its *closed* sets of members, those that hold
with each member all that it needs. Where no needs run in a circle there is a closed set of every
size between the smallest and the largest one, so bounds on the number of members are plain
comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace

from .nodes import Members

Need = tuple[int, int]
"""Where the first member comes, the second one must."""

Way = tuple[int, int]
"""Sets of members, as bits, that must come and that must not."""


def companions(count: int, needs: tuple[Need, ...]) -> list[int]:
    """Per member of `count`, itself and all that must come with it, however indirectly, as bits."""
    needed: list[list[int]] = [[] for _ in range(count)]
    for i, j in needs:
        needed[i].append(j)
    found = [0] * count
    for i in _needed_first(needed):  # only circles are walked more than once
        closed, todo = 1 << i, needed[i].copy()
        while todo:
            j = todo.pop()
            if not closed >> j & 1:
                closed |= found[j] or 1 << j
                todo += [] if found[j] else needed[j]
        found[i] = closed
    return found


def _needed_first(needed: list[list[int]]) -> list[int]:
    """All members, each behind those that it needs, but for circles."""
    order: list[int] = []
    is_seen = [False] * len(needed)
    for root in range(len(needed)):
        path = [] if is_seen[root] else [(root, iter(needed[root]))]
        is_seen[root] = True
        while path:
            member, rest = path[-1]
            deeper = next((j for j in rest if not is_seen[j]), None)
            if deeper is None:
                order.append(member)
                path.pop()
            else:
                is_seen[deeper] = True
                path.append((deeper, iter(needed[deeper])))
    return order


def has_circle(with_each: list[int]) -> bool:
    """Whether some members need each other."""
    return any(
        others >> j & 1 and with_each[j] >> i & 1
        for i, others in enumerate(with_each)
        for j in range(i)
    )


def blocked(node: Members, dead: Set[int]) -> Set[int]:
    """The members that cannot come where those of `dead` cannot."""
    if not node.needs or not dead:
        return dead
    with_each = companions(len(node.members), node.needs)
    dead_bits = sum(1 << i for i in dead)
    return {i for i, others in enumerate(with_each) if others & dead_bits}


def renumbered(needs: tuple[Need, ...], kept: list[int]) -> tuple[Need, ...]:
    """The needs of the members that are `kept`, by their places in there."""
    places = {old: new for new, old in enumerate(kept)}
    return tuple((places[i], places[j]) for i, j in needs if i in places)


def without_needs(node: Members, chosen: Callable[[list[Way]], list[Way]] = list) -> list[Members]:
    """Alternatives without needs that hold the same objects, each object in one of them.

    There are up to two for each member that needs others; `chosen` takes those to go on with.
    """
    with_each = companions(len(node.members), node.needs)
    ways: list[Way] = [(sum(1 << i for i, m in enumerate(node.members) if m.required), 0)]
    for i in sorted({i for i, _ in node.needs}):
        halves = [
            half
            for taken, refused in ways
            for half in ((taken | with_each[i], refused), (taken, refused | 1 << i))
            if not half[0] & half[1]
        ]
        ways = chosen(halves)
    narrowed = (_narrowed(node, taken, refused) for taken, refused in ways)
    return [members for members in narrowed if members is not None]


def _narrowed(node: Members, taken: int, refused: int) -> Members | None:
    """The objects that have all `taken` members and none of `refused`; None if there are none."""
    members = tuple(
        replace(member, required=bool(taken >> i & 1))
        for i, member in enumerate(node.members)
        if not refused >> i & 1
    )
    if node.max is not None and taken.bit_count() > node.max:
        return None
    if node.extra is None and len(members) < node.min:
        return None
    return replace(node, members=members, needs=())

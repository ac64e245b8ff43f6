"""Arrays: a fixed prefix of positions, then any number of like items, within a count.

Items that must differ have a grammar only where there are few values: one rule per set of values
that are already there.
"""

from __future__ import annotations

from .errors import SchemaError
from .ir import EMPTY, NEVER, Alt, Literal, Node, Ref, Repeat, Seq
from .json_build import Build
from .json_merge import Flat

_MAX_NESTED = 16
_MAX_DISTINCT = 6


def array_node(flat: Flat, constants: list[str] | None, build: Build) -> Node:
    """The JSON arrays that satisfy `flat`, or NEVER. Raises SchemaError.

    `constants`: the texts of all values that an item may have, if they are listed.
    """
    low, high = flat.count.low, flat.count.high
    prefix = flat.prefix
    if flat.items.schema is False:
        high = len(prefix) if high is None else min(high, len(prefix))
    for i, sub in enumerate(prefix):
        if sub.schema is False:
            high = i if high is None else min(high, i)
            break
    if high is not None and low > high:
        return NEVER
    if flat.unique and (high is None or high > 1):
        if constants is not None and len(constants) <= _MAX_DISTINCT and not prefix:
            return Seq((Literal("["), _distinct(constants, low, high, build), Literal("]")))
        raise SchemaError(
            "uniqueItems has an exact grammar only for at most one item, or for items of an enum "
            f"of at most {_MAX_DISTINCT} values; drop it, or set maxItems to 1",
            flat.path,
            "uniqueItems",
        )
    used = prefix if high is None else prefix[:high]
    nodes = [build.node(sub, "item") for sub in used]
    rest: Node = EMPTY
    if high is None or high > len(used):
        item = build.node(flat.items, "item")
        left = max(0, low - len(used)), None if high is None else high - len(used)
        if used:
            rest = Repeat(Seq((Literal(build.item_separator), item)), *left)
        else:
            rest = build.listed(item, *left)
    # From the last position back: what follows a position is optional once `low` items are there.
    for i in range(len(nodes) - 1, -1, -1):
        lead = (Literal(build.item_separator),) if i else ()
        here = Seq((*lead, nodes[i], rest))
        rest = here if i < low else Repeat(here, 0, 1)
        if i and i % _MAX_NESTED == 0:
            rest = build.define("items", rest)
    return Seq((Literal("["), rest, Literal("]")))


def _distinct(texts: list[str], low: int, high: int | None, build: Build) -> Node:
    """From `low` to `high` of the texts, none twice."""
    names: dict[frozenset[str], str] = {}
    todo: list[frozenset[str]] = []

    def after(used: frozenset[str]) -> Node:
        if used not in names:
            names[used] = build.reserve("distinct")
            todo.append(used)
        return Ref(names[used])

    start = after(frozenset())
    for used in todo:  # grows while it is walked
        options: list[Node] = [EMPTY] if len(used) >= low else []
        if high is None or len(used) < high:
            lead = build.item_separator if used else ""
            options += [
                Seq((Literal(lead + text), after(used | {text})))
                for text in texts
                if text not in used
            ]
        build.rules[names[used]] = Alt(tuple(options))
    return start

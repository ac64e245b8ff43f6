"""Arrays: a fixed prefix of positions, then any number of like items, within a count."""

from __future__ import annotations

from .errors import SchemaError
from .ir import EMPTY, NEVER, Literal, Node, Repeat, Seq
from .json_build import Build
from .json_merge import Flat

_MAX_NESTED = 16


def array_node(flat: Flat, build: Build) -> Node:
    """The JSON arrays that satisfy `flat`, or NEVER. Raises SchemaError."""
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
        raise SchemaError(
            "uniqueItems has no exact grammar for arrays of more than one item; "
            "drop it, or set maxItems to 1",
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

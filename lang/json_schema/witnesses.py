"""Objects of which at least one member is of some kind: what the negation of an object asks for.

A declared member may be the witness, which makes it a required one; otherwise an undeclared member
is. For that no order of keys is imposed: the rules note which of the needed members are there, one
rule per set of them. Undeclared keys are told apart, because a second member of the same key would
replace the one that was needed; so are declared ones, where members are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import NamedTuple

from ..errors import SchemaError
from ..ir.nodes import NEVER, Alt, Element, Literal, Node, Seq, Unique
from .build import Build
from .demand import NOTHING, Demand, both
from .shapes import ANY_COUNT, ObjectShape, is_void
from .states import counted
from .string_set import StringSet
from .strings import encode, quoted

_MAX_STATES = 500

Part = tuple[StringSet, Demand]


def witness_cases(shape: ObjectShape) -> Iterator[ObjectShape]:
    """The ways in which declared members serve as witnesses; what is left needs undeclared ones."""
    choices = [
        [None, *(key for key in shape.declared if keys.contains(key))]
        for keys, _ in shape.witnesses
    ]
    for chosen in product(*choices):
        declared, required = dict(shape.declared), set(shape.required)
        left: list[Part] = []
        for key, (keys, demand) in zip(chosen, shape.witnesses, strict=True):
            if key is None:
                left.append((keys, demand))
            else:
                declared[key] = both(declared[key], demand)
                required.add(key)
        case = ObjectShape(
            shape.path, declared, shape.others, tuple(left), frozenset(required), shape.size
        )
        if not is_void(case):
            yield case


class _Kind(NamedTuple):
    """A kind of member: which of the needs it meets (as bits), and its grammar."""

    meets: int
    node: Node
    is_declared: bool


class _State(NamedTuple):
    met: int
    members: int


def witnessed_node(
    shape: ObjectShape,
    parts: list[Part],
    depth: int,
    build: Build,
    member: Callable[[StringSet, Node], Node],
) -> Node:
    """The objects of this shape with undeclared members as witnesses, or NEVER.

    `parts`: the undeclared keys and their demands; `member` makes a member of a set of such keys.
    Raises SchemaError where there are too many sets of needed members.
    """
    kinds = [*_declared(shape, depth, build), *_undeclared(shape, parts, depth, build, member)]
    everything = (1 << len(shape.required) + len(shape.witnesses)) - 1
    size = shape.size
    cap = max(size.low, size.high or 0)

    def following(state: _State) -> list[tuple[Node, _State]]:
        if size.high is not None and state.members >= size.high:
            return []
        members = min(state.members + 1, cap)
        return [
            (kind.node, _State(state.met | kind.meets, members))
            for kind in kinds
            if not (kind.is_declared and kind.meets & state.met)
        ]

    def is_end(state: _State) -> bool:
        return state.met == everything and state.members >= size.low

    comma = build.punctuation.comma(depth)
    body = counted(_State(0, 0), following, is_end, comma, "members", build, _MAX_STATES)
    if body is None:
        raise SchemaError(
            "the negation of an object leaves too many sets of members to choose from; "
            "say what is allowed instead",
            shape.path,
            "not",
        )
    if not body:
        return NEVER
    return build.punctuation.enclosed("{}", Unique(Alt(tuple(body))), False, depth)


def _declared(shape: ObjectShape, depth: int, build: Build) -> Iterator[_Kind]:
    bits = {key: 1 << i for i, key in enumerate(sorted(shape.required))}
    for key, demand in shape.declared.items():
        value = build.node(demand, depth + 1, key) if demand is not NOTHING else NEVER
        if value != NEVER:
            name = quoted(encode(Literal(key), escapes=build.layout.escapes))
            if shape.size != ANY_COUNT and key not in bits:
                name = Element(name)
            node = build.define("member", Seq((name, build.punctuation.colon, value)))
            yield _Kind(bits.get(key, 0), node, True)


def _undeclared(
    shape: ObjectShape,
    parts: list[Part],
    depth: int,
    build: Build,
    member: Callable[[StringSet, Node], Node],
) -> Iterator[_Kind]:
    first = len(shape.required)
    numbered = list(enumerate(shape.witnesses, first))
    for size in range(len(numbered) + 1):
        for chosen in combinations(numbered, size):
            for keys, demand in parts:
                meets = 0
                for bit, (also_keys, also_demand) in chosen:
                    keys, demand = keys & also_keys, both(demand, also_demand)
                    meets |= 1 << bit
                if keys.is_empty():
                    continue
                value = build.node(demand, depth + 1, "extra")
                if value != NEVER:
                    yield _Kind(meets, build.define("member", member(keys, value)), False)

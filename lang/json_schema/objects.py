"""Objects as grammar: declared members, then or among them the others.

The keys that are not declared are split by which pattern demands they meet, so that each part has
one demand on its values. They may repeat where that changes nothing: JSON readers keep the last
one, which satisfies the schema as each of them does. Where members are counted up to two or more,
keys are told apart (`Unique`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..errors import SchemaError
from ..ir.nodes import NEVER, Alt, Element, Member, Members, Node, Seq, Unique
from .build import Build, ascii_spelling, plain_spelling, upper_spelling
from .demand import ANYTHING, NOTHING, Demand, both, every
from .escapes import has_one_spelling
from .needs import need_each_other, possible_keys, without_needs
from .shapes import ANY_KEY, ObjectShape
from .span import Span
from .string_set import StringSet
from .witnesses import witness_cases, witnessed_node

_MAX_KEY_PARTS = 64


def object_node(shape: ObjectShape, depth: int, build: Build) -> Node:
    """The JSON objects of this shape, or NEVER. Raises SchemaError."""
    if not shape.witnesses:
        return _plain_node(shape, depth, build)
    options: dict[Node, None] = {}
    for case in (case for way in without_needs(shape) for case in witness_cases(way)):
        if case.witnesses:
            declared = frozenset(case.declared)
            member = partial(extra_member, declared=declared, build=build, is_distinct=True)
            options[witnessed_node(case, key_parts(case), depth, build, member)] = None
        else:
            options[_plain_node(case, depth, build)] = None
    options.pop(NEVER, None)
    return next(iter(options)) if len(options) == 1 else Alt(tuple(options))


def _plain_node(shape: ObjectShape, depth: int, build: Build) -> Node:
    values: dict[str, Node] = {}
    for key, demand in shape.declared.items():
        node = build.node(demand, depth + 1, key) if demand is not NOTHING else NEVER
        if node != NEVER:
            values[key] = node
            if key in shape.required:
                build.need(node)
        elif key in shape.required:
            return NEVER
    if shape.needs:
        values = {key: values[key] for key in possible_keys(shape, values)}
    low, high = shape.size.low, shape.size.high
    fixed = len(shape.required)
    if shape.size.is_empty or (high is not None and fixed > high):
        return NEVER
    extra = _extra(shape, depth, build, is_distinct=low - fixed > 1)
    if low <= fixed:
        low = 0
    if extra is None:
        if len(values) < low:
            return NEVER
        if high is not None and high >= len(values):
            high = None
        if low > 1 and high is not None and need_each_other(shape):
            ways = (_plain_node(way, depth, build) for way in without_needs(shape))
            return Alt(tuple(dict.fromkeys(node for node in ways if node != NEVER)))
    may_be_empty = low == 0 and not fixed
    if low:
        for node in (*values.values(), *(() if extra is None else (extra,))):
            build.need(node)
    if high == 0 or (not values and extra is None):
        return build.punctuation.enclosed("{}", None, True, depth)
    body: Node | None
    if values:
        body = _members(shape, values, extra, Span(low, high), depth, build)
    else:
        assert extra is not None
        body = build.listed(extra, Span(low, high), depth)
    if body is not None and shape.size.low - fixed > 1 and extra is not None:
        body = build.define_distinct(Unique(body), shape.path)
    return build.punctuation.enclosed("{}", body, may_be_empty, depth)


def _members(
    shape: ObjectShape,
    values: dict[str, Node],
    extra: Node | None,
    count: Span,
    depth: int,
    build: Build,
) -> Node:
    """At least one member."""
    places = {key: i for i, key in enumerate(values)}
    needs = [
        (places[key], places[other])
        for key, other in sorted(shape.needs)
        if key in places and other not in shape.required
    ]

    def members(spell: Callable[[str], str]) -> Node:
        listed = tuple(
            Member(
                spell(key),
                Seq((build.punctuation.colon, node)),
                key in shape.required,
            )
            for key, node in values.items()
        )
        least = max(count.low, 0 if shape.required else 1)
        comma = build.punctuation.comma(depth)
        is_ordered = build.layout.key_order == "schema"
        return Members(listed, extra, comma, least, count.high, is_ordered, tuple(needs))

    if build.layout.escapes and not all(map(has_one_spelling, values)):
        ways = (plain_spelling, ascii_spelling, upper_spelling)
        return Alt(tuple(dict.fromkeys(map(members, ways))))
    return members(plain_spelling)


def key_parts(shape: ObjectShape) -> list[tuple[StringSet, Demand]]:
    """Sets of keys that hold the undeclared ones that are allowed, each with its demand.

    Declared keys are not excluded yet. Sets with different demands do not overlap.
    """
    demands = [(keys, demand) for keys, demand in shape.others if demand is not ANYTHING]
    # what no pattern matches lies outside in as many ways as there are patterns: that comes last
    demands.sort(key=lambda part: len(part[0].not_patterns))
    for_all = every(demand for keys, demand in demands if keys == ANY_KEY)
    if for_all is NOTHING:
        return []
    parts: list[tuple[StringSet, Demand]] = [(ANY_KEY, for_all)]
    for keys, demand in demands:
        if keys == ANY_KEY:
            continue
        split: list[tuple[StringSet, Demand]] = []
        for part, old in parts:
            joined, inside = both(old, demand), part & keys
            if joined == old or _is_surely_empty(inside):
                split.append((part, old))
                continue
            outside = [part & other for other in keys.negated()]
            kept = [other for other in outside if not other.is_empty()]
            if joined is not NOTHING:
                split.append((inside if kept else part, joined))
            split += [(other, old) for other in kept]
        parts = split
        if len(parts) > _MAX_KEY_PARTS:
            raise SchemaError(
                f"the keys fall into more than {_MAX_KEY_PARTS} classes by the patterns that they "
                "match; use fewer patterns, or patterns that exclude each other",
                shape.path,
                "patternProperties",
            )
    return parts


def _is_surely_empty(keys: StringSet) -> bool:
    """Whether no key is in the set; False where that is unknown, as without a `format`."""
    try:
        return keys.is_empty()
    except SchemaError:
        return False


def extra_member(
    keys: StringSet, value: Node, *, declared: frozenset[str], build: Build, is_distinct: bool
) -> Node:
    """One member with an undeclared key of `keys`."""
    if declared:
        keys &= StringSet(excluded=declared, path=keys.path)
    key = build.shape(keys, 0, "key")
    return Seq((Element(key) if is_distinct else key, build.punctuation.colon, value))


def _extra(shape: ObjectShape, depth: int, build: Build, *, is_distinct: bool) -> Node | None:
    """One undeclared member, or None if there can be none."""
    declared = frozenset(shape.declared)
    options: list[Node] = []
    for keys, demand in key_parts(shape):
        value = build.node(demand, depth + 1, "extra")
        if value != NEVER:
            options.append(
                extra_member(keys, value, declared=declared, build=build, is_distinct=is_distinct)
            )
    if not options:
        return None
    return options[0] if len(options) == 1 else Alt(tuple(options))

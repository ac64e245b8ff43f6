"""Objects: declared keys in schema order, then any others.

A member's leading separator depends only on whether a member came before it, so "the members from
the i-th on, after n others" is one rule per (i, n), with n counted no further than it matters: 0
and 1 unless the number of members is bounded. That keeps optional properties linear.

Keys that are not declared come last and never equal a declared one. They may repeat; JSON readers
keep the last, which satisfies the schema as each of them does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from . import regular
from .errors import SchemaError
from .ir import EMPTY, NEVER, Alt, Literal, Node, Ref, Repeat, Seq
from .json_build import STRING, Build
from .json_merge import Flat, Sub, both
from .json_scalars import content_node, pattern_dfa
from .json_strings import quoted
from .regular import Dfa, TooLarge


@dataclass(frozen=True, slots=True)
class _Member:
    key: str
    node: Node
    required: bool


def object_node(flat: Flat, names: list[Dfa] | None, build: Build) -> Node:
    """The JSON objects that satisfy `flat`, or NEVER. Raises SchemaError.

    `names`: the key languages of `propertyNames`, all of which hold, or None.
    """
    members = _declared(flat, names, build)
    free = _free(flat, names, build)
    fixed = sum(member.required for member in members)
    low, high = flat.size.low, flat.size.high
    if flat.size.is_empty or (high is not None and fixed > high):
        return NEVER
    if low <= fixed:
        low = 0
    if high is not None and free is None and high >= len(members):
        high = None
    if low > 1 and free is not None:
        raise SchemaError(
            f"minProperties {flat.size.low} needs distinct undeclared keys, which no grammar can "
            "count; declare them, or use additionalProperties: false",
            flat.path,
            "minProperties",
        )
    body = _Chain(members, free, low, high, build, flat.path).node()
    return Seq((Literal("{"), body, Literal("}")))


def _declared(flat: Flat, names: list[Dfa] | None, build: Build) -> list[_Member]:
    subs = dict(flat.properties)
    for key in flat.required:
        subs.setdefault(key, _undeclared(flat, key))
    members: list[_Member] = []
    for key, declared in subs.items():
        sub = declared
        if key in dict(flat.properties):
            for pattern, extra in flat.key_patterns:
                if pattern_dfa(pattern, flat.path).accepts(key):
                    sub = both(sub, extra)
        if names is not None and not all(dfa.accepts(key) for dfa in names):
            sub = Sub(False, sub.path)
        required = key in flat.required
        if sub.schema is False and not required:
            continue
        value = build.node(sub, key)
        members.append(_Member(key, Seq((build.key(key), value)), required))
    return members


def _undeclared(flat: Flat, key: str) -> Sub:
    matching = [s for p, s in flat.key_patterns if pattern_dfa(p, flat.path).accepts(key)]
    return reduce(both, matching) if matching else flat.extra


def _free(flat: Flat, names: list[Dfa] | None, build: Build) -> Node | None:
    """One member with an undeclared key, or None if there can be none."""
    declared = dict.fromkeys((*(key for key, _ in flat.properties), *flat.required))
    if flat.extra.schema is False and not flat.key_patterns:
        return None
    if not declared and not flat.key_patterns and names is None:
        return _member(STRING, flat.extra, build)
    try:
        return _restricted(flat, list(declared), names or [], build)
    except TooLarge as error:
        raise SchemaError(
            f"telling undeclared keys apart needs more than {regular.MAX_STATES} states",
            flat.path,
            "additionalProperties",
        ) from error


def _restricted(flat: Flat, declared: list[str], names: list[Dfa], build: Build) -> Node | None:
    start = regular.complement(regular.from_texts(declared))
    # Split the keys by which patterns they match: a key satisfies the schemas of all of those, and
    # `additionalProperties` if it matches none.
    parts: list[tuple[Dfa, Sub | None]] = [(reduce(regular.intersect, names, start), None)]
    for pattern, sub in flat.key_patterns:
        inside = pattern_dfa(pattern, flat.path)
        outside = regular.complement(inside)
        parts = [
            *((regular.intersect(part, outside), old) for part, old in parts),
            *(
                (regular.intersect(part, inside), both(old, sub) if old else sub)
                for part, old in parts
            ),
        ]
        parts = [(part, sub) for part, sub in parts if not part.is_empty()]
    options: list[Node] = []
    for part, matched in parts:
        sub = matched or flat.extra
        if sub.schema is not False and not part.is_empty():
            options.append(_member(quoted(content_node(part, build, "key")), sub, build))
    if not options:
        return None
    return build.define("extra-member", options[0] if len(options) == 1 else Alt(tuple(options)))


def _member(key: Node, sub: Sub, build: Build) -> Node:
    return Seq((key, Literal(build.key_separator), build.node(sub, "extra")))


class _Chain:
    """The rules of the members from the i-th on, after `count` others."""

    def __init__(
        self,
        members: list[_Member],
        free: Node | None,
        low: int,
        high: int | None,
        build: Build,
        path: str,
    ) -> None:
        self.members, self.free, self.low, self.high = members, free, low, high
        self.build = build
        self.cap = max(1, low, 0 if high is None else high)
        if (len(members) + 1) * (self.cap + 1) > 20_000:
            raise SchemaError("too many properties to count", path, "minProperties")

    def node(self) -> Node:
        """All members. Built from the last one back, so that a long object costs no recursion."""
        uses = self._uses()
        following = {count: self._end(count) for count in uses[-1]}
        for i in range(len(self.members) - 1, -1, -1):
            nodes = {count: self._step(self.members[i], count, following) for count in uses[i]}
            following = {
                count: self._name(node) if users > 1 else node
                for (count, users), node in zip(uses[i].items(), nodes.values(), strict=True)
            }
        return following[0]

    def _uses(self) -> list[dict[int, int]]:
        """For each position, the counts that can be reached there and from how many places."""
        uses = [{0: 1}]
        for member in self.members:
            reached: dict[int, int] = {}
            for count in uses[-1]:
                after = self._after(count)
                nexts = {after} if member.required else {after, count}
                for to in sorted(n for n in nexts if n is not None):
                    reached[to] = reached.get(to, 0) + 1
            uses.append(reached)
        return uses

    def _after(self, count: int) -> int | None:
        """The count after one more member, or None if there is no room."""
        full = self.high is not None and count >= self.high
        return None if full else min(count + 1, self.cap)

    def _name(self, node: Node) -> Node:
        small = isinstance(node, Ref | Literal) or node == NEVER
        return node if small else self.build.define("members", node)

    def _step(self, member: _Member, count: int, following: dict[int, Node]) -> Node:
        lead = (Literal(self.build.item_separator),) if count else ()
        to = self._after(count)
        if to is None:
            return NEVER if member.required else following[count]
        present = _seq(*lead, member.node, following[to])
        if member.required:
            return present
        if to == count:
            return _seq(Repeat(Seq((*lead, member.node)), 0, 1), following[to])
        skipped = following[count]
        return Alt((present, *(skipped.options if isinstance(skipped, Alt) else (skipped,))))

    def _end(self, count: int) -> Node:
        need = max(0, self.low - count)
        if self.free is None:
            return NEVER if need else EMPTY
        room = None if self.high is None else self.high - count
        if room is not None and room < need:
            return NEVER
        if not count:
            return self.build.listed(self.free, need, room)
        lead = Literal(self.build.item_separator)
        return EMPTY if room == 0 else Repeat(Seq((lead, self.free)), need, room)


def _seq(*items: Node) -> Node:
    """A sequence with sequences inside it joined in."""
    flat: list[Node] = []
    for item in items:
        flat += item.items if isinstance(item, Seq) else (() if item == EMPTY else (item,))
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))

"""The members of an object as plain rules.

In order: "the members from the i-th on, after n others" is one node per (i, n), with n counted no
further than it matters, which is 0 and 1 unless the number of members is bounded. That keeps
optional members linear. In any order: "the members not in S" is one rule per set S, so there can
be few declared ones.
"""

from __future__ import annotations

from ..errors import GrammarError
from ..ir.needs import Way, without_needs
from ..ir.nodes import EMPTY, NEVER, Alt, Literal, Member, Members, Node, Ref, Repeat, Seq
from ..ir.rule_names import NewRules

MAX_FREE_MEMBERS = 6
_MAX_PLACES = 20_000
_MAX_WAYS = 64
_IN_RULE = 8
"""Members in one rule; more would be hard to read, and nest deep."""
_PREFIX = "members"


def members_to_node(node: Members, new_rules: NewRules) -> Node:
    """The same language without `Members`. Raises GrammarError if it would be too large."""
    if node.needs:
        settled = without_needs(node, _not_too_many)
        return Alt(tuple(members_to_node(members, new_rules) for members in settled))
    writer = _Ordered(node, new_rules) if node.ordered else _Free(node, new_rules)
    return writer.write()


def _not_too_many(ways: list[Way]) -> list[Way]:
    if len(ways) > _MAX_WAYS:
        raise GrammarError(
            f"gbnf: members that need others, in more than {_MAX_WAYS} ways; require them, or run "
            "the grammar in treegram's own engine"
        )
    return ways


class _Counting:
    """What both orders share: how members are counted, and those at the end."""

    def __init__(self, node: Members, new_rules: NewRules) -> None:
        self.node = node
        self.new_rules = new_rules
        required = sum(member.required for member in node.members)
        self.low = node.min if node.min > required else 0
        self.high = node.max
        if node.extra is None and self.high is not None and self.high >= len(node.members):
            self.high = None
        self.cap = max(self.low, self.high or 0, 1)

    def after(self, count: int) -> int | None:
        """The count after one more member; None if there is no room for it."""
        full = self.high is not None and count >= self.high
        return None if full else min(count + 1, self.cap)

    def led(self, count: int, member: Node) -> Node:
        """The member, after a separator if any came before it."""
        return Seq((self.node.separator, member)) if count else member

    def extras(self, count: int) -> Node:
        """As many extra members as there must be, and up to as many as there can be."""
        need = max(0, self.low - count)
        room = None if self.high is None else self.high - count
        extra = self.node.extra
        if extra is None or room == 0:
            return NEVER if need else EMPTY
        if room is not None and room < need:
            return NEVER
        if count:
            return Repeat(self.led(1, extra), need, room)
        rest = Repeat(self.led(1, extra), max(need - 1, 0), None if room is None else room - 1)
        some = Seq((extra, rest))
        return some if need else Alt((some, EMPTY))


class _Ordered(_Counting):
    def write(self) -> Node:
        """Built from the last member back, so that a long object costs no recursion."""
        members = self.node.members
        uses = self._uses()
        following = {count: self.extras(count) for count in uses[-1]}
        for i in range(len(members) - 1, -1, -1):
            nodes = {count: self._step(members[i], count, following) for count in uses[i]}
            following = {
                count: self._named(nodes[count]) if users > 1 or not i % _IN_RULE else nodes[count]
                for count, users in uses[i].items()
            }
        return following[0]

    def _uses(self) -> list[dict[int, int]]:
        """For each position, the counts that can be reached there and from how many places."""
        uses = [{0: 1}]
        places = 0
        for member in self.node.members:
            reached: dict[int, int] = {}
            for count in uses[-1]:
                after = self.after(count)
                for to in {after} if member.required else {after, count}:
                    if to is not None:
                        reached[to] = reached.get(to, 0) + 1
            uses.append(dict(sorted(reached.items())))
            places += len(reached)
            if places > _MAX_PLACES:
                raise GrammarError(
                    f"gbnf: counting {len(self.node.members)} members to between {self.node.min} "
                    f"and {self.node.max} takes more than {_MAX_PLACES:,} rules; bound them less, "
                    "or run the grammar in treegram's own engine"
                )
        return uses

    def _named(self, node: Node) -> Node:
        small = isinstance(node, Ref | Literal) or node == NEVER
        return node if small else self.new_rules.define(_PREFIX, node)

    def _step(self, member: Member, count: int, following: dict[int, Node]) -> Node:
        after = self.after(count)
        if after is None:
            return NEVER if member.required else following[count]
        whole = self.led(count, Seq((Literal(member.key), member.rest)))
        if member.required:
            return Seq((whole, following[after]))
        if after == count:
            return Seq((Repeat(whole, 0, 1), following[count]))
        return Alt((Seq((whole, following[after])), following[count]))


class _Free(_Counting):
    def write(self) -> Node:
        node = self.node
        if len(node.members) > MAX_FREE_MEMBERS:
            raise GrammarError(
                f"gbnf: {len(node.members)} members in any order; GBNF takes one rule for each set "
                f"of them, so at most {MAX_FREE_MEMBERS} members. Fix the order with "
                "key_order='schema', or run the grammar in treegram's own engine"
            )
        if self.cap * 2 ** len(node.members) > _MAX_PLACES:
            raise GrammarError(
                f"gbnf: counting members in any order to between {node.min} and {node.max} takes "
                f"more than {_MAX_PLACES:,} rules; use key_order='schema', or run the grammar in "
                "treegram's own engine"
            )
        wholes: list[Node] = [
            self.new_rules.define(_PREFIX, Seq((Literal(member.key), member.rest)))
            for member in node.members
        ]
        names = {(0, 0): self.new_rules.reserve(_PREFIX)}
        todo = list(names)
        for used, count in todo:  # grows while it is walked
            after = self.after(count)
            following = [(i, whole) for i, whole in enumerate(wholes) if not used >> i & 1]
            options: list[Node] = []
            missing = any(node.members[i].required for i, _ in following)
            if not missing and count >= self.low:
                options.append(EMPTY)
            ways = [(used | 1 << i, whole) for i, whole in following]
            if node.extra is not None:
                ways.append((used, node.extra))
            for used_after, member in ways if after is not None else ():
                state = (used_after, after or 0)
                if state not in names:
                    names[state] = self.new_rules.reserve(_PREFIX)
                    todo.append(state)
                options.append(Seq((self.led(count, member), Ref(names[state]))))
            self.new_rules.bodies[names[used, count]] = Alt(tuple(options))
        return Ref(names[0, 0])

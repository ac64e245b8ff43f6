"""Cleans a generated grammar: no rule that matches nothing, none that cannot be reached.

A branch that can never be completed would let a walk enter a dead end, so it is cut out; a rule
that can be nothing but itself has no defined meaning and is reported.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from .facts import can_hold
from .nodes import (
    EMPTY,
    NEVER,
    Alt,
    CharClass,
    Element,
    Member,
    Members,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
    Terminal,
    Unique,
)
from .walk import fold, references


def prune(rules: Rules, alive: AbstractSet[str]) -> Rules:
    """The same language from rules that all match something and are all reachable.

    `alive`: the rules that match some text. The root keeps its place even if it matches nothing.
    """
    kept = {name: _without_dead(node, alive) for name, node in rules.rules.items()}
    reached = {rules.root: None}
    for name in (todo := [rules.root]):
        for other in references(kept[name]):
            if other not in reached:
                reached[other] = None
                todo.append(other)
    return Rules(rules.root, {name: kept[name] for name in reached})


def _alive_members(node: Members, below: list[Node]) -> Node:
    kept: list[Member] = []
    for member, rest in zip(node.members, below, strict=False):
        if rest != NEVER:
            kept.append(Member(member.key, rest, member.required))
        elif member.required:
            return NEVER
    extra = None if node.extra is None or below[-1] == NEVER else below[-1]
    separator = below[len(node.members)]
    needed = max(node.min, sum(member.required for member in kept))
    if not can_hold(node, needed, len(kept), extra=extra is not None, separator=separator != NEVER):
        return NEVER
    if not kept and extra is None:
        return EMPTY
    return Members(tuple(kept), extra, separator, node.min, node.max, node.ordered)


def first_unproductive(rules: Rules, alive: AbstractSet[str]) -> str | None:
    """None if some text matches; else the first rule, from the root, that is itself to blame.

    `alive`: the rules that match some text.
    """
    if rules.root in alive:
        return None
    seen, todo = {rules.root}, [rules.root]
    for name in todo:
        dead = [other for other in references(rules.rules[name]) if other not in alive]
        if not dead:
            return name
        fresh = [other for other in dead if other not in seen]
        seen.update(fresh)
        todo += fresh
    return rules.root


def first_loop(rules: Rules) -> str | None:
    """A rule that can be nothing but itself (`a ::= b | "x"`, `b ::= a`), or None."""
    edges = {name: _units(node) for name, node in rules.rules.items()}
    done: set[str] = set()
    for start in edges:
        path: list[tuple[str, int]] = [(start, 0)]
        active = {start}
        while path:
            name, at = path.pop()
            if at == len(edges[name]) or name in done:
                done.add(name)
                active.discard(name)
                continue
            path.append((name, at + 1))
            following = edges[name][at]
            if following in active:
                return following
            if following not in done:
                active.add(following)
                path.append((following, 0))
    return None


def _units(node: Node) -> list[str]:
    """The rules that `node` may be on their own."""
    match node:
        case Ref(name):
            return [name]
        case Alt(options):
            return [name for option in options for name in _units(option)]
        case _:
            return []


def _without_dead(root: Node, alive: AbstractSet[str]) -> Node:
    def visit(node: Node, below: list[Node]) -> Node:
        match node:
            case CharClass(()):
                return NEVER
            case Ref(name):
                return node if name in alive else NEVER
            case Seq():
                return NEVER if NEVER in below else Seq(tuple(below))
            case Alt():
                options = [option for option in below if option != NEVER]
                return options[0] if len(options) == 1 else Alt(tuple(options))
            case Repeat(_, low, high):
                if below[0] == NEVER:
                    return NEVER if low else EMPTY
                return Repeat(below[0], low, high)
            case Terminal(_, excluded):
                return NEVER if below[0] == NEVER else Terminal(below[0], excluded)
            case Unique():
                return NEVER if below[0] == NEVER else Unique(below[0])
            case Element():
                return NEVER if below[0] == NEVER else Element(below[0])
            case Members():
                return _alive_members(node, below)
            case _:
                return node

    return fold(root, visit)

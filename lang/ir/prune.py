"""Cleans a generated grammar: no rule that matches nothing, none that cannot be reached.

A branch that can never be completed would let a walk enter a dead end, so it is cut out; a rule
without a text is reported. Terminals stay as they are: what is dead in one is never run.
"""

from __future__ import annotations

from dataclasses import replace

from .facts import Survey
from .needs import blocked, renumbered
from .nodes import EMPTY, NEVER, Alt, Members, Node, Repeat, Rules, Terminal
from .walk import children, references, with_children


def prune(survey: Survey) -> Rules:
    """The same language from rules that all match something and are all reachable.

    The root keeps its place even if it matches nothing.
    """
    rules = survey.rules
    kept: dict[str, Node] = {}
    for name in (todo := [rules.root]):
        if name not in kept:
            kept[name] = _without_dead(rules.rules[name], survey)
            todo += references(kept[name])
    return Rules(rules.root, kept)


def first_unproductive(survey: Survey) -> str | None:
    """None if some text matches; else the first rule, from the root, that is itself to blame."""
    rules = survey.rules
    if survey.rule(rules.root).productive:
        return None
    seen, todo = {rules.root}, [rules.root]
    for name in todo:
        named = references(rules.rules[name])
        dead = [other for other in named if not survey.rule(other).productive]
        if not dead:
            return name
        fresh = [other for other in dead if other not in seen]
        seen.update(fresh)
        todo += fresh
    return rules.root


def _without_dead(node: Node, survey: Survey) -> Node:
    """`node` itself if nothing in it is dead. Recursive, one frame a level, as the survey is."""
    if not _is_alive(node, survey):
        return NEVER
    match node:
        case Terminal():
            return node
        case Repeat(item) if not _is_alive(item, survey):
            return EMPTY
        case Alt(options):
            alive = [option for option in options if _is_alive(option, survey)]
            if len(alive) == 1:
                return _without_dead(alive[0], survey)
            if len(alive) < len(options):
                node = Alt(tuple(alive))
        case Members():
            node = _alive_members(node, survey)
        case _:
            pass
    before = children(node)
    below = [_without_dead(child, survey) for child in before]
    is_same = all(new is old for new, old in zip(below, before, strict=True))
    return node if is_same else with_children(node, below)


def _alive_members(node: Members, survey: Survey) -> Node:
    dead = blocked(
        node, {i for i, member in enumerate(node.members) if not _is_alive(member.rest, survey)}
    )
    places = [i for i in range(len(node.members)) if i not in dead]
    members = tuple(node.members[i] for i in places)
    extra = node.extra
    if extra is not None and not _is_alive(extra, survey):
        extra = None
    if not members and extra is None:
        return EMPTY
    return replace(node, members=members, extra=extra, needs=renumbered(node.needs, places))


def _is_alive(node: Node, survey: Survey) -> bool:
    return survey.node(node).productive

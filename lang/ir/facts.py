"""What the rules of a grammar match at all: the empty text, some text, and what they begin with.

Both questions are least fixed points over rules that refer to each other in any order. A rule is
looked at again only when one that it waits for turns out to match more than was known.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from .dfa import Dfa
from .measured import Measured
from .nodes import (
    Alt,
    CharClass,
    ControlToken,
    Element,
    Literal,
    Members,
    Node,
    Ref,
    Repeat,
    Rules,
    Seq,
    Substring,
    Terminal,
    Unique,
)


class Facts(NamedTuple):
    """Whether a node matches the empty text, and whether it matches any text.

    Excluded texts and elements that must differ count as if there were none.
    """

    nullable: bool
    productive: bool


_NOTHING = Facts(False, False)
_EMPTY = Facts(True, True)
_TEXT = Facts(False, True)


def rule_facts(rules: Rules) -> dict[str, Facts]:
    """The facts about each rule. Bodies nest as deep as `check` allows; references resolve."""
    survey = _Survey(rules)
    waiting: dict[str, set[str]] = {}
    todo, again = dict.fromkeys(rules.rules), dict[str, None]()
    while todo or again:
        if not todo:  # in rounds: a rule of many references is not looked at after each of them
            todo, again = again, {}
        name, _ = todo.popitem()  # from the end: rules mostly refer to later ones
        survey.missed = set()
        facts = survey.facts(rules.rules[name])
        for other in survey.missed:
            waiting.setdefault(other, set()).add(name)
        if facts != survey.known[name]:
            survey.known[name] = facts
            again.update(dict.fromkeys(waiting.pop(name, ())))
    return survey.known


def nullable_rules(rules: Rules) -> frozenset[str]:
    """The rules that match the empty text."""
    return frozenset(name for name, facts in rule_facts(rules).items() if facts.nullable)


def productive_rules(rules: Rules) -> frozenset[str]:
    """The rules that match some text."""
    return frozenset(name for name, facts in rule_facts(rules).items() if facts.productive)


def nullable(node: Node, nullable_names: AbstractSet[str]) -> bool:
    """Whether `node` matches the empty text, given which rules do."""
    return _lead(node, nullable_names, {})


def left_recursion(rules: Rules, nullable_names: AbstractSet[str]) -> list[str]:
    """The rules of one cycle in which each can begin with the next; empty if there is none."""
    leading = {name: leading_references(body, nullable_names) for name, body in rules.rules.items()}
    try:
        TopologicalSorter(leading).prepare()
    except CycleError as error:
        backwards: list[str] = error.args[1]  # each can begin with the one before it
        return backwards[:0:-1]
    return []


def leading_references(body: Node, nullable_names: AbstractSet[str]) -> dict[str, int]:
    """The rules that a match of `body` can begin with, and in how many places it names them."""
    found: dict[str, int] = {}
    _lead(body, nullable_names, found)
    return found


class _Survey:
    """What is `known` of each rule so far.

    `missed` gets the rules that would have to match more for the answer to change.
    """

    def __init__(self, rules: Rules) -> None:
        self.known = dict.fromkeys(rules.rules, _NOTHING)
        self.missed: set[str] = set()
        self._units: dict[int, Facts] = {}  # by id: the same terminal is all over a schema

    def facts(self, node: Node) -> Facts:
        """The facts about `node`.

        Recursive, one frame a level: bodies are shallow, and every compilation waits for this.
        """
        match node:
            case Literal(text):
                return _TEXT if text else _EMPTY
            case Ref(name):
                facts = self.known[name]
                if facts != _EMPTY:
                    self.missed.add(name)
                return facts
            case Seq(items):
                facts = _EMPTY
                for item in items:
                    each = self.facts(item)
                    facts = Facts(facts.nullable and each.nullable, each.productive)
                    if not facts.productive:
                        break
                return facts
            case Alt(options):
                facts = _NOTHING
                for option in options:
                    each = self.facts(option)
                    facts = Facts(
                        facts.nullable or each.nullable, facts.productive or each.productive
                    )
                    if facts.nullable:
                        break
                return facts
            case Repeat(item, low, _):
                inner = self.facts(item)
                return inner if low else _EMPTY
            case ControlToken():
                return _TEXT
            case CharClass(ranges):
                return _TEXT if ranges else _NOTHING
            case Dfa():
                return _dfa_facts(node)
            case Measured():
                return Facts(node.holds_empty(), node.fits(node.remainders(), 0, 0))
            case Terminal(item, excluded):
                if id(node) not in self._units:
                    inner = self.facts(item)
                    kept = Facts(inner.nullable and "" not in excluded, inner.productive)
                    self._units[id(node)] = kept
                return self._units[id(node)]
            case Substring(text, words):
                return _TEXT if text.split() or not words else _NOTHING
            case Members():
                return self._members(node)
            case Unique(item) | Element(item):
                return self.facts(item)

    def _members(self, node: Members) -> Facts:
        required = 0
        usable = 0
        for member in node.members:
            productive = self.facts(member.rest).productive
            usable += productive
            required += member.required
            if member.required and not productive:
                return _NOTHING
        extra = self.facts(node.extra).productive if node.extra is not None else False
        separator = self.facts(node.separator).productive
        needed = max(required, node.min)
        return Facts(needed == 0, can_hold(node, needed, usable, extra=extra, separator=separator))


def can_hold(node: Members, needed: int, usable: int, *, extra: bool, separator: bool) -> bool:
    """Whether some object has `needed` members or more, as many as it must have.

    `usable` declared members match some text, the required ones among them; `extra` and
    `separator`: whether the node's own do.
    """
    fits = node.max is None or needed <= node.max
    return fits and (extra or needed <= usable) and (separator or needed < 2)


@lru_cache(64)
def _dfa_facts(dfa: Dfa) -> Facts:
    return Facts(0 in dfa.accepting, not dfa.is_empty())


def _lead(node: Node, nullable_names: AbstractSet[str], found: dict[str, int]) -> bool:
    """Whether `node` is nullable; `found` gets the rules that a match of it can begin with."""
    match node:
        case Literal(text):
            return not text
        case Ref(name):
            found[name] = found.get(name, 0) + 1
            return name in nullable_names
        case Seq(items):
            may_be_empty = True
            for item in items:
                may_be_empty = _lead(item, nullable_names, found)
                if not may_be_empty:
                    break
            return may_be_empty
        case Alt(options):
            may_be_empty = False
            for option in options:
                may_be_empty |= _lead(option, nullable_names, found)
            return may_be_empty
        case Repeat(item, low, high):
            if high == 0:
                return True
            return _lead(item, nullable_names, found) or low == 0
        case CharClass() | Substring() | ControlToken():
            return False
        case Dfa():
            return 0 in node.accepting
        case Measured():
            return node.holds_empty()
        case Terminal(item, excluded):
            return _lead(item, nullable_names, found) and "" not in excluded
        case Members(members, extra, separator, low):
            if extra is not None and _lead(extra, nullable_names, found):
                _lead(separator, nullable_names, found)
            return low == 0 and not any(member.required for member in members)
        case Unique(item) | Element(item):
            return _lead(item, nullable_names, found)

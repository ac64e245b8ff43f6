"""What rules and nodes match at all: the empty text, a longer one, or nothing.

That is a least fixed point over rules that refer to each other in any order. A rule is looked at
again only when one that it waits for turns out to match more than was known.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ..errors import GrammarError
from .alphabet import ALL_BYTES, can_spell, has_character, spelled_dfa, spelled_measured
from .dfa import Dfa
from .measured import Measured
from .needs import blocked
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
    """Whether a node matches the empty text, and whether it matches a longer one.

    Excluded texts, but for the empty one, and elements that must differ count as if there were
    none.
    """

    nullable: bool
    has_text: bool

    @property
    def productive(self) -> bool:
        """Whether the node matches any text at all."""
        return self.nullable or self.has_text


_NOTHING, _EMPTY, _TEXT, _BOTH = range(4)
"""The four facts as bits, because every compilation and every vocabulary waits for them."""

_FACTS = (Facts(False, False), Facts(True, False), Facts(False, True), Facts(True, True))

_KEPT_UNITS = 1024
"""Terminals whose facts are kept per process: the same few are in most schemas."""


class Survey:
    """The facts about every rule and every node of a grammar.

    Bodies nest as deep as `check` allows, which costs a frame a level. Nodes are told apart by
    identity, so the rules must live as long as the survey, which holds them.

    Attributes:
        rules: what was surveyed.
        largest_count: the largest bound of a repetition outside terminals.
        has_distinct: whether values must differ somewhere.
        has_controls: whether there are control tokens.

    Raises GrammarError for a `Ref` to a rule that does not exist, and, if the alphabet lacks some
    byte, for a text with a surrogate.
    """

    def __init__(self, rules: Rules, alphabet: frozenset[int] = ALL_BYTES) -> None:
        self.rules = rules
        self.largest_count = 0
        self.has_distinct = False
        self.has_controls = False
        self._alphabet = alphabet
        self._known = dict.fromkeys(rules.rules, _NOTHING)
        self._nodes: dict[int, int] = {}
        self._missed: set[str] = set()
        self._find()

    def rule(self, name: str) -> Facts:
        """The facts about a rule."""
        return _FACTS[self._known[name]]

    def node(self, node: Node) -> Facts:
        """The facts about a node of a rule that matches something, one that it can match with."""
        return _FACTS[self._nodes[id(node)]]

    def _find(self) -> None:
        bodies, known = self.rules.rules, self._known
        waiting: dict[str, set[str]] = {}
        todo, again = dict.fromkeys(bodies), dict[str, None]()
        while todo or again:
            if not todo:  # in rounds: a rule of many references is not looked at after each of them
                todo, again = again, {}
            name, _ = todo.popitem()  # from the end: rules mostly refer to later ones
            self._missed = set()
            bits = self._visit(bodies[name])
            for other in self._missed:
                waiting.setdefault(other, set()).add(name)
            if bits != known[name]:
                known[name] = bits
                again.update(dict.fromkeys(waiting.pop(name, ())))

    def _visit(self, node: Node) -> int:
        """What is known of `node` so far; the last visit of a rule sees all that it refers to.

        `_missed` gets the rules that would have to match more for the answer to change.
        """
        match node:
            case Literal(text):
                bits = _EMPTY
                if text:
                    bits = _TEXT if can_spell(text, self._alphabet) else _NOTHING
            case Ref(name):
                try:
                    bits = self._known[name]
                except KeyError:
                    raise GrammarError(f"rule {name!r} is used and not defined") from None
                if bits != _BOTH:
                    self._missed.add(name)
            case Seq(items):
                bits = _EMPTY
                for item in items:
                    each = self._visit(item)
                    if not each:
                        bits = _NOTHING
                        break
                    bits = bits & each & _EMPTY | (bits | each) & _TEXT
            case Alt(options):
                bits = _NOTHING
                for option in options:
                    bits |= self._visit(option)
            case Terminal():
                known = self._nodes.get(id(node))
                bits = _unit(node, self._alphabet) if known is None else known
            case Repeat(item, low, high):
                self.largest_count = max(self.largest_count, low, high or 0)
                inner = self._visit(item)
                bits = inner & _EMPTY if low else _EMPTY
                if high != 0:
                    bits |= inner & _TEXT
            case CharClass(ranges):
                bits = _TEXT if has_character(ranges, self._alphabet) else _NOTHING
            case Members():
                bits = self._members(node)
            case Unique(item) | Element(item):
                self.has_distinct = True
                bits = self._visit(item)
            case Dfa():
                bits = self._dfa(node)
            case Measured():
                bits = self._measured(node)
            case Substring():
                bits = self._substring(node)
            case ControlToken():
                self.has_controls = True
                bits = _TEXT
        self._nodes[id(node)] = bits
        return bits

    def _members(self, node: Members) -> int:
        required = usable_required = 0
        dead: set[int] = set()
        for i, member in enumerate(node.members):
            may_come = bool(self._visit(member.rest)) and can_spell(member.key, self._alphabet)
            required += member.required
            usable_required += may_come and member.required
            if not may_come:
                dead.add(i)
        usable = len(node.members) - len(blocked(node, dead))
        extra = node.extra is not None and bool(self._visit(node.extra) & _TEXT)
        separator = bool(self._visit(node.separator))
        needed = max(required, node.min)
        has_text = usable_required == required and can_hold(
            node, max(needed, 1), usable, extra=extra, separator=separator
        )
        return _bits(needed == 0, has_text)

    def _dfa(self, dfa: Dfa) -> int:
        dfa = spelled_dfa(dfa, self._alphabet)
        live = dfa.live()
        has_text = any(to in live for *_, to in dfa.edges[0])
        return _bits(0 in dfa.accepting, has_text)

    def _measured(self, node: Measured) -> int:
        node = spelled_measured(node, self._alphabet)
        remainders = node.remainders()
        has_text = any(
            node.fits(remainders, to, node.counted(0, to)) for *_, to in node.dfa.edges[0]
        )
        return _bits(node.holds_empty(), has_text)

    def _substring(self, node: Substring) -> int:
        characters = "".join(node.text.split()) if node.words else node.text
        is_spelled = any(can_spell(char, self._alphabet) for char in characters)
        return _TEXT if is_spelled else _NOTHING


@lru_cache(_KEPT_UNITS)
def _unit(terminal: Terminal, alphabet: frozenset[int]) -> int:
    """The facts about a terminal, which refers to nothing."""
    inner = Survey(Rules("unit", {"unit": terminal.node}), alphabet).rule("unit")
    return _bits(inner.nullable and "" not in terminal.excluded, inner.has_text)


def _bits(nullable: bool, has_text: bool) -> int:
    return _EMPTY * nullable | _TEXT * has_text


def rule_facts(rules: Rules) -> dict[str, Facts]:
    """The facts about each rule."""
    survey = Survey(rules)
    return {name: survey.rule(name) for name in rules.rules}


def nullable_rules(rules: Rules) -> frozenset[str]:
    """The rules that match the empty text."""
    return frozenset(name for name, facts in rule_facts(rules).items() if facts.nullable)


def productive_rules(rules: Rules) -> frozenset[str]:
    """The rules that match some text."""
    return frozenset(name for name, facts in rule_facts(rules).items() if facts.productive)


def can_hold(node: Members, needed: int, usable: int, *, extra: bool, separator: bool) -> bool:
    """Whether some object has `needed` members or more, as many as it must have.

    `usable` declared members match some text, the required ones among them; `extra` and
    `separator`: whether the node's own do.
    """
    fits = node.max is None or needed <= node.max
    return fits and (extra or needed <= usable) and (separator or needed < 2)

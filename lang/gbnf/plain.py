"""The IR with nothing in it but the six kinds of nodes that GBNF has too.

Automata, terminals and passages become rules, shared between their uses; members become chains of
rules; values that differ become one rule per set of values. What would get too large that way is
refused, which costs only those who ask for GBNF: the runtime executes the IR itself.
"""

from __future__ import annotations

from typing import TypeAlias

from ..errors import GrammarError
from ..ir.dfa import Dfa
from ..ir.measured import Measured
from ..ir.nodes import (
    CharClass,
    Literal,
    Members,
    Node,
    Ref,
    Rules,
    Substring,
    Terminal,
    Unique,
)
from ..ir.rule_names import NewRules
from ..ir.walk import children, fold, references, with_children
from ..regular import algebra as regular
from .automata import dfa_to_node, substring_dfa
from .distinct import distinct_to_node
from .members import members_to_node

MAX_PASSAGE = 2000
"""Characters of a text whose passages are printed."""

_PREFIX = "part"
_SMALL = (Literal, CharClass, Ref)
_Unit: TypeAlias = Dfa | Measured | Substring | Terminal


def plain(rules: Rules) -> Rules:
    """The same language. Raises GrammarError for what GBNF cannot hold, or only at a huge size."""
    new_rules = NewRules(rules.rules)
    visitor = _Plain(rules, new_rules)
    new_rules.bodies.update((name, visitor.body(name)) for name in rules.rules)
    needed: dict[str, Node] = {}
    names = [rules.root]
    for name in names:  # grows while it is walked
        if name not in needed:
            needed[name] = fold(new_rules.bodies[name], visitor.without_unique)
            names += references(needed[name])
    return Rules(rules.root, needed)


class _Plain:
    """Replaces nodes, bottom-up: first all but `Unique` and `Element`, then those in all rules."""

    def __init__(self, rules: Rules, new_rules: NewRules) -> None:
        self._rules = rules.rules
        self._new_rules = new_rules
        self._refs: dict[Node, Ref] = {}  # to the rule that is such a unit, and nothing else
        for name, body in rules.rules.items():
            if isinstance(body, _Unit):
                self._refs.setdefault(body, Ref(name))

    def body(self, name: str) -> Node:
        """The plain body of a rule."""
        node = self._rules[name]
        if isinstance(node, _Unit) and self._refs[node] == Ref(name):
            return self._written(node, [fold(child, self.visit) for child in children(node)])
        return fold(node, self.visit)

    def visit(self, node: Node, below: list[Node]) -> Node:
        match node:
            case Dfa() | Measured() | Substring() | Terminal():
                if node not in self._refs:
                    body = self._written(node, below)
                    if isinstance(body, _SMALL):
                        return body
                    self._refs[node] = self._new_rules.define(_PREFIX, body)
                return self._refs[node]
            case Members():
                members = with_children(node, below)
                assert isinstance(members, Members)
                return members_to_node(members, self._new_rules)
            case _:
                return with_children(node, below)

    def without_unique(self, node: Node, below: list[Node]) -> Node:
        if isinstance(node, Unique):
            return distinct_to_node(below[0], self._new_rules)
        return with_children(node, below)

    def _written(self, node: _Unit, below: list[Node]) -> Node:
        match node:
            case Dfa():
                return dfa_to_node(node, self._new_rules, _PREFIX)
            case Measured():
                written = node.written()
                if written is None:
                    raise GrammarError(
                        "gbnf: a pattern with a length takes a rule for each place in the pattern "
                        "and each length, which are too many here; make the greatest length "
                        "smaller, or run the grammar in treegram's own engine"
                    )
                return dfa_to_node(written, self._new_rules, _PREFIX)
            case Substring(text):
                if len(text) > MAX_PASSAGE:
                    raise GrammarError(
                        f"gbnf: a passage of a text of {len(text):,} characters; GBNF takes a rule "
                        f"for each, so at most {MAX_PASSAGE:,}. Run the grammar in treegram's own "
                        "engine"
                    )
                return dfa_to_node(substring_dfa(node), self._new_rules, _PREFIX)
            case Terminal(_, excluded):
                return self._without(node, excluded) if excluded else below[0]

    def _without(self, node: Terminal, excluded: frozenset[str]) -> Node:
        try:
            others = regular.complement(regular.from_texts(excluded))
            dfa = regular.intersect(regular.from_node(node.node), others)
        except regular.TooLarge as error:
            raise GrammarError(
                f"gbnf: leaving {len(excluded)} texts out takes too large an automaton; run the "
                "grammar in treegram's own engine"
            ) from error
        return dfa_to_node(dfa, self._new_rules, _PREFIX)

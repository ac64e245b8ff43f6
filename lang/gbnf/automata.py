"""Automata as right-linear rules, and passages of a text as an automaton.

A state becomes a rule only where several ways lead to it or the nesting gets deep; a run of states
with one way on is a text, and a state that leads to itself is a repetition.
"""

from __future__ import annotations

from ..automaton.reference_texts import pieces
from ..ir.dfa import Dfa, Edge
from ..ir.nodes import EMPTY, NEVER, Alt, CharClass, Literal, Node, Ref, Repeat, Seq, Substring
from ..ir.rule_names import NewRules

_MAX_INLINE = 16


def dfa_to_node(dfa: Dfa, new_rules: NewRules, prefix: str) -> Node:
    """The language of `dfa` as a node; the rules that it refers to are defined."""
    if dfa.is_empty():
        return NEVER
    return _Writer(dfa, new_rules, prefix).write()


def substring_dfa(node: Substring) -> Dfa:
    """The passages as an automaton: its states are the places where a passage can stand.

    There are at most twice as many as the text has characters (Blumer and others, 1985).
    """
    text = node.text
    spans = pieces(text, node.words)
    ends = {end for _, end in spans}
    start = frozenset(begin for begin, _ in spans)
    index = {start: 0}
    order = [start]
    edges: list[tuple[Edge, ...]] = []
    for places in order:  # grows while it is walked
        following: dict[str, set[int]] = {}
        for place in places:
            if place < len(text):
                following.setdefault(text[place], set()).add(place + 1)
        found: list[Edge] = []
        for char, after in sorted(following.items()):
            target = frozenset(after)
            if target not in index:
                index[target] = len(order)
                order.append(target)
            found.append((ord(char), ord(char), index[target]))
        edges.append(tuple(found))
    accepting = frozenset(i for i, places in enumerate(order) if i and places & ends)
    return Dfa(tuple(edges), accepting)


class _Writer:
    def __init__(self, dfa: Dfa, new_rules: NewRules, prefix: str) -> None:
        self._accepting = dfa.accepting
        self._new_rules = new_rules
        self._prefix = prefix
        live = dfa.live()
        self._targets: list[dict[int, list[tuple[int, int]]]] = []
        self._entries = [0] * len(dfa.edges)
        for state, edges in enumerate(dfa.edges):
            groups: dict[int, list[tuple[int, int]]] = {}
            for low, high, to in edges:
                if to in live:
                    groups.setdefault(to, []).append((low, high))
            self._targets.append(groups)
            for to in groups:
                self._entries[to] += to != state
        self._entries[0] += 1
        self._named: dict[int, str] = {}
        self._todo: list[int] = []

    def write(self) -> Node:
        start = self._use(0, 0)
        while self._todo:
            state = self._todo.pop()
            self._new_rules.bodies[self._named[state]] = self._body(state, 0)
        return start

    def _use(self, state: int, depth: int) -> Node:
        if self._accepting_end(state):
            return EMPTY
        if self._entries[state] == 1 and depth < _MAX_INLINE:
            return self._body(state, depth)
        if state not in self._named:
            self._named[state] = self._new_rules.reserve(self._prefix)
            self._todo.append(state)
        return Ref(self._named[state])

    def _accepting_end(self, state: int) -> bool:
        return state in self._accepting and not self._targets[state]

    def _body(self, state: int, depth: int) -> Node:
        groups = dict(self._targets[state])
        loop = groups.pop(state, None)
        options = [self._way(ranges, to, depth + 1) for to, ranges in groups.items()]
        if state in self._accepting:
            options.insert(0, EMPTY)
        rest = options[0] if len(options) == 1 else Alt(tuple(options))
        if loop is None:
            return rest
        again = Repeat(CharClass(tuple(loop)), 0, None)
        return again if rest == EMPTY else Seq((again, rest))

    def _way(self, ranges: list[tuple[int, int]], to: int, depth: int) -> Node:
        """The edge to `to`, with what can only follow it."""
        text = ""
        while len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
            text += chr(ranges[0][0])
            groups = self._targets[to]
            if to in self._accepting or len(groups) != 1 or self._entries[to] != 1 or to in groups:
                return _seq(Literal(text), self._use(to, depth))
            [(to, ranges)] = groups.items()
        return _seq(Literal(text), CharClass(tuple(ranges)), self._use(to, depth))


def _seq(*items: Node) -> Node:
    kept = tuple(item for item in items if item != EMPTY)
    return kept[0] if len(kept) == 1 else Seq(kept)

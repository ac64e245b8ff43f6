"""Regular languages as automata: the set operations that the grammar IR has no node for.

Schemas intersect and exclude: a pattern and a length, two patterns, keys that are not declared. An
IR node without references is regular, so it becomes a DFA here, the operation is done there, and
the result goes back as right-linear rules. Sizes are bounded; what would exceed them is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from .ir import EMPTY, NEVER, Alt, CharClass, Literal, Node, Ref, Repeat, Seq
from .json_strings import ANY_CHAR, Ranges

Edge = tuple[int, int, int]
"""From code point, to code point (inclusive), next state."""

_State = TypeVar("_State", bound=Hashable)

MAX_STATES = 4000
_MAX_INLINE = 16


class TooLarge(Exception):
    """An automaton would have more than MAX_STATES states."""


@dataclass(frozen=True, slots=True)
class Dfa:
    """A deterministic automaton over code points; it starts in state 0.

    `edges[s]` is sorted and disjoint; a code point without an edge is rejected.
    """

    edges: tuple[tuple[Edge, ...], ...]
    accepting: frozenset[int]

    def accepts(self, text: str) -> bool:
        """Whether `text` is in the language."""
        state: int | None = 0
        for char in text:
            assert state is not None
            state = self._step(state, ord(char))
            if state is None:
                return False
        return state in self.accepting

    def _step(self, state: int, code: int) -> int | None:
        return next((to for low, high, to in self.edges[state] if low <= code <= high), None)

    def is_empty(self) -> bool:
        """Whether nothing is accepted."""
        return 0 not in self.live()

    def live(self) -> frozenset[int]:
        """States from which an accepting state can be reached."""
        sources: dict[int, set[int]] = {}
        for state, edges in enumerate(self.edges):
            for *_, to in edges:
                sources.setdefault(to, set()).add(state)
        seen = set(self.accepting)
        todo = list(seen)
        while todo:
            for source in sources.get(todo.pop(), ()):
                if source not in seen:
                    seen.add(source)
                    todo.append(source)
        return frozenset(seen)


class _Nfa:
    def __init__(self) -> None:
        self.edges: list[list[Edge]] = [[]]
        self.free: list[list[int]] = [[]]

    def state(self) -> int:
        if len(self.edges) > 20 * MAX_STATES:
            raise TooLarge
        self.edges.append([])
        self.free.append([])
        return len(self.edges) - 1

    def add(self, node: Node, start: int) -> int:
        """Adds paths from `start` that spell `node`; returns the state where they end."""
        match node:
            case Literal(text):
                for char in text:
                    start = self._edge(start, ((ord(char), ord(char)),))
                return start
            case CharClass(ranges):
                return self._edge(start, ranges)
            case Seq(items):
                for item in items:
                    start = self.add(item, start)
                return start
            case Alt(options):
                end = self.state()
                for option in options:
                    self.free[self.add(option, start)].append(end)
                return end
            case Repeat(item, low, high):
                for _ in range(low):
                    start = self.add(item, start)
                if high is None:
                    loop = self.state()
                    self.free[start].append(loop)
                    self.free[self.add(item, loop)].append(loop)
                    return loop
                end = self.state()
                for _ in range(high - low):
                    self.free[start].append(end)
                    start = self.add(item, start)
                self.free[start].append(end)
                return end
            case Ref(name):
                raise AssertionError(f"a reference to the rule {name!r} is not regular")

    def _edge(self, start: int, ranges: Ranges) -> int:
        end = self.state()
        self.edges[start] += [(low, high, end) for low, high in ranges]
        return end

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        seen = set(states)
        todo = list(seen)
        while todo:
            for state in self.free[todo.pop()]:
                if state not in seen:
                    seen.add(state)
                    todo.append(state)
        return frozenset(seen)


def from_node(node: Node) -> Dfa:
    """The language of a node without references. Raises TooLarge."""
    nfa = _Nfa()
    final = nfa.add(Seq((node, EMPTY)), nfa.state())

    def step(states: frozenset[int]) -> list[tuple[int, int, frozenset[int]]]:
        edges = [edge for state in states for edge in nfa.edges[state]]
        cuts = sorted({low for low, _, _ in edges} | {high + 1 for _, high, _ in edges})
        found: list[tuple[int, int, frozenset[int]]] = []
        for low, stop in pairwise(cuts):
            targets = frozenset(to for first, last, to in edges if first <= low <= last)
            if targets:
                found.append((low, stop - 1, nfa.closure(targets)))
        return found

    return _explore(nfa.closure([1]), step, lambda states: final in states)


def from_texts(texts: Iterable[str]) -> Dfa:
    """Exactly these texts: their prefix tree. Raises TooLarge."""
    children: list[dict[int, int]] = [{}]
    accepting: set[int] = set()
    for text in texts:
        state = 0
        for char in text:
            if ord(char) not in children[state]:
                if len(children) >= MAX_STATES:
                    raise TooLarge
                children[state][ord(char)] = len(children)
                children.append({})
            state = children[state][ord(char)]
        accepting.add(state)
    edges = (tuple((code, code, to) for code, to in sorted(node.items())) for node in children)
    return Dfa(tuple(edges), frozenset(accepting))


def intersect(a: Dfa, b: Dfa) -> Dfa:
    """What both accept. Raises TooLarge."""

    def step(pair: tuple[int, int]) -> list[tuple[int, int, tuple[int, int]]]:
        return [
            (max(low, first), min(high, last), (left, right))
            for low, high, left in a.edges[pair[0]]
            for first, last, right in b.edges[pair[1]]
            if low <= last and first <= high
        ]

    return _explore((0, 0), step, lambda p: p[0] in a.accepting and p[1] in b.accepting)


def complement(a: Dfa) -> Dfa:
    """Every text that `a` does not accept. Raises TooLarge."""
    everywhere = len(a.edges)

    def step(state: int) -> list[tuple[int, int, int]]:
        edges = a.edges[state] if state != everywhere else ()
        found: list[tuple[int, int, int]] = []
        for low, high in ANY_CHAR.ranges:
            at = low
            for first, last, to in edges:
                first, last = max(first, low), min(last, high)
                if first > last:
                    continue
                if at < first:
                    found.append((at, first - 1, everywhere))
                found.append((first, last, to))
                at = last + 1
            if at <= high:
                found.append((at, high, everywhere))
        return found

    return _explore(0, step, lambda state: state not in a.accepting)


def _explore(
    start: _State,
    step: Callable[[_State], list[tuple[int, int, _State]]],
    accepts: Callable[[_State], bool],
) -> Dfa:
    """The automaton of everything reachable from `start`; joins adjacent edges to one target."""
    index = {start: 0}
    order = [start]
    edges: list[tuple[Edge, ...]] = []
    for state in order:
        joined: list[Edge] = []
        for low, high, target in sorted(step(state), key=lambda edge: edge[0]):
            if target not in index:
                if len(order) >= MAX_STATES:
                    raise TooLarge
                index[target] = len(order)
                order.append(target)
            to = index[target]
            if joined and joined[-1][1] == low - 1 and joined[-1][2] == to:
                joined[-1] = (joined[-1][0], high, to)
            else:
                joined.append((low, high, to))
        edges.append(tuple(joined))
    return Dfa(tuple(edges), frozenset(i for i, state in enumerate(order) if accepts(state)))


def to_rules(dfa: Dfa, prefix: str, encode: Callable[[Node], Node]) -> tuple[Node, dict[str, Node]]:
    """The language as a node and the right-linear rules, named `prefix-<n>`, that it refers to.

    `encode` rewrites each literal and class on the way out.
    """
    return _Printer(dfa, prefix, encode).run()


class _Printer:
    def __init__(self, dfa: Dfa, prefix: str, encode: Callable[[Node], Node]) -> None:
        self.accepting = dfa.accepting
        self.prefix = prefix
        self.encode = encode
        live = dfa.live()
        self.targets: list[dict[int, list[tuple[int, int]]]] = []
        self.entries = [0] * len(dfa.edges)
        for state, edges in enumerate(dfa.edges):
            groups: dict[int, list[tuple[int, int]]] = {}
            for low, high, to in edges:
                if to in live:
                    groups.setdefault(to, []).append((low, high))
            self.targets.append(groups)
            for to in groups:
                self.entries[to] += to != state
        self.entries[0] += 1
        self.is_empty = 0 not in live
        self.named: dict[int, str] = {}
        self.todo: list[int] = []

    def run(self) -> tuple[Node, dict[str, Node]]:
        if self.is_empty:
            return NEVER, {}
        rules: dict[str, Node] = {}
        start = self._use(0, 0)
        while self.todo:
            state = self.todo.pop()
            rules[self.named[state]] = self._body(state, 0)
        return start, rules

    def _use(self, state: int, depth: int) -> Node:
        if self.entries[state] == 1 and depth < _MAX_INLINE:
            return self._body(state, depth)
        if state not in self.named:
            self.named[state] = f"{self.prefix}-{len(self.named) + 1}"
            self.todo.append(state)
        return Ref(self.named[state])

    def _body(self, state: int, depth: int) -> Node:
        groups = dict(self.targets[state])
        loop = groups.pop(state, None)
        options = [self._edge(ranges, to, depth + 1) for to, ranges in groups.items()]
        if state in self.accepting:
            options.insert(0, EMPTY)
        rest = options[0] if len(options) == 1 else Alt(tuple(options))
        if loop is None:
            return rest
        again = Repeat(self.encode(CharClass(tuple(loop))), 0, None)
        return again if rest == EMPTY else Seq((again, rest))

    def _edge(self, ranges: list[tuple[int, int]], to: int, depth: int) -> Node:
        text = ""
        while len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
            text += chr(ranges[0][0])
            groups = self.targets[to]
            if to in self.accepting or len(groups) != 1 or self.entries[to] != 1 or to in groups:
                break
            [(to, ranges)] = groups.items()
        else:
            items = (self.encode(CharClass(tuple(ranges))), self._use(to, depth))
            head = (self.encode(Literal(text)),) if text else ()
            return _seq((*head, *items))
        return _seq((self.encode(Literal(text)), self._use(to, depth)))


def _seq(items: tuple[Node, ...]) -> Node:
    kept = tuple(item for item in items if item != EMPTY)
    return kept[0] if len(kept) == 1 else Seq(kept)

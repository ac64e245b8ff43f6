"""The same language without rules that begin with themselves.

`sum: sum "+" term | term` is the natural way to write a list, and neither llama.cpp nor our
automaton can run it: they would call `sum` for ever. Rules that begin with each other are equations
in which the unknown stands on the left, so they are solved as those of a left-linear grammar are
(Greibach 1965): each text is one of the beginnings that do not recurse, and then a path of what may
follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from ..errors import GrammarError
from .beginnings import leading_references
from .facts import nullable_rules
from .nodes import EMPTY, Alt, Literal, Node, Ref, Repeat, Rules, Seq
from .rule_names import NewRules

_MAX_WAYS = 100_000
"""Ways to begin that are looked at, and those that are written: well under a second."""


def without_left_recursion(rules: Rules) -> Rules:
    """Equal rules, none of which begins with itself.

    Where recursion can go round without consuming anything, some may be left, for `check` to find.
    Raises GrammarError if a rule can begin in too many ways.
    """
    empty_names = nullable_rules(rules)
    leading = {name: leading_references(body, empty_names) for name, body in rules.rules.items()}
    new_rules = NewRules(rules.rules)
    new_rules.bodies.update(rules.rules)
    budget = _Budget()
    sources: dict[str, list[str]] = {}
    for name, firsts in leading.items():
        for first in firsts:
            sources.setdefault(first, []).append(name)
    for names in _circles(leading):
        towards = frozenset(_reachable(names, sources))
        _Equations(names, rules.rules, towards, empty_names, budget).solve(new_rules)
    return Rules(rules.root, new_rules.bodies)


class _Budget:
    """Counts the ways of all rules together."""

    def __init__(self) -> None:
        self._left = _MAX_WAYS

    def take(self, ways: int, name: str) -> None:
        """Raises GrammarError, naming the rule, when there are too many."""
        self._left -= ways
        if self._left < 0:
            raise GrammarError(
                f"grammar: left recursion in rule {name!r} can begin in more than {_MAX_WAYS:,} "
                "ways; write it as a repetition"
            )


class _Way(NamedTuple):
    """One way through a rule: the rule of the circle that it begins with, and what follows."""

    first: str
    rest: Node


class _Equations:
    """The rules `names`, each of which can begin with each other one: a circle.

    `towards`: the rules that can begin with one of them, directly or through others.
    """

    def __init__(
        self,
        names: list[str],
        bodies: Mapping[str, Node],
        towards: AbstractSet[str],
        empty_names: AbstractSet[str],
        budget: _Budget,
    ) -> None:
        self._names = names
        self._circle = frozenset(names)
        self._bodies = bodies
        self._empty_names = empty_names
        self._budget = budget
        self._towards = towards

    def solve(self, new_rules: NewRules) -> None:
        begins: dict[str, list[Node]] = {}
        follows: dict[tuple[str, str], list[Node]] = {}
        units: dict[str, set[str]] = {name: {name} for name in self._names}
        for name in self._names:
            recursive, begins[name] = self._split([self._bodies[name]], name)
            for first, rest in recursive:
                if rest == EMPTY:
                    units[first].add(name)
                else:
                    follows.setdefault((first, name), []).append(rest)
        starts = [name for name in self._names if begins[name]]
        if len(self._names) == 1:
            [name] = self._names
            body: Node = Alt(tuple(begins[name]))
            if follows:
                body = Seq((body, Repeat(Alt(tuple(follows[name, name])), 0, None)))
            new_rules.bodies[name] = body
            return
        goes_on: dict[str, list[tuple[Node, str]]] = {}
        for (first, then), rests in follows.items():
            goes_on.setdefault(first, []).append((Alt(tuple(rests)), then))
        # per rule: what a text of it is a text of as it stands, and how that goes on
        self._budget.take(len(self._names) ** 2, self._names[0])
        same = {name: _reachable([name], units) for name in self._names}
        steps = {
            name: [step for first in same[name] for step in goes_on.get(first, ())]
            for name in self._names
        }
        before: dict[str, list[str]] = {}
        for name, found in steps.items():
            for _, then in found:
                before.setdefault(then, []).append(name)
        options_per_end = len(starts) + sum(map(len, steps.values()))
        self._budget.take(options_per_end * len(self._names), self._names[0])
        paths = {
            (start, end): new_rules.reserve(f"{start}-to-{end}")
            for start in self._names
            for end in self._names
        }
        for end in self._names:
            last = [name for name in self._names if end in same[name]]
            # what rules refer to comes after them, so that `facts.py` knows it before them
            starts_of_end = _reachable(last, before)
            assert len(starts_of_end) == len(self._names), "each can begin with each other one"
            for start in reversed(starts_of_end):
                options: list[Node] = [EMPTY] if start in last else []
                options += [Seq((rest, Ref(paths[then, end]))) for rest, then in steps[start]]
                new_rules.bodies[paths[start, end]] = Alt(tuple(options))
        for name in self._names:
            ways = [Seq((Alt(tuple(begins[s])), Ref(paths[s, name]))) for s in starts]
            new_rules.bodies[name] = Alt(tuple(ways))

    def _split(self, items: list[Node], name: str) -> tuple[list[_Way], list[Node]]:
        """The ways through `items` that begin in the circle, and the others."""
        recursive: list[_Way] = []
        others: list[Node] = []
        todo = [tuple(items)]
        while todo:
            items_left = todo.pop()
            leading = leading_references(Seq(items_left), self._empty_names)
            self._budget.take(1 + sum(leading.values()), name)
            if self._towards.isdisjoint(leading):
                others.append(_seq(items_left))
                continue
            first, rest = items_left[0], items_left[1:]
            match first:
                case Literal(""):
                    todo.append(rest)
                case Ref(other) if other in self._circle:
                    recursive.append(_Way(other, _seq(rest)))
                case Ref(other):
                    todo.append((self._bodies[other], *rest))
                case Seq(inner):
                    todo.append((*inner, *rest))
                case Alt(options):
                    todo += [(option, *rest) for option in reversed(options)]
                case Repeat(item, low, high):
                    less = None if high is None else high - 1
                    if high != 0:
                        todo.append((item, Repeat(item, max(low - 1, 0), less), *rest))
                    if low == 0:
                        todo.append(rest)
                case _:
                    raise AssertionError(f"{first!r} begins with no rule")
        return recursive, others


def _seq(items: tuple[Node, ...]) -> Node:
    kept = tuple(item for item in items if item != EMPTY)
    return kept[0] if len(kept) == 1 else Seq(kept) if kept else EMPTY


def _reachable(starts: Iterable[str], graph: Mapping[str, Iterable[str]]) -> list[str]:
    """What the graph leads to from `starts`, the nearest first."""
    found = dict.fromkeys(starts)
    for here in (todo := list(found)):  # grows while it is walked
        for name in graph.get(here, ()):
            if name not in found:
                found[name] = None
                todo.append(name)
    return todo


def _circles(leading: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    """The sets of rules that can all begin with each other (Tarjan 1972, on a stack of our own)."""
    firsts = {name: list(found) for name, found in leading.items()}
    circles: list[list[str]] = []
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    on_path: set[str] = set()
    work: list[tuple[str, int]] = [(name, 0) for name in leading]
    while work:
        name, at = work.pop()
        if at == 0:
            if name in order:
                continue
            order[name] = lowest[name] = len(order)
            path.append(name)
            on_path.add(name)
        elif (done := firsts[name][at - 1]) in on_path:
            lowest[name] = min(lowest[name], lowest[done])
        if at < len(firsts[name]):
            work += [(name, at + 1), (firsts[name][at], 0)]
        elif lowest[name] == order[name]:
            circle = path[path.index(name) :]
            del path[-len(circle) :]
            on_path.difference_update(circle)
            if len(circle) > 1 or name in firsts[name]:
                circles.append(circle)
    return circles

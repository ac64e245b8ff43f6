"""Lookarounds, word boundaries and inner anchors: what a place demands of the text around it.

Such a pattern is still regular, but no node says it. Its automaton is built in one pass over the
text: what a place demands of the text *behind* it is known when the place is reached, because every
lookbehind runs along from the start; what it demands of the text *ahead* becomes an obligation that
runs along with the match and must come true by the end (an alternating automaton: Chandra, Kozen
and Stockmeyer, 1981). `^`, `$` and `\\b` are lookarounds of one character.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import RegexError
from ..ir.nodes import CharClass, Node, Repeat, Seq
from ..ir.walk import references
from ..regular.alphabet import distinguish
from ..regular.nfa import Fragments, TooLarge
from ..regular.table import Table, explore
from .sets import ANY

_MAX_WORK = 200_000
"""Moves that are tried for one pattern: less than a second."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """A demand on the text around a place: `body` matches there, or does not if `negative`.

    It begins at the place, or ends there if `behind`. `column` is where it is written.
    """

    body: Node
    behind: bool
    negative: bool
    column: int


Obligation: TypeAlias = "tuple[str, Configurations]"
"""The assertion's name, and where its body is."""

Configuration: TypeAlias = "tuple[int, frozenset[Obligation]]"
"""A state, and what must come true for the match that is in it."""

Configurations: TypeAlias = frozenset[Configuration]
"""Any one of them will do."""

_NONE: frozenset[Obligation] = frozenset()


def asked_in(tree: Node, assertions: Mapping[str, Assertion]) -> dict[str, Assertion]:
    """Those of the assertions that the tree names, or the body of one of them; in their order."""
    names = dict.fromkeys(references(tree))
    for name in (todo := list(names)):  # grows while it is walked
        fresh = [inner for inner in references(assertions[name].body) if inner not in names]
        names.update(dict.fromkeys(fresh))
        todo += fresh
    return {name: assertion for name, assertion in assertions.items() if name in names}


def compile_looks(
    tree: Node, assertions: Mapping[str, Assertion], pattern: str, *, anywhere: bool
) -> Table:
    """The texts that `tree` matches, from end to end or `anywhere` inside them.

    A reference in it, or in the body of an assertion, names an assertion; those of a body come
    before it in `assertions`. Raises RegexError for a lookahead inside a lookbehind, and TooLarge.
    """
    for assertion in assertions.values():
        if assertion.behind and any(
            not assertions[name].behind for name in references(assertion.body)
        ):
            raise RegexError(
                "a lookbehind that looks ahead has no automaton here; move the inner lookahead out",
                pattern,
                assertion.column,
            )
    return _Looks(tree, assertions, anywhere).table()


class _GuardedFragments(Fragments):
    """Fragments in which a reference is an empty move that an assertion guards."""

    def __init__(self) -> None:
        super().__init__()
        self.guards: dict[int, list[tuple[str, int]]] = {}

    def reference(self, name: str, start: int) -> int:
        end = self.state()
        self.guards.setdefault(start, []).append((name, end))
        return end


@dataclass(frozen=True, slots=True)
class _Situation:
    """Where the match is, and where each lookbehind is."""

    behind: tuple[Configurations, ...]
    match: Configurations


class _Looks:
    def __init__(self, tree: Node, assertions: Mapping[str, Assertion], anywhere: bool) -> None:
        self._assertions = assertions
        self._fragments = fragments = _GuardedFragments()
        around = Repeat(CharClass(ANY), 0, None)
        self._start = fragments.state()
        self._final = fragments.add(Seq((around, tree, around)) if anywhere else tree, self._start)
        self._starts: dict[str, int] = {}
        self._finals: dict[str, int] = {}
        for name, assertion in assertions.items():
            self._starts[name] = fragments.state()
            body = assertion.body if assertion.behind else Seq((assertion.body, around))
            self._finals[name] = fragments.add(body, self._starts[name])
        self._behind = [name for name, assertion in assertions.items() if assertion.behind]
        self._ends = {self._final, *self._finals.values()}
        self._alphabet, self._classes = distinguish(list(fragments.labels))
        self._work = 0

    def table(self) -> Table:
        """The automaton. Raises TooLarge."""
        behind, passed = self._behind_after([frozenset()] * len(self._behind))
        start = _Situation(behind, self._closure([(self._start, _NONE)], passed))
        return explore(self._alphabet, start, self._step, self._is_accepting)

    def _step(self, situation: _Situation) -> list[_Situation | None]:
        return [self._move(situation, number) for number in range(self._alphabet.size)]

    def _move(self, situation: _Situation, number: int) -> _Situation | None:
        moved = [
            frozenset((to, _NONE) for state, _ in one for to in self._targets(state, number))
            for one in situation.behind
        ]
        behind, passed = self._behind_after(moved)
        match = self._advance(situation.match, number, passed)
        return _Situation(behind, match) if match else None

    def _behind_after(
        self, moved: list[Configurations]
    ) -> tuple[tuple[Configurations, ...], frozenset[str]]:
        """Every lookbehind one character on, begun anew here, and those that match up to here."""
        passed: set[str] = set()
        behind: list[Configurations] = []
        for name, configurations in zip(self._behind, moved, strict=True):
            begun = (*configurations, (self._starts[name], _NONE))
            behind.append(self._closure(begun, passed))
            if (self._finals[name], _NONE) in behind[-1]:
                passed.add(name)
        return tuple(behind), frozenset(passed)

    def _advance(
        self, configurations: Configurations, number: int, passed: frozenset[str]
    ) -> Configurations:
        moved: list[Configuration] = []
        for state, obligations in configurations:
            targets = self._targets(state, number)
            if not targets:
                continue
            left = self._obligations_after(obligations, number, passed)
            if left is not None:
                moved += [(to, left) for to in targets]
        return self._closure(moved, passed)

    def _obligations_after(
        self, obligations: frozenset[Obligation], number: int, passed: frozenset[str]
    ) -> frozenset[Obligation] | None:
        """What is left of the obligations one character on; None if one cannot come true."""
        left: set[Obligation] = set()
        for name, configurations in obligations:
            settled = self._settled(name, self._advance(configurations, number, passed))
            if settled is False:
                return None
            if settled is not True:
                left.add(settled)
        return frozenset(left)

    def _settled(self, name: str, configurations: Configurations) -> Obligation | bool:
        """Whether the assertion has come true, cannot, or still has to."""
        negative = self._assertions[name].negative
        if not configurations:
            return negative
        if (self._finals[name], _NONE) in configurations:
            return not negative
        return name, configurations

    def _closure(
        self, configurations: Iterable[Configuration], passed: Iterable[str]
    ) -> Configurations:
        """What empty moves and fulfilled demands lead to: the states that can do anything."""
        found: dict[int, set[frozenset[Obligation]]] = {}
        seen = set(configurations)
        todo = list(seen)
        while todo:
            self._work += 1
            if self._work > _MAX_WORK:
                raise TooLarge
            state, obligations = todo.pop()
            if self._fragments.moves[state] or state in self._ends:
                found.setdefault(state, set()).add(obligations)
            following = [(to, obligations) for to in self._fragments.empty[state]]
            for name, to in self._fragments.guards.get(state, ()):
                owed = self._demand(name, passed)
                if owed is True:
                    following.append((to, obligations))
                elif owed is not False:
                    following.append((to, obligations | {owed}))
            for configuration in following:
                if configuration not in seen:
                    seen.add(configuration)
                    todo.append(configuration)
        left = [
            (state, obligations)
            for state, all_obligations in found.items()
            for obligations in all_obligations
            # fewer demands are met whenever more of them are
            if not any(other < obligations for other in all_obligations)
        ]
        return frozenset(self._pruned(left) if self._fragments.copies else left)

    def _pruned(self, configurations: list[Configuration]) -> Iterable[Configuration]:
        """Without the copies of a repetition that others of equal obligations stand for."""
        states: dict[frozenset[Obligation], int] = {}
        for state, obligations in configurations:
            states[obligations] = states.get(obligations, 0) | 1 << state
        kept = {owed: self._fragments.pruned(bits) for owed, bits in states.items()}
        return (place for place in configurations if kept[place[1]] >> place[0] & 1)

    def _demand(self, name: str, passed: Iterable[str]) -> Obligation | bool:
        """What passing a place with this assertion takes."""
        assertion = self._assertions[name]
        if assertion.behind:
            return (name in passed) != assertion.negative
        return self._settled(name, self._closure([(self._starts[name], _NONE)], passed))

    def _targets(self, state: int, number: int) -> list[int]:
        return [to for label, to in self._fragments.moves[state] if number in self._classes[label]]

    def _is_accepting(self, situation: _Situation) -> bool:
        return self._can_end(self._final, situation.match)

    def _can_end(self, final: int, configurations: Configurations) -> bool:
        """Whether the text may end here: all obligations are settled by that."""
        return any(
            state == final
            and all(
                self._can_end(self._finals[name], owed) != self._assertions[name].negative
                for name, owed in obligations
            )
            for state, obligations in configurations
        )

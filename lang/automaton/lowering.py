"""Lowering: the grammar IR as a network.

Three properties are built in here so that running the network needs no care for them:

- no path leads to a dead end: what can produce no text (`NEVER`, endless recursion) is left out;
- every loop body consumes a byte: bodies are built in their "non-empty" form, so `(a*)*` has no
  cycle of empty moves, and one iteration of a counter is at least one byte;
- a call in tail position leaves no frame, so right recursion runs in constant stack.

A rule, the members of an object and the states of a `Dfa` are written when the automaton first
comes there. A rule nests as deep as `check` allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from ..errors import GrammarError
from ..ir.alphabet import ALL_BYTES, can_spell, effective, encode, spelled_dfa, spelled_measured
from ..ir.controls import bound
from ..ir.dfa import Dfa
from ..ir.facts import Survey
from ..ir.measured import Measured
from ..ir.needs import blocked, renumbered
from ..ir.nodes import (
    Alt,
    CharClass,
    ControlToken,
    Element,
    Literal,
    Member,
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
from ..ir.walk import children
from .dependent_bag import with_needs
from .network import (
    CALL,
    GO,
    NEXT_MEMBER,
    RETURN,
    TAKE,
    TAKE_EXTRA,
    TERMINAL,
    Network,
    control_bytes,
)
from .scopes import Bag, Distinct, Loop, Value
from .terminals import start_of
from .text_writer import TextWriter

UNROLLED_STATES = 8
"""A bounded repetition of at most this many states is written out instead of counted."""


def lower(
    rules: Rules,
    alphabet: frozenset[int] = ALL_BYTES,
    controls: Mapping[int, str] | None = None,
) -> Network:
    """The network of `rules`, without the texts that hold a byte outside `alphabet`.

    `controls`: a model's control tokens, id -> text, which then stand for themselves
    (`control_bytes`); None: they stand for their texts.

    Raises GrammarError for a `Ref` to a rule that does not exist, for a control token that the
    model does not have, and for a grammar that no text at all can satisfy.
    """
    return _Lowering(rules, alphabet, controls).network


class _Task(NamedTuple):
    """Write `node` from `entry` to `after`; `nonempty`: without its empty text."""

    node: Node
    entry: int
    after: int
    nonempty: bool


class _Lowering:
    """One run of `lower`: writes the states of every node that can match something."""

    def __init__(
        self, rules: Rules, alphabet: frozenset[int], controls: Mapping[int, str] | None
    ) -> None:
        self._alphabet = effective(alphabet)
        self._controls = controls
        self._survey = Survey(rules, self._alphabet)
        if self._survey.has_controls and controls is not None:
            self._survey = Survey(bound(rules, controls), self._alphabet)
        if not self._survey.rule(rules.root).productive:
            raise GrammarError(
                f"no text satisfies this grammar: rule {rules.root!r} never ends or matches nothing"
            )
        self.network = Network()
        self.network.largest_count = self._survey.largest_count
        self.network.has_distinct = self._survey.has_distinct
        self._rule_entries: dict[tuple[str, bool], int] = {}
        self._texts = TextWriter(self.network, self._alphabet)
        self.network.start = self._rule_entry(rules.root, nonempty=False)

    def _rule_entry(self, name: str, *, nonempty: bool) -> int:
        """The first state of a rule."""
        key = (name, nonempty and self._survey.rule(name).nullable)
        if key not in self._rule_entries:
            body = self._survey.rules.rules[name]
            self._rule_entries[key] = self._fragment(body, nonempty=key[1])
        return self._rule_entries[key]

    def _fragment(self, node: Node, *, nonempty: bool) -> int:
        """The first state of a sub-network for `node` that ends in RETURN, written later."""

        def write() -> None:
            self._write_all(_Task(node, state, RETURN, nonempty))

        state = self.network.later(write)
        return state

    def _write_all(self, task: _Task) -> None:
        tasks = [task]
        while tasks:
            tasks += self._write(tasks.pop())

    def _write(self, task: _Task) -> list[_Task]:
        """Adds the moves of one node; returns what is left to write. `entry` only gains moves."""
        entry, after = task.entry, task.after
        moves = self.network.moves[entry]
        match task.node:
            case Literal(text):
                self._texts.text(encode(text), entry, after)
            case CharClass(ranges):
                self._texts.ranges(entry, ranges, after)
            case ControlToken(text):
                data = text.encode() if self._controls is None else control_bytes(text)
                self._texts.text(data, entry, after)
            case Seq(items):
                return self._write_sequence(items, task)
            case Alt(options):
                return [
                    _Task(option, entry, after, task.nonempty)
                    for option in options
                    if self._has_text(option) or (self._is_nullable(option) and not task.nonempty)
                ]
            case Repeat() as repeat:
                return self._write_repeat(repeat, task)
            case Ref(name):
                callee = self._rule_entry(name, nonempty=task.nonempty)
                moves.append((GO, callee, 0) if after == RETURN else (CALL, callee, after))
            case Dfa() as dfa:
                self._write_dfa(dfa, task)
            case Measured() as measured:
                self._write_measured(measured, task)
            case Terminal() | Substring() as terminal:
                start = start_of(terminal, self._alphabet, task.nonempty)
                moves.append((TERMINAL, start, after))
            case Members() as members:
                self._write_members(members, task)
            case Unique(item):
                body = self._fragment(item, nonempty=task.nonempty)
                self.network.enter(entry, Distinct(body, after))
            case Element(item):
                body = self._fragment(item, nonempty=task.nonempty)
                self.network.enter(entry, Value(body, after))
        return []

    def _is_nullable(self, node: Node) -> bool:
        return self._survey.node(node).nullable

    def _has_text(self, node: Node) -> bool:
        return self._survey.node(node).has_text

    def _write_sequence(self, all_items: tuple[Node, ...], task: _Task) -> list[_Task]:
        # an empty item at the end would hide that the item before it is in tail position
        items = [item for item in all_items if self._has_text(item)]
        if not items:
            self.network.go(task.entry, task.after)
            return []
        inner = [self.network.new_state() for _ in items[1:]]
        starts, ends = [task.entry, *inner], [*inner, task.after]
        if not task.nonempty or not all(map(self._is_nullable, items)):
            return [
                _Task(item, start, end, False)
                for item, start, end in zip(items, starts, ends, strict=True)
            ]
        # all may be empty and one must not: the first non-empty one is any of them
        tasks: list[_Task] = []
        for item, start, end in zip(items, starts, ends, strict=True):
            tasks.append(_Task(item, task.entry, end, True))
            if start != task.entry:
                tasks.append(_Task(item, start, end, False))
        return tasks

    def _write_repeat(self, repeat: Repeat, task: _Task) -> list[_Task]:
        network, entry, after = self.network, task.entry, task.after
        body = repeat.item
        if repeat.max == 0 or not self._has_text(body):
            self.network.go(entry, after)
            return []
        # bodies are non-empty, so an iteration that may be empty is one that may be left out
        low = 0 if self._is_nullable(body) else repeat.min
        low, high = max(low, int(task.nonempty)), repeat.max
        if high is None and low <= 1:
            loop = network.new_state()
            end = network.new_state() if low else loop
            self.network.go(entry, loop)
            if low:
                self.network.go(end, loop)
            self.network.go(end, after)
            return [_Task(body, loop, end, True)]
        if high == 1 or _size(body) * (high or low) <= UNROLLED_STATES:
            return self._unroll(body, entry, after, low, high)
        self.network.enter(entry, Loop(self._fragment(body, nonempty=True), after, low, high))
        if low == 0:
            self.network.go(entry, after)
        return []

    def _unroll(
        self, body: Node, entry: int, after: int, low: int, high: int | None
    ) -> list[_Task]:
        """Writes a small bounded repetition as copies of its body."""
        tasks: list[_Task] = []
        copies = low if high is None else high
        for done in range(copies):
            if done >= low:
                self.network.go(entry, after)
            last = done == copies - 1
            end = after if last and high is not None else self.network.new_state()
            tasks.append(_Task(body, entry, end, True))
            entry = end
        if high is None:
            self.network.go(entry, after)
            tasks.append(_Task(body, entry, entry, True))
        return tasks

    def _write_dfa(self, dfa: Dfa, task: _Task) -> None:
        live = spelled_dfa(dfa, self._alphabet).live()
        states: dict[int, int] = {}

        def state_of(number: int) -> int:
            if number not in states:
                states[number] = self.network.later(partial(write, number, accepts=True))
            return states[number]

        def write(number: int, accepts: bool, into: int | None = None) -> None:
            state = states[number] if into is None else into
            for first, last, to in dfa.edges[number]:
                if to in live:
                    self._texts.ranges(state, ((first, last),), state_of(to))
            if accepts and number in dfa.accepting:
                self.network.go(state, task.after)

        write(0, accepts=not task.nonempty, into=task.entry)

    def _write_measured(self, node: Measured, task: _Task) -> None:
        """States and counts in pairs, of those that a text comes to."""
        node = spelled_measured(node, self._alphabet)
        remainders = node.remainders()
        states: dict[tuple[int, int], int] = {}

        def state_of(place: tuple[int, int]) -> int:
            if place not in states:
                states[place] = self.network.later(partial(write, place, accepts=True))
                self.network.numbers[states[place]] = place[0]
            return states[place]

        def write(place: tuple[int, int], accepts: bool, into: int | None = None) -> None:
            state = states[place] if into is None else into
            number, count = place
            for first, last, to in node.dfa.edges[number]:
                reached = (to, node.counted(count, to))
                if node.fits(remainders, *reached):
                    self._texts.ranges(state, ((first, last),), state_of(reached))
            if accepts and number in node.dfa.accepting and count >= node.min:
                self.network.go(state, task.after)

        self.network.numbers[task.entry] = 0
        write((0, 0), accepts=not task.nonempty, into=task.entry)

    def _write_members(self, node: Members, task: _Task) -> None:
        network = self.network
        dead = blocked(node, {i for i, m in enumerate(node.members) if not self._may_come(m)})
        places = [i for i in range(len(node.members)) if i not in dead]
        possible = [node.members[i] for i in places]
        index = len(network.scopes)
        separated = network.new_state()
        network.moves[separated].append((NEXT_MEMBER, index, 0))

        def write_separator() -> None:
            self._write_all(_Task(node.separator, separator, separated, False))

        separator = network.later(write_separator)
        keys = network.new_state() if possible else None
        extra: int | None = None
        if node.extra is not None and self._has_text(node.extra):
            extra = network.new_state()
            entry = self._fragment(node.extra, nonempty=True)
            network.moves[extra].append((TAKE_EXTRA, entry, 0))
        bag = Bag(
            after=task.after,
            separator=separator,
            keys=keys,
            extra=extra,
            count=len(possible),
            required=sum(1 << i for i, member in enumerate(possible) if member.required),
            min=max(node.min, int(task.nonempty)),
            max=node.max,
            ordered=node.ordered,
        )
        network.enter(task.entry, with_needs(bag, renumbered(node.needs, places)))
        if keys is not None:
            entries: list[tuple[bytes, int]] = []
            for i, member in enumerate(possible):
                taken = network.new_state()
                rest = self._fragment(member.rest, nonempty=False)
                network.moves[taken].append((TAKE, i, rest))
                entries.append((encode(member.key), taken))
            network.unwritten[keys] = partial(self._texts.keys, keys, entries)

    def _may_come(self, member: Member) -> bool:
        is_spelled = can_spell(member.key, self._alphabet)
        return is_spelled and self._survey.node(member.rest).productive


def _size(node: Node) -> int:
    """About how many states a node takes; a call and a terminal are one."""
    match node:
        case Literal(text):
            return len(text)
        case Repeat(item, low, high):
            return max(low, high or 1) * _size(item)
        case Dfa() | Measured(dfa=Dfa()):
            return len((node if isinstance(node, Dfa) else node.dfa).edges)
        case Terminal() | CharClass() | Ref() | Substring() | ControlToken():
            return 1
        case _:
            return sum(map(_size, children(node)))

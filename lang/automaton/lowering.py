"""Lowering: the grammar IR as a network.

Three properties are built in here so that running the network needs no care for them:

- no path leads to a dead end: what can produce no text (`NEVER`, endless recursion) is left out;
- every loop body consumes a byte: bodies are built in their "non-empty" form, so `(a*)*` has no
  cycle of empty moves, and one iteration of a counter is at least one byte;
- a call in tail position leaves no frame, so right recursion runs in constant stack.

A rule, the members of an object and the states of a `Dfa` are written when the automaton first
comes there. Nothing here recurses in Python: IR of any depth is lowered with an explicit stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from ..errors import GrammarError
from ..ir.controls import bound
from ..ir.dfa import Dfa
from ..ir.graph import ALL_BYTES, IrGraph, encode
from ..ir.measured import Measured
from ..ir.nodes import (
    Alt,
    CharClass,
    ControlToken,
    Element,
    Literal,
    Members,
    Ref,
    Repeat,
    Rules,
    Seq,
    Substring,
    Terminal,
    Unique,
)
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
    """Write node `node` from `entry` to `after`; `nonempty`: without its empty text."""

    node: int
    entry: int
    after: int
    nonempty: bool


class _Lowering:
    """One run of `lower`: writes the states of every node that can match something."""

    def __init__(
        self, rules: Rules, alphabet: frozenset[int], controls: Mapping[int, str] | None
    ) -> None:
        self.network = Network()
        self._alphabet = alphabet
        self._controls = controls
        self._graph = IrGraph(rules, alphabet)
        has_controls = any(isinstance(node, ControlToken) for node in self._graph.nodes)
        if has_controls and controls is not None:
            self._graph = IrGraph(bound(rules, controls), alphabet)
        if not self._graph.productive(self._graph.roots[rules.root]):
            raise GrammarError(
                f"no text satisfies this grammar: rule {rules.root!r} never ends or matches nothing"
            )
        self._rule_entries: dict[tuple[int, bool], int] = {}
        self._texts = TextWriter(self.network, self._graph)
        self.network.start = self._rule_entry(rules.root, nonempty=False)
        for node in self._graph.nodes:
            if isinstance(node, Repeat):
                count = max(node.min, node.max or 0)
                self.network.largest_count = max(self.network.largest_count, count)
            elif isinstance(node, Unique):
                self.network.has_distinct = True

    def _rule_entry(self, name: str, *, nonempty: bool) -> int:
        """The first state of a rule."""
        root = self._graph.roots[name]
        key = (root, nonempty and self._graph.nullable[root])
        if key not in self._rule_entries:
            self._rule_entries[key] = self._fragment(root, nonempty=key[1])
        return self._rule_entries[key]

    def _fragment(self, node: int, *, nonempty: bool) -> int:
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
        match self._graph.nodes[task.node]:
            case Literal(text):
                self._texts.text(encode(text), entry, after)
            case CharClass(ranges):
                self._texts.ranges(entry, ranges, after)
            case ControlToken(text):
                data = text.encode() if self._controls is None else control_bytes(text)
                self._texts.text(data, entry, after)
            case Seq():
                return self._write_sequence(task)
            case Alt():
                return [
                    _Task(option, entry, after, task.nonempty)
                    for option in self._graph.children[task.node]
                    if self._graph.has_text[option]
                    or (self._graph.nullable[option] and not task.nonempty)
                ]
            case Repeat():
                return self._write_repeat(task)
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
            case Unique():
                body = self._fragment(self._graph.children[task.node][0], nonempty=task.nonempty)
                self.network.enter(entry, Distinct(body, after))
            case Element():
                body = self._fragment(self._graph.children[task.node][0], nonempty=task.nonempty)
                self.network.enter(entry, Value(body, after))
        return []

    def _write_sequence(self, task: _Task) -> list[_Task]:
        # an empty item at the end would hide that the item before it is in tail position
        items = [
            child
            for child in self._graph.children[task.node]
            if self._graph.has_text[child] or not self._graph.nullable[child]
        ]
        if not items:
            self.network.go(task.entry, task.after)
            return []
        inner = [self.network.new_state() for _ in items[1:]]
        starts, ends = [task.entry, *inner], [*inner, task.after]
        if not task.nonempty or not all(self._graph.nullable[item] for item in items):
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

    def _write_repeat(self, task: _Task) -> list[_Task]:
        network, entry, after = self.network, task.entry, task.after
        repeat = self._graph.nodes[task.node]
        assert isinstance(repeat, Repeat)
        body = self._graph.children[task.node][0]
        if not self._graph.has_text[body] or repeat.max == 0:
            self.network.go(entry, after)
            return []
        # bodies are non-empty, so an iteration that may be empty is one that may be left out
        low = 0 if self._graph.nullable[body] else repeat.min
        low, high = max(low, int(task.nonempty)), repeat.max
        if high is None and low <= 1:
            loop = network.new_state()
            end = network.new_state() if low else loop
            self.network.go(entry, loop)
            if low:
                self.network.go(end, loop)
            self.network.go(end, after)
            return [_Task(body, loop, end, True)]
        if high == 1 or self._graph.size[body] * (high or low) <= UNROLLED_STATES:
            return self._unroll(body, entry, after, low, high)
        self.network.enter(entry, Loop(self._fragment(body, nonempty=True), after, low, high))
        if low == 0:
            self.network.go(entry, after)
        return []

    def _unroll(self, body: int, entry: int, after: int, low: int, high: int | None) -> list[_Task]:
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
        live = self._graph.live(dfa)
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
        node = self._graph.spelled_measured(node)
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
        graph, network = self._graph, self.network
        numbers = graph.children[task.node]
        possible = [
            (member, rest)
            for member, rest in zip(node.members, numbers, strict=False)
            if graph.productive(rest) and self._alphabet.issuperset(encode(member.key))
        ]
        has_extra = node.extra is not None and graph.has_text[numbers[-1]]
        index = len(network.scopes)
        separated = network.new_state()
        network.moves[separated].append((NEXT_MEMBER, index, 0))

        def write_separator() -> None:
            self._write_all(_Task(numbers[len(node.members)], separator, separated, False))

        separator = network.later(write_separator)
        keys = network.new_state() if possible else None
        extra: int | None = None
        if has_extra:
            extra = network.new_state()
            entry = self._fragment(numbers[-1], nonempty=True)
            network.moves[extra].append((TAKE_EXTRA, entry, 0))
        bag = Bag(
            after=task.after,
            separator=separator,
            keys=keys,
            extra=extra,
            count=len(possible),
            required=sum(1 << i for i, (member, _) in enumerate(possible) if member.required),
            min=max(node.min, int(task.nonempty)),
            max=node.max,
            ordered=node.ordered,
        )
        network.enter(task.entry, bag)
        if keys is not None:
            entries: list[tuple[bytes, int]] = []
            for i, (member, rest) in enumerate(possible):
                taken = network.new_state()
                network.moves[taken].append((TAKE, i, self._fragment(rest, nonempty=False)))
                entries.append((encode(member.key), taken))
            network.unwritten[keys] = partial(self._texts.keys, keys, entries)

"""Lowering: the grammar IR as a network of states over bytes, ready for `automaton.py` to run.

A recursive transition network (Woods, 1970): each rule is a sub-network that ends in `RETURN`; a
`Ref` is a call that leaves a return state on a stack. What counts or remembers is a *scope*: its
stack frame holds the iterations of a repetition, the members an object has, the values a list has,
so a bound of 32,767 is one state and an object of a hundred keys is one scope. Three properties are
built in here so that running the network needs no care for them:

- no path leads to a dead end: what can produce no text (`NEVER`, endless recursion) is left out;
- every loop body consumes a byte: bodies are built in their "non-empty" form, so `(a*)*` has no
  cycle of empty moves, and one iteration of a counter is at least one byte;
- a call in tail position leaves no frame, so right recursion runs in constant stack.

A rule, the members of an object and the states of a `Dfa` are written when the automaton first
comes there, so a large schema costs no more than the part of it that is used. Nothing here recurses
in Python: IR of any depth is lowered with an explicit stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import NamedTuple, TypeAlias

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
from ..regular.utf8 import ByteRange, byte_sequences
from .scopes import Bag, Distinct, Loop, Scope, Value
from .terminal_state import TerminalState
from .terminals import start_of

RETURN = 0
"""The state that ends every rule and every scope's body: it pops a frame, or accepts."""

WRITTEN_BYTES = 128
"""Bytes of a text that are written at once."""

UNROLLED_STATES = 8
"""A bounded repetition of at most this many states is written out instead of counted."""


GO, CALL, TERMINAL, ENTER, NEXT_MEMBER, TAKE, TAKE_EXTRA = range(7)
"""What a move that consumes nothing does, and its two operands:

GO: target state, 0. CALL: entry of the callee, state to return to. TERMINAL: start state of the
terminal, state to return to. ENTER: index of the scope, 0. NEXT_MEMBER: index of the Bag, 0. TAKE:
number of the declared member, entry of what follows its key. TAKE_EXTRA: entry of the extra
member, 0. Plain numbers, because the automaton compares them more often than anything else.
"""

Move: TypeAlias = "tuple[int, int | TerminalState, int]"


class Run(NamedTuple):
    """The rest of a literal: from a state on, nothing but `data[at:]` follows, then `after`."""

    data: bytes
    at: int
    after: int


class Network:
    """States `0..n-1`, each with its moves. `start` is where the root rule begins.

    Attributes:
        edges: per state, moves that consume a byte in `first..last`: (first, last, target).
        moves: per state, moves that consume nothing.
        scopes: what the frames of repetitions, objects and lists of distinct values refer to.
        guards: states inside the declared keys of an object -> the members, as bits, whose keys
            lead through there. A state is a dead end if the object can take none of them.
        runs: states inside a literal.
        numbers: states of the automaton of a `Measured` -> their numbers there.
        unwritten: states whose moves are not written yet; `write` does it.
        largest_count: the largest bound of a repetition outside terminals.
        has_distinct: whether values must differ somewhere.
    """

    def __init__(self) -> None:
        self.edges: list[list[tuple[int, int, int]]] = [[]]
        self.moves: list[list[Move]] = [[]]
        self.scopes: list[Scope] = []
        self.guards: dict[int, int] = {}
        self.runs: dict[int, Run] = {}
        self.numbers: dict[int, int] = {}
        self.unwritten: dict[int, Callable[[], None]] = {}
        self.start = RETURN
        self.largest_count = 0
        self.has_distinct = False
        self._lock = Lock()

    def new_state(self) -> int:
        self.edges.append([])
        self.moves.append([])
        return len(self.edges) - 1

    def write(self, state: int) -> None:
        """Writes the moves of a state in `unwritten`. Safe to call from several threads."""
        with self._lock:
            writer = self.unwritten.get(state)
            if writer is not None:
                writer()
                del self.unwritten[state]


CONTROL_MARK = b"\xff"
"""Begins and ends a control token as bytes; no byte of UTF-8."""


def control_bytes(text: str) -> bytes:
    """A control token as a piece that no text spells."""
    return CONTROL_MARK + text.encode() + CONTROL_MARK


def lower(
    rules: Rules,
    alphabet: frozenset[int] = ALL_BYTES,
    controls: Mapping[int, str] | None = None,
) -> Network:
    """The network of `rules`, without the texts that hold a byte outside `alphabet`.

    `controls`: a model's control tokens, id -> text, which then stand for themselves
    (`control_bytes`);
    None: they stand for their texts.

    Raises GrammarError for a `Ref` to a rule that does not exist, for a control token that the
    model does not have, and for a grammar that no text at all can satisfy.
    """
    return _Lowering(rules, alphabet, controls).network


def any_bytes() -> Network:
    """The network that every byte sequence satisfies."""
    network = Network()
    network.start = network.new_state()
    network.edges[network.start].append((0, 255, network.start))
    network.moves[network.start].append((GO, RETURN, 0))
    return network


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
        self._suffixes: dict[tuple[int, tuple[ByteRange, ...]], int] = {}
        self.network.start = self._rule_entry(rules.root, nonempty=False)
        for node in self._graph.nodes:
            if isinstance(node, Repeat):
                count = max(node.min, node.max or 0)
                self.network.largest_count = max(self.network.largest_count, count)
            elif isinstance(node, Unique):
                self.network.has_distinct = True

    def _later(self, write: Callable[[], None]) -> int:
        """A new state, written by `write` when it is first needed."""
        state = self.network.new_state()
        self.network.unwritten[state] = write
        return state

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

        state = self._later(write)
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
                self._write_text(encode(text), entry, after)
            case CharClass(ranges):
                self._add_ranges(entry, ranges, after)
            case ControlToken(text):
                data = text.encode() if self._controls is None else control_bytes(text)
                self._write_text(data, entry, after)
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
                self._enter(entry, Distinct(body, after))
            case Element():
                body = self._fragment(self._graph.children[task.node][0], nonempty=task.nonempty)
                self._enter(entry, Value(body, after))
        return []

    def _enter(self, entry: int, scope: Scope) -> None:
        self.network.moves[entry].append((ENTER, len(self.network.scopes), 0))
        self.network.scopes.append(scope)

    def _go(self, state: int, target: int) -> None:
        self.network.moves[state].append((GO, target, 0))

    def _write_text(self, data: bytes, entry: int, after: int, begin: int = 0) -> None:
        """Writes `data[begin:]`; all but the first part of a long text later."""
        network = self.network
        if begin == len(data):
            self._go(entry, after)
            return
        if len(data) - begin > WRITTEN_BYTES:
            stop = begin + WRITTEN_BYTES
            rest = network.new_state()
            network.unwritten[rest] = partial(self._write_text, data, rest, after, stop)
            data, after, begin = data[begin:stop], rest, 0
        for at in range(begin + 1, len(data)):
            target = network.new_state()
            network.edges[entry].append((data[at - 1], data[at - 1], target))
            network.runs[target] = Run(data, at, after)
            entry = target
        network.edges[entry].append((data[-1], data[-1], after))

    def _add_ranges(self, entry: int, ranges: tuple[tuple[int, int], ...], after: int) -> None:
        for first, last in ranges:
            for sequence in byte_sequences(first, last):
                if all(self._graph.spelled(r) for r in sequence):
                    self._add_edges(entry, sequence[0], self._suffix(sequence[1:], after))

    def _suffix(self, ranges: tuple[ByteRange, ...], after: int) -> int:
        """The state from which exactly `ranges` lead to `after`; equal ones are shared."""
        if not ranges:
            return after
        key = (after, ranges)
        if key not in self._suffixes:
            # depth is at most three: a character has four bytes
            state = self.network.new_state()
            self._suffixes[key] = state
            self._add_edges(state, ranges[0], self._suffix(ranges[1:], after))
        return self._suffixes[key]

    def _add_edges(self, state: int, byte_range: ByteRange, target: int) -> None:
        self.network.edges[state] += [(*part, target) for part in self._graph.spelled(byte_range)]

    def _write_sequence(self, task: _Task) -> list[_Task]:
        # an empty item at the end would hide that the item before it is in tail position
        items = [
            child
            for child in self._graph.children[task.node]
            if self._graph.has_text[child] or not self._graph.nullable[child]
        ]
        if not items:
            self._go(task.entry, task.after)
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
            self._go(entry, after)
            return []
        # bodies are non-empty, so an iteration that may be empty is one that may be left out
        low = 0 if self._graph.nullable[body] else repeat.min
        low, high = max(low, int(task.nonempty)), repeat.max
        if high is None and low <= 1:
            loop = network.new_state()
            end = network.new_state() if low else loop
            self._go(entry, loop)
            if low:
                self._go(end, loop)
            self._go(end, after)
            return [_Task(body, loop, end, True)]
        if high == 1 or self._graph.size[body] * (high or low) <= UNROLLED_STATES:
            return self._unroll(body, entry, after, low, high)
        self._enter(entry, Loop(self._fragment(body, nonempty=True), after, low, high))
        if low == 0:
            self._go(entry, after)
        return []

    def _unroll(self, body: int, entry: int, after: int, low: int, high: int | None) -> list[_Task]:
        """Writes a small bounded repetition as copies of its body."""
        tasks: list[_Task] = []
        copies = low if high is None else high
        for done in range(copies):
            if done >= low:
                self._go(entry, after)
            last = done == copies - 1
            end = after if last and high is not None else self.network.new_state()
            tasks.append(_Task(body, entry, end, True))
            entry = end
        if high is None:
            self._go(entry, after)
            tasks.append(_Task(body, entry, entry, True))
        return tasks

    def _write_dfa(self, dfa: Dfa, task: _Task) -> None:
        live = self._graph.live(dfa)
        states: dict[int, int] = {}

        def state_of(number: int) -> int:
            if number not in states:
                states[number] = self._later(partial(write, number, accepts=True))
            return states[number]

        def write(number: int, accepts: bool, into: int | None = None) -> None:
            state = states[number] if into is None else into
            for first, last, to in dfa.edges[number]:
                if to in live:
                    self._add_ranges(state, ((first, last),), state_of(to))
            if accepts and number in dfa.accepting:
                self._go(state, task.after)

        write(0, accepts=not task.nonempty, into=task.entry)

    def _write_measured(self, node: Measured, task: _Task) -> None:
        """States and counts in pairs, of those that a text comes to."""
        node = self._graph.spelled_measured(node)
        remainders = node.remainders()
        states: dict[tuple[int, int], int] = {}

        def state_of(place: tuple[int, int]) -> int:
            if place not in states:
                states[place] = self._later(partial(write, place, accepts=True))
                self.network.numbers[states[place]] = place[0]
            return states[place]

        def write(place: tuple[int, int], accepts: bool, into: int | None = None) -> None:
            state = states[place] if into is None else into
            number, count = place
            for first, last, to in node.dfa.edges[number]:
                reached = (to, node.counted(count, to))
                if node.fits(remainders, *reached):
                    self._add_ranges(state, ((first, last),), state_of(reached))
            if accepts and number in node.dfa.accepting and count >= node.min:
                self._go(state, task.after)

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

        separator = self._later(write_separator)
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
        self._enter(task.entry, bag)
        if keys is not None:
            entries: list[tuple[bytes, int]] = []
            for i, (member, rest) in enumerate(possible):
                taken = network.new_state()
                network.moves[taken].append((TAKE, i, self._fragment(rest, nonempty=False)))
                entries.append((encode(member.key), taken))
            network.unwritten[keys] = partial(self._write_keys, keys, entries)

    def _write_keys(self, root: int, entries: list[tuple[bytes, int]]) -> None:
        """The declared keys as a trie. A state where keys part guards what lies below it."""
        network = self.network
        order = sorted(range(len(entries)), key=lambda i: entries[i][0])
        pending = [(root, 0, order)]
        while pending:
            state, depth, group = pending.pop()
            begin = 0
            while begin < len(group):
                byte = entries[group[begin]][0][depth]
                end = begin + 1
                while end < len(group) and entries[group[end]][0][depth] == byte:
                    end += 1
                below = group[begin:end]
                begin = end
                first_key, taken = entries[below[0]]
                if len(below) == 1:
                    self._write_text(first_key[depth:], state, taken)
                    branch = network.edges[state][-1][2]
                else:
                    last_key = entries[below[-1]][0]
                    stop = depth + 1
                    while stop < len(first_key) and first_key[stop] == last_key[stop]:
                        stop += 1
                    branch_state = network.new_state()
                    self._write_text(first_key[depth:stop], state, branch_state)
                    branch = network.edges[state][-1][2]
                    pending.append((branch_state, stop, below))
                network.guards[branch] = sum(1 << i for i in below)

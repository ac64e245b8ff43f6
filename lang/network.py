"""Lowering: the grammar IR as a network of states over bytes, ready for `automaton.py` to run.

A recursive transition network (Woods, 1970): each rule is a sub-network that ends in `RETURN`; a
`Ref` is a call that leaves a return state on a stack, and a `Repeat` with large bounds is a call
whose stack frame counts, so a bound of 32,767 is one state. Three properties are built in here so
that running the network needs no care for them:

- no path leads to a dead end: what can produce no text (`NEVER`, endless recursion) is left out;
- every loop body consumes a byte: bodies are built in their "non-empty" form, so `(a*)*` has no
  cycle of empty moves, and one iteration of a counter is at least one byte;
- a call in tail position leaves no frame, so right recursion runs in constant stack.

Nothing here recurses in Python: IR of any depth is lowered with an explicit stack.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .errors import GrammarError
from .ir import Alt, CharClass, Literal, Ref, Repeat, Rules, Seq
from .ir_graph import ALL_BYTES, IrGraph, encode
from .utf8 import ByteRange, byte_sequences

RETURN = 0
"""The state that ends every rule and every counted body: it pops a frame, or accepts."""

UNROLLED_STATES = 8
"""A bounded repetition of at most this many states is written out instead of counted."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A counted repetition: `body`, which ends in RETURN, `min` to `max` times; then `after`."""

    body: int
    after: int
    min: int
    max: int | None


@dataclass(slots=True)
class Network:
    """States `0..n-1`, each with its moves. `start` is where the root rule begins.

    Attributes:
        edges: per state, moves that consume a byte in `first..last`: (first, last, target).
        epsilon: per state, moves that consume nothing.
        calls: per state, (entry of the callee, state to return to).
        entered: per state, indices into `loops` of the counted repetitions that begin there.
    """

    edges: list[list[tuple[int, int, int]]] = field(default_factory=lambda: [[]])
    epsilon: list[list[int]] = field(default_factory=lambda: [[]])
    calls: list[list[tuple[int, int]]] = field(default_factory=lambda: [[]])
    entered: list[list[int]] = field(default_factory=lambda: [[]])
    loops: list[Loop] = field(default_factory=list)
    start: int = RETURN

    def new_state(self) -> int:
        self.edges.append([])
        self.epsilon.append([])
        self.calls.append([])
        self.entered.append([])
        return len(self.edges) - 1


def lower(rules: Rules, alphabet: frozenset[int] = ALL_BYTES) -> Network:
    """The network of `rules`, without the texts that hold a byte outside `alphabet`.

    Raises GrammarError for a `Ref` to a rule that does not exist, and for a grammar that no text
    at all can satisfy.
    """
    return _Lowering(rules, alphabet).network


def any_bytes() -> Network:
    """The network that every byte sequence satisfies."""
    network = Network()
    network.start = network.new_state()
    network.edges[network.start].append((0, 255, network.start))
    network.epsilon[network.start].append(RETURN)
    return network


@dataclass(frozen=True, slots=True)
class _Task:
    """Write node `node` from `entry` to `after`; `nonempty`: without its empty text."""

    node: int
    entry: int
    after: int
    nonempty: bool


class _Lowering:
    """One run of `lower`: writes the states of every node that can match something."""

    def __init__(self, rules: Rules, alphabet: frozenset[int]) -> None:
        self.network = Network()
        self._graph = IrGraph(rules, alphabet)
        if not self._graph.productive(self._graph.roots[rules.root]):
            raise GrammarError(
                f"no text satisfies this grammar: rule {rules.root!r} never ends or matches nothing"
            )
        self._rule_entries: dict[tuple[int, bool], int] = {}
        self._suffixes: dict[tuple[int, tuple[ByteRange, ...]], int] = {}
        self._tasks: list[_Task] = []
        self.network.start = self._rule_entry(rules.root, nonempty=False)
        while self._tasks:
            self._write(self._tasks.pop())

    def _rule_entry(self, name: str, *, nonempty: bool) -> int:
        """The first state of a rule, scheduling the rule to be written if it is new."""
        root = self._graph.roots[name]
        key = (root, nonempty and self._graph.nullable[root])
        if key not in self._rule_entries:
            self._rule_entries[key] = self.network.new_state()
            self._tasks.append(_Task(root, self._rule_entries[key], RETURN, key[1]))
        return self._rule_entries[key]

    def _write(self, task: _Task) -> None:
        """Adds the moves of one node. `entry` only gains moves, so siblings may share it."""
        network, entry, after = self.network, task.entry, task.after
        match self._graph.nodes[task.node]:
            case Literal(text):
                self._write_text(text, entry, after)
            case CharClass(ranges):
                for first, last in ranges:
                    for sequence in byte_sequences(first, last):
                        if all(self._graph.spelled(r) for r in sequence):
                            target = self._suffix(sequence[1:], after)
                            self._add_edges(entry, sequence[0], target)
            case Seq():
                self._write_sequence(task)
            case Alt():
                for option in self._graph.children[task.node]:
                    if self._graph.has_text[option] or (
                        self._graph.nullable[option] and not task.nonempty
                    ):
                        self._tasks.append(_Task(option, entry, after, task.nonempty))
            case Repeat():
                self._write_repeat(task)
            case Ref(name):
                callee = self._rule_entry(name, nonempty=task.nonempty)
                if after == RETURN:
                    network.epsilon[entry].append(callee)
                else:
                    network.calls[entry].append((callee, after))

    def _write_text(self, text: str, entry: int, after: int) -> None:
        data = encode(text)
        if not data:
            self.network.epsilon[entry].append(after)
            return
        for byte in data[:-1]:
            target = self.network.new_state()
            self.network.edges[entry].append((byte, byte, target))
            entry = target
        self.network.edges[entry].append((data[-1], data[-1], after))

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

    def _write_sequence(self, task: _Task) -> None:
        # an empty item at the end would hide that the item before it is in tail position
        items = [
            child
            for child in self._graph.children[task.node]
            if self._graph.has_text[child] or not self._graph.nullable[child]
        ]
        if not items:
            self.network.epsilon[task.entry].append(task.after)
            return
        inner = [self.network.new_state() for _ in items[1:]]
        starts, ends = [task.entry, *inner], [*inner, task.after]
        if not task.nonempty or not all(self._graph.nullable[item] for item in items):
            self._tasks += [
                _Task(item, start, end, False)
                for item, start, end in zip(items, starts, ends, strict=True)
            ]
            return
        # all may be empty and one must not: the first non-empty one is any of them
        for item, start, end in zip(items, starts, ends, strict=True):
            self._tasks.append(_Task(item, task.entry, end, True))
            if start != task.entry:
                self._tasks.append(_Task(item, start, end, False))

    def _write_repeat(self, task: _Task) -> None:
        network, entry, after = self.network, task.entry, task.after
        repeat = self._graph.nodes[task.node]
        assert isinstance(repeat, Repeat)
        body = self._graph.children[task.node][0]
        if not self._graph.has_text[body] or repeat.max == 0:
            network.epsilon[entry].append(after)
            return
        # bodies are non-empty, so an iteration that may be empty is one that may be left out
        low = 0 if self._graph.nullable[body] else repeat.min
        low, high = max(low, int(task.nonempty)), repeat.max
        if high is None and low <= 1:
            loop = network.new_state()
            end = network.new_state() if low else loop
            network.epsilon[entry].append(loop)
            self._tasks.append(_Task(body, loop, end, True))
            if low:
                network.epsilon[end].append(loop)
            network.epsilon[end].append(after)
        elif high == 1 or self._graph.size[body] * (high or low) <= UNROLLED_STATES:
            self._unroll(body, entry, after, low, high)
        else:
            start = network.new_state()
            network.entered[entry].append(len(network.loops))
            network.loops.append(Loop(start, after, low, high))
            self._tasks.append(_Task(body, start, RETURN, True))
            if low == 0:
                network.epsilon[entry].append(after)

    def _unroll(self, body: int, entry: int, after: int, low: int, high: int | None) -> None:
        """Writes a small bounded repetition as copies of its body."""
        copies = low if high is None else high
        for done in range(copies):
            if done >= low:
                self.network.epsilon[entry].append(after)
            last = done == copies - 1
            end = after if last and high is not None else self.network.new_state()
            self._tasks.append(_Task(body, entry, end, True))
            entry = end
        if high is None:
            self.network.epsilon[entry].append(after)
            self._tasks.append(_Task(body, entry, entry, True))

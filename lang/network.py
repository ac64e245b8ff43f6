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
from .ir import Alt, CharClass, Literal, Node, Ref, Repeat, Rules, Seq
from .utf8 import ByteRange, byte_sequences

RETURN = 0
"""The state that ends every rule and every counted body: it pops a frame, or accepts."""

ALL_BYTES = frozenset(range(256))

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
    """One run of `lower`: numbers the nodes, finds which have which text, writes the states."""

    def __init__(self, rules: Rules, alphabet: frozenset[int]) -> None:
        self.network = Network()
        self._alphabet = alphabet
        self._nodes: list[Node] = []
        self._children: list[tuple[int, ...]] = []
        self._roots: dict[str, int] = {}
        self._number_nodes(rules)
        count = len(self._nodes)
        self._nullable = [False] * count
        self._has_text = [False] * count
        self._size = [1] * count
        self._analyse()
        root = self._roots[rules.root]
        if not (self._nullable[root] or self._has_text[root]):
            raise GrammarError(
                f"no text satisfies this grammar: rule {rules.root!r} never ends or matches nothing"
            )
        self._rule_entries: dict[tuple[int, bool], int] = {}
        self._suffixes: dict[tuple[int, tuple[ByteRange, ...]], int] = {}
        self._tasks: list[_Task] = []
        self.network.start = self._rule_entry(rules.root, nonempty=False)
        while self._tasks:
            self._write(self._tasks.pop())

    def _number_nodes(self, rules: Rules) -> None:
        """Numbers the nodes that the root reaches; children come after their parents."""
        names = [rules.root]
        while names:
            name = names.pop()
            if name in self._roots:
                continue
            if name not in rules.rules:
                raise GrammarError(f"rule {name!r} is used and not defined")
            self._roots[name] = len(self._nodes)
            self._nodes.append(rules.rules[name])
            self._children.append(())
            pending = [self._roots[name]]
            while pending:
                parent = pending.pop()
                match self._nodes[parent]:
                    case Seq(items) | Alt(items):
                        inner = items
                    case Repeat(item, _, _):
                        inner = (item,)
                    case Ref(target):
                        names.append(target)
                        continue
                    case _:
                        continue
                first = len(self._nodes)
                self._nodes += inner
                self._children += [()] * len(inner)
                self._children[parent] = tuple(range(first, first + len(inner)))
                pending += self._children[parent]

    def _analyse(self) -> None:
        """Fills `_nullable` (matches the empty text), `_has_text` (matches another) and `_size`.

        A least fixed point: rules refer to each other in any order.
        """
        changed = True
        while changed:
            changed = False
            for i in reversed(range(len(self._nodes))):
                nullable, has_text = self._evaluate(i)
                if (nullable, has_text) != (self._nullable[i], self._has_text[i]):
                    self._nullable[i], self._has_text[i] = nullable, has_text
                    changed = True
        for i in reversed(range(len(self._nodes))):
            match self._nodes[i]:
                case Literal(text):
                    self._size[i] = len(text)
                case Repeat(_, low, high):
                    self._size[i] = max(low, high or 1) * self._size[self._children[i][0]]
                case Seq() | Alt():
                    self._size[i] = sum(self._size[child] for child in self._children[i])

    def _evaluate(self, i: int) -> tuple[bool, bool]:
        nullable, has_text, children = self._nullable, self._has_text, self._children[i]
        match self._nodes[i]:
            case Literal(text):
                return not text, bool(text) and self._alphabet.issuperset(_encode(text))
            case CharClass(ranges):
                return False, any(
                    all(self._spelled(r) for r in sequence)
                    for first, last in ranges
                    for sequence in byte_sequences(first, last)
                )
            case Seq():
                productive = all(nullable[c] or has_text[c] for c in children)
                return (
                    all(nullable[c] for c in children),
                    productive and any(has_text[c] for c in children),
                )
            case Alt():
                return any(nullable[c] for c in children), any(has_text[c] for c in children)
            case Repeat(_, low, high):
                return low == 0 or nullable[children[0]], high != 0 and has_text[children[0]]
            case Ref(name):
                root = self._roots[name]
                return nullable[root], has_text[root]

    def _rule_entry(self, name: str, *, nonempty: bool) -> int:
        """The first state of a rule, scheduling the rule to be written if it is new."""
        root = self._roots[name]
        key = (root, nonempty and self._nullable[root])
        if key not in self._rule_entries:
            self._rule_entries[key] = self.network.new_state()
            self._tasks.append(_Task(root, self._rule_entries[key], RETURN, key[1]))
        return self._rule_entries[key]

    def _write(self, task: _Task) -> None:
        """Adds the moves of one node. `entry` only gains moves, so siblings may share it."""
        network, entry, after = self.network, task.entry, task.after
        match self._nodes[task.node]:
            case Literal(text):
                self._write_text(text, entry, after)
            case CharClass(ranges):
                for first, last in ranges:
                    for sequence in byte_sequences(first, last):
                        if all(self._spelled(r) for r in sequence):
                            target = self._suffix(sequence[1:], after)
                            self._add_edges(entry, sequence[0], target)
            case Seq():
                self._write_sequence(task)
            case Alt():
                for option in self._children[task.node]:
                    if self._has_text[option] or (self._nullable[option] and not task.nonempty):
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
        data = _encode(text)
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

    def _spelled(self, byte_range: ByteRange) -> list[ByteRange]:
        """The parts of a byte range that the alphabet has."""
        first, last = byte_range
        if len(self._alphabet) == 256:
            return [byte_range]
        parts: list[ByteRange] = []
        for byte in range(first, last + 1):
            if byte in self._alphabet:
                if parts and parts[-1][1] == byte - 1:
                    parts[-1] = (parts[-1][0], byte)
                else:
                    parts.append((byte, byte))
        return parts

    def _add_edges(self, state: int, byte_range: ByteRange, target: int) -> None:
        self.network.edges[state] += [(*part, target) for part in self._spelled(byte_range)]

    def _write_sequence(self, task: _Task) -> None:
        # an empty item at the end would hide that the item before it is in tail position
        items = [
            child
            for child in self._children[task.node]
            if self._has_text[child] or not self._nullable[child]
        ]
        if not items:
            self.network.epsilon[task.entry].append(task.after)
            return
        inner = [self.network.new_state() for _ in items[1:]]
        starts, ends = [task.entry, *inner], [*inner, task.after]
        if not task.nonempty or not all(self._nullable[item] for item in items):
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
        repeat = self._nodes[task.node]
        assert isinstance(repeat, Repeat)
        body = self._children[task.node][0]
        if not self._has_text[body] or repeat.max == 0:
            network.epsilon[entry].append(after)
            return
        # bodies are non-empty, so an iteration that may be empty is one that may be left out
        low = 0 if self._nullable[body] else repeat.min
        low, high = max(low, int(task.nonempty)), repeat.max
        if high is None and low <= 1:
            loop = network.new_state()
            end = network.new_state() if low else loop
            network.epsilon[entry].append(loop)
            self._tasks.append(_Task(body, loop, end, True))
            if low:
                network.epsilon[end].append(loop)
            network.epsilon[end].append(after)
        elif high == 1 or self._size[body] * (high or low) <= UNROLLED_STATES:
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


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise GrammarError(
            f"literal {text!r} holds a surrogate, which UTF-8 cannot encode"
        ) from error

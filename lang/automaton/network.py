"""A grammar as a network of states over bytes, ready for `automaton.py` to run.

A recursive transition network (Woods, 1970): each rule is a sub-network that ends in `RETURN`; a
`Ref` is a call that leaves a return state on a stack. What counts or remembers is a *scope*: its
stack frame holds the iterations of a repetition, the members an object has, the values a list has,
so a bound of 32,767 is one state and an object of a hundred keys is one scope.

States are written when the automaton first comes there (`lowering.py`), so a large schema costs no
more than the part of it that is used.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import NamedTuple, TypeAlias

from .scopes import Scope
from .terminal_state import TerminalState

RETURN = 0
"""The state that ends every rule and every scope's body: it pops a frame, or accepts."""

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

    def later(self, write: Callable[[], None]) -> int:
        """A new state, written by `write` when it is first needed."""
        state = self.new_state()
        self.unwritten[state] = write
        return state

    def go(self, state: int, target: int) -> None:
        """A move that consumes nothing."""
        self.moves[state].append((GO, target, 0))

    def enter(self, state: int, scope: Scope) -> None:
        """A move into a new scope."""
        self.moves[state].append((ENTER, len(self.scopes), 0))
        self.scopes.append(scope)

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


def any_bytes() -> Network:
    """The network that every byte sequence satisfies."""
    network = Network()
    network.start = network.new_state()
    network.edges[network.start].append((0, 255, network.start))
    network.go(network.start, RETURN)
    return network

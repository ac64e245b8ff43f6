"""Counted terminals: strings with `minLength` and `maxLength`, at no cost that grows with them."""

from __future__ import annotations

from ..ir.nodes import Literal, Node, Repeat, Seq
from .regular_terminal import RegularMachine, RegularState, regular_machine
from .terminal_state import TerminalState

_KEPT_COUNTS = 4096
_MAX_ITEM_STATES = 64


class CountedState(TerminalState):
    """`count` whole items of a bounded repetition are there; `base` runs it without bounds."""

    __slots__ = ("base", "count", "machine")

    def __init__(self, machine: CountedMachine, base: RegularState, count: int) -> None:
        super().__init__(base.accepting, base.is_final)
        self.machine = machine
        self.base = base
        self.count = count

    def is_endless(self) -> bool:
        return self.machine.high is None and self.base.is_endless()

    def settled(self, horizon: int) -> CountedState:
        """A state that goes on like this one for `horizon` bytes: far bounds are alike."""
        machine, count = self.machine, self.count
        if machine.high is None or machine.high - count > horizon:
            if count >= machine.low:
                count = machine.low
            elif machine.low - count > horizon:
                count = 0
            if machine.high is None or machine.high - count > horizon:
                return machine.state(self.base, count)
        return self

    def step(self, byte: int) -> TerminalState | None:
        # no memo: a chain of counts would hold all of them in memory
        machine, at_boundary = self.machine, self.base is self.machine.boundary
        if at_boundary and not machine.may_go_on(self.count, byte):
            return None
        base = self.base.step(byte)
        if base is None:
            return None
        assert isinstance(base, RegularState)
        is_item = base is machine.boundary and self.base not in machine.opening
        return machine.state(base, self.count + is_item)

    def _next_bytes(self) -> bytes:
        legal = self.base.next_bytes()
        if self.base is not self.machine.boundary:
            return legal
        return bytes(byte for byte in legal if self.machine.may_go_on(self.count, byte))


class CountedMachine:
    """`open item{low,high} close`, run as the unbounded repetition and a number.

    Items are told apart by the state between two of them, the `boundary`: no item begins another
    one or like `close`. So a bound of any size costs nothing, and which tokens fit follows from the
    unbounded repetition and the number of items in each token.

    Attributes:
        base: the unbounded repetition.
        boundary: its state between items.
        opening, closing: its states inside `open`, and from the first byte of `close` on.
    """

    def __init__(self, base: RegularMachine, opening: list[RegularState], repeat: Repeat) -> None:
        self.base = base
        self.opening = frozenset(opening[:-1])
        self.boundary = opening[-1]
        self.low = repeat.min
        self.high = repeat.max
        self.closing: frozenset[RegularState] = frozenset()
        self._start = opening[0]
        self._close = -1
        self._states: dict[tuple[RegularState, int], CountedState] = {}

    @classmethod
    def of(cls, node: Node, alphabet: frozenset[int]) -> CountedMachine | None:
        """The machine of such a node; None for any other."""
        match node:
            case Seq((Literal(before), Repeat(item, low, high) as repeat, Literal(behind))):
                if not before or not behind or (low <= 1 and high is None):
                    return None
            case _:
                return None
        unbounded = Seq((Literal(before), Repeat(item, 0, None), Literal(behind)))
        base = regular_machine(unbounded, alphabet)
        opening = [base.start(nonempty=False)]
        for byte in before.encode():
            state = opening[-1].step(byte)
            assert isinstance(state, RegularState)
            opening.append(state)
        machine = cls(base, opening, repeat)
        closing = [opening[-1]]
        for byte in behind.encode():
            state = closing[-1].step(byte)
            assert isinstance(state, RegularState)
            closing.append(state)
        machine.closing = frozenset(closing[1:])
        machine._close = behind.encode()[0]
        return machine if machine._tells_items_apart() else None

    def start(self) -> CountedState:
        return self.state(self._start, 0)

    def may_go_on(self, count: int, byte: int) -> bool:
        """Whether `byte` may follow at the boundary after `count` items."""
        if byte == self._close:
            return count >= self.low
        return self.high is None or count < self.high

    def state(self, base: RegularState, count: int) -> CountedState:
        """The state of `base` after `count` items."""
        # without an upper bound nothing depends on how far the lower one is exceeded
        kept = min(count, self.low) if self.high is None else count
        key = (base, kept)
        state = self._states.get(key)
        if state is None:
            if len(self._states) >= _KEPT_COUNTS:
                self._states.clear()
            state = self._states.setdefault(key, CountedState(self, base, kept))
        return state

    def _tells_items_apart(self) -> bool:
        here = self.boundary.configuration.places
        seen = {self.boundary}
        pending = [self.boundary]
        while pending and len(seen) <= _MAX_ITEM_STATES:
            state = pending.pop()
            for byte in state.next_bytes():
                following = state.step(byte)
                assert isinstance(following, RegularState)
                if following in self.closing:
                    if byte != self._close or state is not self.boundary:
                        return False
                    continue
                if following is not self.boundary and following.configuration.places & here:
                    return False
                if following not in seen:
                    seen.add(following)
                    pending.append(following)
        return not pending

"""What a list of distinct values must still take before it can end: how many values of which kinds.

It is found by a walk through the grammar of the list on which a value is one step, whatever it may
be. Kinds of endlessly many values are left out, as they never run short; what is left is a small
matching problem (`value_search.all_differ`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from threading import Lock
from typing import TypeAlias

from .configuration import Place
from .frames import Frame, FrameTable, Held, Stack, holders, kept_in
from .kept_values import Kept
from .network import CALL, ENTER, GO, RETURN, TAKE, TAKE_EXTRA, TERMINAL, Network
from .scopes import Bag, Distinct, Loop, Value
from .stack_moves import StackMoves
from .terminal_state import TerminalState

Owed: TypeAlias = "frozenset[object]"
"""Values that must come: (kind, n), the nth of a kind: the state where such values begin."""

NOTHING: Owed = frozenset()

LOOK_AHEAD = 32
"""Values of a kind that a list is known to owe at most, and iterations that are looked at."""

MAX_WALKED = 1000
"""Places that are walked through before a list is taken for one that owes nothing."""

_KEPT = 20_000


class OwedValues:
    """Looks ahead in the lists of a network. `is_scarce`: whether values of a kind may run out."""

    def __init__(self, network: Network, is_scarce: Callable[[Value], bool]) -> None:
        self._network = network
        self._frames = FrameTable()
        self._moves = _Passing(network, self._frames, is_scarce)
        self._with_values: dict[int, bool] = {}
        self._known: dict[frozenset[Place], frozenset[Owed]] = {}
        self._lock = Lock()

    def may_owe(self, index: int) -> bool:
        """Whether there is a value after which the list of a scope cannot end yet."""
        with self._lock:
            scope = self._network.scopes[index]
            assert isinstance(scope, Distinct)
            bottom = self._frames.push(None, -1 - index, NOTHING)
            passed = self._moves.passed = set()
            self._walk(frozenset(((scope.body, bottom),)))
            self._moves.passed = None
            return any(NOTHING not in self._least(frozenset((place,))) for place in passed)

    def before_end(self, places: Iterable[Place], of_list: Kept) -> frozenset[Owed]:
        """What the list at the top of `of_list` may owe at one of `places`, each the least.

        The places are between two of its values, or after one. With any of what is returned the
        list can end: with NOTHING, if that is possible. Nothing at all: it can never end.
        """
        cut: set[Place] = set()
        for state, stack in places:
            known: dict[Stack, Stack] = {
                frame: self._frames.push(None, frame.after, NOTHING)
                for frame in holders(stack, of_list)
            }
            cut.add((state, self._frames.rebuilt(stack, known, self._moves.ahead)))
        with self._lock:
            return self._least(frozenset(cut))

    def _least(self, here: frozenset[Place]) -> frozenset[Owed]:
        found = self._known.get(here)
        if found is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
                self._frames.clear()
            found = self._known[here] = self._walk(here)
        return found

    def _walk(self, here: frozenset[Place]) -> frozenset[Owed]:
        """The least that is owed where the list can end; no way is followed once it owes more."""
        pending = deque(here)
        walked = set(here)
        least: frozenset[Owed] = frozenset()
        while pending and len(walked) <= MAX_WALKED:
            place = pending.popleft()
            if self._moves.passed is None and _owes_any_of(place, least):
                continue
            for after in self._after(place):
                if after not in walked:
                    walked.add(after)
                    pending.append(after)
            if self._moves.ends:
                ends = least | self._moves.ends
                self._moves.ends.clear()
                least = frozenset(end for end in ends if not any(other < end for other in ends))
        return frozenset((NOTHING,)) if pending else least

    def _after(self, place: Place) -> list[Place]:
        """The places after a byte, a terminal, a part without values, or nothing."""
        network, (state, stack) = self._network, place
        if isinstance(state, TerminalState):
            assert stack is not None, "a terminal returns somewhere"
            return [(stack.after, parent) for parent in stack.parents]
        if state in network.unwritten:
            network.write(state)
        if not self._moves.is_open(state, stack):
            return []
        found: list[Place] = [(target, stack) for _, _, target in network.edges[state]]
        for op, first, second in network.moves[state]:
            if op == TERMINAL:
                found.append((second, stack))
                continue
            assert isinstance(first, int)
            if op == GO:
                found.append((first, stack))
            elif op == CALL and self._has_values(first):
                found.append((first, self._frames.push(stack, second)))
            elif op == CALL:
                found.append((second, stack))
            elif op == ENTER:
                self._moves.enter(first, stack, found)
            else:
                assert stack is not None, "members stand inside their object"
                self._moves.move(op, first, second, stack, found)
        if state == RETURN:
            assert stack is not None, "the list is the lowest"
            if stack.after >= 0:
                found += [(stack.after, parent) for parent in stack.parents]
            else:
                self._moves.leave(stack, b"", found)
        return found

    def _has_values(self, entry: int) -> bool:
        """Whether there are values of the list in what begins at a state; it need not be left."""
        known = self._with_values.get(entry)
        if known is None:
            known = self._with_values[entry] = self._finds_value(entry)
        return known

    def _finds_value(self, entry: int) -> bool:
        network, pending, walked = self._network, [entry], {entry}
        while pending:
            state = pending.pop()
            if state in network.unwritten:
                network.write(state)
            ahead = [target for _, _, target in network.edges[state]]
            for op, first, second in network.moves[state]:
                if op in (GO, CALL, TAKE_EXTRA):
                    assert isinstance(first, int)
                    ahead.append(first)
                if op in (CALL, TERMINAL, TAKE):
                    ahead.append(second)
                if op == ENTER:
                    assert isinstance(first, int)
                    match network.scopes[first]:
                        case Value():
                            return True
                        case Distinct(_, after):
                            ahead.append(after)
                        case Loop(body, after):
                            ahead += [body, after]
                        case Bag(after, separator, keys, extra):
                            ahead += [s for s in (after, separator, keys, extra) if s is not None]
            fresh = [state for state in ahead if state not in walked]
            walked.update(fresh)
            pending += fresh
        return False


def _owes_any_of(place: Place, ends: frozenset[Owed]) -> bool:
    """Whether the list, the lowest of the stack, owes all of one of `ends` or more."""
    kept = kept_in(place[1])
    while kept is not None and kept.outer is not None:
        kept = kept.outer
    assert kept is not None, "the place is in the list"
    return any(end <= kept.seen for end in ends)


class _Passing(StackMoves):
    """Moves that pass values by. The list's frame, the lowest of the stack, holds what it owes.

    Attributes:
        ends: what the list owed wherever it ended.
        passed: gets the places after values, if it is there; then nothing is owed.
    """

    def __init__(
        self, network: Network, frames: FrameTable, is_scarce: Callable[[Value], bool]
    ) -> None:
        super().__init__(network, frames, horizon=None, keeps_values=True)
        self._is_scarce = is_scarce
        self.ends: set[Owed] = set()
        self.passed: set[Place] | None = None

    def ahead(self, frame: Frame) -> tuple[Held, int | None]:
        """What a frame above the list holds on this walk."""
        if isinstance(frame.low, frozenset):
            return NOTHING, frame.high
        if frame.after < 0 and isinstance(self._network.scopes[-1 - frame.after], Loop):
            assert isinstance(frame.low, int), "a loop counts"
            return self._clip_low(frame.low), self._clip_high(frame.high)
        return frame.low, frame.high

    def enter(self, index: int, stack: Frame | None, found: list[Place]) -> None:
        scope = self._network.scopes[index]
        if isinstance(scope, Distinct):
            found.append((scope.after, stack))
        elif not isinstance(scope, Value):
            super().enter(index, stack, found)
        elif self.passed is not None:
            self.passed.add((scope.after, stack))
            found.append((scope.after, stack))
        else:
            found.append((scope.after, self._owing(scope, stack)))

    def leave(self, frame: Frame, written: bytes, found: list[Place]) -> bool:
        if frame.parents == (None,):
            assert isinstance(frame.low, frozenset), "the list is the lowest"
            self.ends.add(frame.low)
            return False
        return super().leave(frame, written, found)

    def _owing(self, value: Value, stack: Stack) -> Stack:
        """The stack once the list owes such a value, too."""
        kept = kept_in(stack)
        assert kept is not None, "an Element stands inside a Unique"
        if kept.outer is not None or not self._is_scarce(value):
            return stack
        count = sum(isinstance(owed, tuple) and owed[0] == value.body for owed in kept.seen)
        if count >= LOOK_AHEAD:
            return stack
        [owing] = self._with_seen((stack,), kept, (value.body, count + 1))
        return owing

    def _clip_low(self, count: int) -> int:
        return min(count, LOOK_AHEAD)

    def _clip_high(self, count: int | None) -> int | None:
        return None if count is None or count > LOOK_AHEAD else count

"""Moves of the automaton that consume nothing: calls, and what scopes do with their frames."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from .configuration import Place
from .distinct import value_of
from .frames import Frame, FrameTable, Held, Stack, contents, holders
from .kept_values import NEXT, Begun, Kept
from .network import NEXT_MEMBER, TAKE, Network
from .scopes import Bag, Distinct, Loop, Value

MANY = 1 << 60
"""A count that is out of reach: more iterations than the horizon has bytes."""


class StackMoves:
    """The moves of one automaton over its network and its frames.

    `horizon`: counts beyond it are merged; None: none are.
    `keeps_values`: whether values that must differ are kept.
    """

    def __init__(
        self,
        network: Network,
        frames: FrameTable,
        *,
        horizon: int | None,
        keeps_values: bool,
    ) -> None:
        self._network = network
        self._frames = frames
        self._horizon = horizon
        self._keeps_values = keeps_values

    def adopted(self, frame: Frame) -> tuple[Held, int | None]:
        """What a frame of another automaton of the same grammar holds in this one."""
        low, high = frame.low, frame.high
        if frame.after < 0:
            match self._network.scopes[-1 - frame.after]:
                case Loop():
                    assert isinstance(low, int), "a loop counts"
                    low, high = self._clip_low(low), self._clip_high(high)
                case Distinct() | Value():
                    low = None
        return low, high

    def enter(self, index: int, stack: Frame | None, found: list[Place]) -> None:
        """Where a scope begins."""
        frames, code = self._frames, -1 - index
        match self._network.scopes[index]:
            case Loop(body, _, low, high):
                frame = frames.push(stack, code, self._clip_low(low), self._clip_high(high))
                found.append((body, frame))
            case Bag() as bag:
                if bag.may_end(0, 0):
                    found.append((bag.after, stack))
                self._next_member(bag, frames.push(stack, code, 0, 0), found)
            case Distinct(body):
                seen = frozenset[object]() if self._keeps_values else None
                found.append((body, frames.push(stack, code, seen)))
            case Value(body):
                found.append((body, frames.push(stack, code, NEXT if self._keeps_values else None)))

    def move(self, op: int, first: int, second: int, stack: Frame, found: list[Place]) -> None:
        """Where a move within an object leads."""
        frames = self._frames
        bag = self._network.scopes[-1 - stack.after]
        used, taken = stack.low, stack.high
        assert isinstance(bag, Bag)
        assert isinstance(used, int)
        assert taken is not None
        if op == NEXT_MEMBER:
            self._next_member(bag, stack, found)
            return
        if op == TAKE:
            entry = second
            used, taken = bag.after_taking(first, used, taken)
        else:
            entry = first
            used, taken = bag.after_extra(used, taken)
        found.append((entry, frames.push(stack.below, stack.after, used, taken)))

    def _next_member(self, bag: Bag, stack: Frame, found: list[Place]) -> None:
        used, taken = stack.low, stack.high
        assert isinstance(used, int)
        assert taken is not None
        if bag.keys is not None and bag.takes(used, taken):
            found.append((bag.keys, stack))
        if bag.extra is not None and bag.takes_extra(used, taken):
            found.append((bag.extra, stack))

    def is_open(self, state: int, stack: Frame | None) -> bool:
        """Whether the object on top of the stack can take a member that `state` leads to.

        True of every state that is not inside the declared keys of an object.
        """
        guard = self._network.guards.get(state)
        if guard is None:
            return True
        assert stack is not None, "a guarded state stands inside its object"
        bag = self._network.scopes[-1 - stack.after]
        assert isinstance(bag, Bag)
        assert isinstance(stack.low, int)
        assert stack.high is not None
        return bool(guard & bag.takes(stack.low, stack.high))

    def leave(self, frame: Frame, written: bytes, found: list[Place]) -> bool:
        """Where the body of a scope, having ended, leads; whether that depends on what it wrote."""
        match self._network.scopes[-1 - frame.after]:
            case Loop() as loop:
                self._iterate(loop, frame, found)
            case Bag() as bag:
                used, taken = frame.low, frame.high
                assert isinstance(used, int)
                assert taken is not None
                if bag.may_end(used, taken):
                    found += [(bag.after, parent) for parent in frame.parents]
                if bag.takes(used, taken) or bag.takes_extra(used, taken):
                    found.append((bag.separator, frame))
            case Distinct(_, after):
                found += [(after, parent) for parent in frame.parents]
            case Value(_, after):
                if frame.low is None:
                    found += [(after, parent) for parent in frame.parents]
                    return False
                assert isinstance(frame.low, Begun)
                assert frame.kept is not None, "it keeps a value"
                value = value_of(frame.low.text(written))
                if value not in frame.kept.seen:
                    of_list = frame.kept.of_list()
                    assert of_list is not None, "an Element stands inside a Unique"
                    below = self._with_seen(frame.parents, of_list, value)
                    found += [(after, stack) for stack in below]
                return True
        return False

    def _with_seen(self, stacks: Sequence[Stack], of_list: Kept, value: Hashable) -> list[Stack]:
        """The stacks with a value among those that the list at the top of `of_list` has seen."""
        known: dict[Stack, Stack] = {}
        seen = of_list.seen | {value}
        for stack in stacks:
            for holder in holders(stack, of_list):
                known[holder] = self._frames.push(holder.below, holder.after, seen)
        return [self._frames.rebuilt(stack, known, contents) for stack in stacks]

    def _iterate(self, loop: Loop, frame: Frame, found: list[Place]) -> None:
        """Where a counted repetition goes when an iteration has ended: on, out, or both."""
        assert isinstance(frame.low, int), "a loop counts"
        low = frame.low if frame.low == MANY else max(frame.low - 1, 0)
        high = None if frame.high is None else frame.high - 1
        if low == 0:
            found += [(loop.after, parent) for parent in frame.parents]
        if high != 0:
            found.append((loop.body, self._frames.push(frame.below, frame.after, low, high)))

    def _clip_low(self, count: int) -> int:
        return MANY if self._horizon is not None and count > self._horizon else count

    def _clip_high(self, count: int | None) -> int | None:
        if self._horizon is not None and count is not None and count > self._horizon:
            return None
        return count

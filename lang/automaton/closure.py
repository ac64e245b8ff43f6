"""What can be reached without consuming a byte, in one grammar's network.

Where values must differ, the places that could only end in a repeated one are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import GrammarError
from .configuration import Place
from .frames import FrameTable
from .network import ENTER, GO, RETURN, TERMINAL, Network
from .stack_moves import StackMoves
from .terminal_state import TerminalState

if TYPE_CHECKING:
    from .doubts import Doubts
    from .value_watch import ValueWatch

MAX_PLACES = 20_000
"""Places reached at once before the grammar is refused as too ambiguous."""


class Closed(NamedTuple):
    """What was reached: the places that consume a byte, and whether the text may end.

    `doubts`: what must be true of the texts of values for the same to be reached whatever they are;
    None if nothing would do.
    """

    places: list[Place]
    accepting: bool
    doubts: Doubts | None


class Closure:
    """Follows the moves of one automaton that consume nothing.

    `watch`: leaves out places at which values can no longer differ; None: there are no values.
    """

    def __init__(
        self, network: Network, frames: FrameTable, moves: StackMoves, watch: ValueWatch | None
    ) -> None:
        self._network = network
        self._frames = frames
        self._moves = moves
        self._watch = watch

    def of(self, places: Sequence[Place], written: bytes) -> Closed:
        """All that is reached from `places`, `written` since the first value in writing began.

        Raises GrammarError beyond MAX_PLACES.
        """
        network, push = self._network, self._frames.push
        edges, moves, unwritten, guards = (
            network.edges,
            network.moves,
            network.unwritten,
            network.guards,
        )
        pending = list(places)
        seen = set(pending)
        consuming: list[Place] = []
        accepting = False
        is_steady = True
        while pending:
            place = pending.pop()
            state, stack = place
            found: list[Place] = []
            if isinstance(state, TerminalState):
                if not state.is_final:
                    consuming.append(place)
                if state.accepting:
                    assert stack is not None, "a terminal returns somewhere"
                    found += [(stack.after, parent) for parent in stack.parents]
            else:
                if state in unwritten:
                    network.write(state)
                if state in guards and not self._moves.is_open(state, stack):
                    continue
                if edges[state]:
                    consuming.append(place)
                for op, first, second in moves[state]:
                    if op == GO:
                        found.append((first, stack))
                    elif op <= TERMINAL:
                        found.append((first, push(stack, second)))
                    elif op == ENTER:
                        assert isinstance(first, int)
                        self._moves.enter(first, stack, found)
                    else:
                        assert isinstance(first, int)
                        assert stack is not None, "members stand inside their object"
                        self._moves.move(op, first, second, stack, found)
                if state == RETURN:
                    if stack is None:
                        accepting = True
                    elif stack.after >= 0:
                        found += [(stack.after, parent) for parent in stack.parents]
                    else:
                        is_steady &= not self._moves.leave(stack, written, found)
            for place in found:
                if place not in seen:
                    seen.add(place)
                    pending.append(place)
            if len(seen) > MAX_PLACES:
                raise GrammarError(
                    f"the text so far can be read in more than {MAX_PLACES} ways at once; the "
                    "grammar is left-recursive or too ambiguous. Rewrite nested or adjacent "
                    "repetitions that can match the same text"
                )
        doubts: Doubts = ()
        if self._watch is not None and any(
            stack is not None and stack.watched for _, stack in consuming
        ):
            consuming, doubts = self._watch.watched(consuming)
            if not self._watch.dispels(doubts, written):
                consuming, is_steady = [], False
        return Closed(consuming, accepting, doubts if is_steady else None)

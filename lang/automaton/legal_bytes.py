"""Which bytes can come next, and whether there is a choice."""

from __future__ import annotations

from collections.abc import Callable

from .configuration import Configuration
from .network import Network
from .stack_moves import StackMoves
from .terminal_state import TerminalState


class LegalBytes:
    """The legal bytes of one automaton, of which `step` is the step.

    A place that can be left by a byte is not enough where values must differ: there, steps tell.
    """

    def __init__(
        self,
        network: Network,
        moves: StackMoves,
        step: Callable[[Configuration, int], Configuration | None],
    ) -> None:
        self._network = network
        self._moves = moves
        self._step = step

    def after(self, configuration: Configuration) -> bytes:
        """The legal next bytes, in ascending order."""
        if configuration.legal is None:
            legal = self._possible(configuration)
            if configuration.watched:
                legal = bytes(b for b in legal if self._step(configuration, b) is not None)
            configuration.legal = legal
        return configuration.legal

    def forced(self, configuration: Configuration) -> int | None:
        """The byte that must come next, or None if there is a choice (stopping is one)."""
        if configuration.accepting:
            return None
        if configuration.watched:
            return self._only(configuration)
        only: int | None = None
        for state, stack in configuration.places:
            if isinstance(state, TerminalState):
                legal = state.next_bytes()
                if len(legal) != 1 or (only is not None and legal[0] != only):
                    return None
                only = legal[0]
                continue
            for first, last, target in self._network.edges[state]:
                if not self._moves.is_open(target, stack):
                    continue
                if first != last or (only is not None and first != only):
                    return None
                only = first
        return only

    def _possible(self, configuration: Configuration) -> bytes:
        """The bytes that some place allows, in ascending order: the legal ones, but for values."""
        legal: set[int] = set()
        for state, stack in configuration.places:
            if isinstance(state, TerminalState):
                legal.update(state.next_bytes())
            else:
                for first, last, target in self._network.edges[state]:
                    if self._moves.is_open(target, stack):
                        legal.update(range(first, last + 1))
        return bytes(sorted(legal))

    def _only(self, configuration: Configuration) -> int | None:
        """The only legal byte; None if there are more."""
        only: int | None = None
        for byte in self._possible(configuration):
            if self._step(configuration, byte) is not None:
                if only is not None:
                    return None
                only = byte
        return only

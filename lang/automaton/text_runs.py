"""Texts run as a whole: where nothing is a choice, no configuration is made per byte.

That is inside a literal, inside a terminal that cannot end yet, and inside a value whose text, so
far as it matters, leads to the same places whatever was written before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .configuration import Configuration, Place
from .configuration_table import ConfigurationTable
from .frames import Frame
from .network import Network
from .terminal_state import TerminalState
from .value_watch import ValueWatch


class TextRuns:
    """The runs of one automaton, of which `step` is the step and `close` makes configurations."""

    def __init__(
        self,
        network: Network,
        table: ConfigurationTable,
        watch: ValueWatch,
        step: Callable[[Configuration, int], Configuration | None],
        close: Callable[[Sequence[Place]], Configuration | None],
    ) -> None:
        self._network = network
        self._table = table
        self._watch = watch
        self._step = step
        self._close = close

    def end(self, configuration: Configuration, data: bytes) -> Configuration | None:
        """The configuration after `data`, or None if it is not legal."""
        current: Configuration | None = configuration
        at = 0
        while current is not None and at < len(data):
            if current.writing:
                at, current = self._run_steady(current, data, at)
                if current is None or at == len(data):
                    break
            if current.lone is not None:
                state, stack = current.lone
                if isinstance(state, TerminalState):
                    at, current = self._run_terminal(state, stack, data, at, current)
                    continue
                if state in self._network.runs:
                    at, current = self._run_literal(state, stack, data, at)
                    continue
            current = self._step(current, data[at])
            at += 1
        return current

    def _run_steady(
        self, here: Configuration, data: bytes, begin: int
    ) -> tuple[int, Configuration | None]:
        """Through the bytes that lead to the same places whatever was written before."""
        at = begin
        core: Configuration | None = here.core
        if data[at] not in here.core.steady:
            return at, here
        while at < len(data) and core is not None and core.writing and data[at] in core.steady:
            following, doubts = core.steady[data[at]]
            if doubts and not self._watch.dispels(doubts, here.written + data[begin : at + 1]):
                break
            core = following
            at += 1
        if core is None:
            return at, None
        return at, self._table.with_text(core, here.written + data[begin:at])

    def _run_terminal(
        self, state: TerminalState, stack: Frame | None, data: bytes, at: int, here: Configuration
    ) -> tuple[int, Configuration | None]:
        """Through the bytes that stay inside one terminal, which has no choice to end there."""
        following: TerminalState | None = state
        while at < len(data):
            assert following is not None
            following = following.step(data[at])
            at += 1
            if following is None:
                return at, None
            if following.accepting:
                break
        assert following is not None
        if following is state and not here.accepting:  # else something else has ended before
            return at, here
        return at, self._close([(following, stack)])

    def _run_literal(
        self, state: int, stack: Frame | None, data: bytes, at: int
    ) -> tuple[int, Configuration | None]:
        """Through the bytes of a literal, none of which is a choice."""
        text, begin, after = self._network.runs[state]
        size = min(len(text) - begin, len(data) - at)
        if text[begin : begin + size] != data[at : at + size]:
            return at, None
        if begin + size < len(text):
            return at + size, self._table.intern(frozenset(((state + size, stack),)), False)
        return at + size, self._close([(after, stack)])

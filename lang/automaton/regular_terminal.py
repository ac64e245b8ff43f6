"""Terminals that run as an automaton of their own: any set of texts without references."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ..ir.nodes import Node, Rules
from .terminal_state import TerminalState

if TYPE_CHECKING:
    from .automaton import Automaton
    from .configuration import Configuration
    from .network import Network

_KEPT = 512
_MAX_SEARCHED = 200


class RegularState(TerminalState):
    """A state of an automaton that has no stack to share: any `Terminal`."""

    __slots__ = ("configuration", "machine")

    def __init__(
        self, machine: RegularMachine, configuration: Configuration, accepting: bool
    ) -> None:
        super().__init__(accepting, not configuration.can_continue)
        self.machine = machine
        self.configuration = configuration

    def is_endless(self) -> bool:
        return self.machine.is_endless(self.configuration)

    def _step(self, byte: int) -> TerminalState | None:
        return self.machine.state(self.machine.automaton.step(self.configuration, byte))

    def _next_bytes(self) -> bytes:
        return self.machine.automaton.next_bytes(self.configuration)


class RegularMachine:
    """Runs the texts of a node without references, those of them that `alphabet` can spell."""

    def __init__(self, node: Node, alphabet: frozenset[int]) -> None:
        from .automaton import Automaton  # an automaton's terminals are automata again
        from .lowering import lower

        self.network: Network = lower(Rules("root", {"root": node}), alphabet)
        self.node = node
        self.alphabet = alphabet
        self.automaton: Automaton = Automaton(self.network)
        self._states: dict[Configuration, RegularState] = {}
        self._endless: dict[Configuration, bool] = {}

    def start(self, nonempty: bool) -> RegularState:
        """The first state; `nonempty`: the empty text does not count."""
        start = self.automaton.start
        if nonempty and start.accepting:
            return RegularState(self, start, accepting=False)
        state = self.state(start)
        assert state is not None
        return state

    def state(self, configuration: Configuration | None) -> RegularState | None:
        """The state of a configuration of `automaton`."""
        if configuration is None:
            return None
        state = self._states.get(configuration)
        if state is None:
            state = RegularState(self, configuration, configuration.accepting)
            state = self._states.setdefault(configuration, state)
        return state

    def is_endless(self, configuration: Configuration) -> bool:
        """Whether a loop can be reached: from each of its places some text is completed."""
        if configuration not in self._endless:
            self._endless[configuration] = self._reaches_loop(configuration)
        return self._endless[configuration]

    def _reaches_loop(self, start: Configuration) -> bool:
        on_path = {start}
        done: set[Configuration] = set()
        path = [(start, self._following(start))]
        while path:
            here, following = path[-1]
            if not following:
                path.pop()
                on_path.discard(here)
                done.add(here)
                continue
            target = following.pop()
            if target in on_path:
                return True
            if target not in done:
                if len(path) + len(done) > _MAX_SEARCHED:
                    return False
                on_path.add(target)
                path.append((target, self._following(target)))
        return False

    def _following(self, configuration: Configuration) -> list[Configuration]:
        targets = self.automaton.successors(configuration).targets
        return [target for target in targets if target is not None]


@lru_cache(_KEPT)
def regular_machine(node: Node, alphabet: frozenset[int]) -> RegularMachine:
    """The machine that all equal nodes share."""
    return RegularMachine(node, alphabet)

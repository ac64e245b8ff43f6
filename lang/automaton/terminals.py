"""Terminals: units of text that run as automata of their own, shared by all grammars.

A JSON string is the same automaton in every schema. So a terminal's states are interned per
process, not per grammar, and whatever is known about one (where bytes lead, which tokens of a
vocabulary fit) is known for all fields of all schemas.

A state knows only its own text; the grammar around it is a stack that the automaton keeps beside.
"""

from __future__ import annotations

from functools import lru_cache

from ..ir.nodes import Substring, Terminal
from .counted_terminal import CountedMachine
from .excluded_texts import ExceptMachine
from .measured_terminal import MeasuredMachine
from .passages import SubstringMachine
from .regular_terminal import RegularState, regular_machine
from .terminal_state import TerminalState
from .word_list import WordMachine

_KEPT = 512
"""Terminals kept per process, least recently used out first."""


def start_of(
    terminal: Terminal | Substring, alphabet: frozenset[int], nonempty: bool
) -> TerminalState:
    """The first state of a terminal; `nonempty`: without its empty text."""
    state = _start(terminal, alphabet)
    if nonempty and state.accepting:
        assert isinstance(state, RegularState), "other terminals have no empty text"
        return state.machine.start(nonempty=True)
    return state


@lru_cache(_KEPT)
def _start(terminal: Terminal | Substring, alphabet: frozenset[int]) -> TerminalState:
    if isinstance(terminal, Substring):
        return SubstringMachine(terminal, alphabet).start()
    machine = (
        CountedMachine.of(terminal.node, alphabet)
        or MeasuredMachine.of(terminal.node, alphabet)
        or WordMachine.of(terminal.node, alphabet)
    )
    start: TerminalState
    if machine is None:
        start = regular_machine(terminal.node, alphabet).start(nonempty=False)
    else:
        start = machine.start()
    return ExceptMachine(start, terminal.excluded).start() if terminal.excluded else start

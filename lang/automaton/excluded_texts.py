"""Terminals without some of their texts: keys that are not declared."""

from __future__ import annotations

from functools import cached_property

from .terminal_state import TerminalState


class ExceptState(TerminalState):
    """A text that is still the beginning of an excluded one; `node` is its place in their trie."""

    __slots__ = ("base", "machine", "node")

    def __init__(self, machine: ExceptMachine, base: TerminalState, node: int) -> None:
        excluded = machine.ends[node]
        super().__init__(base.accepting and not excluded, base.is_final)
        self.machine = machine
        self.base = base
        self.node = node

    def is_endless(self) -> bool:
        return self.base.is_endless()

    def _step(self, byte: int) -> TerminalState | None:
        base = self.base.step(byte)
        node = self.machine.children[self.node].get(byte)
        if base is None or node is None:
            return base
        state = ExceptState(self.machine, base, node)
        return state if state.accepting or not state.is_final else None

    def _next_bytes(self) -> bytes:
        return bytes(byte for byte in self.base.next_bytes() if self.step(byte) is not None)


class ExceptMachine:
    """A terminal without some of its texts: it follows their trie until the text leaves it.

    Attributes:
        children: per node of the trie of excluded texts, next byte -> node; the root is 0.
        ends: per node, whether an excluded text ends there.
    """

    def __init__(self, base: TerminalState, texts: frozenset[str]) -> None:
        self._base = base
        self._texts = texts
        self.children: list[dict[int, int]] = [{}]
        self.ends = [False]
        for text in texts:
            node = 0
            for byte in text.encode():
                following = self.children[node].get(byte)
                if following is None:
                    following = self.children[node][byte] = len(self.children)
                    self.children.append({})
                    self.ends.append(False)
                node = following
            self.ends[node] = True

    def start(self) -> TerminalState:
        return ExceptState(self, self._base, 0)

    @cached_property
    def ends_are_final(self) -> bool:
        """Whether no text of the terminal goes on after an excluded one."""
        for text in self._texts:
            state: TerminalState | None = self._base
            for byte in text.encode():
                state = None if state is None else state.step(byte)
            if state is not None and not state.is_final:
                return False
        return True

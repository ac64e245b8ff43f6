"""Where a text stands inside a terminal: what all kinds of terminals have in common."""

from __future__ import annotations


class TerminalState:
    """Where a text stands inside a terminal. Equal ones of one terminal are identical.

    accepting: the terminal may end here. is_final: no byte can follow.
    """

    __slots__ = ("__weakref__", "_legal", "_memo", "accepting", "is_final")

    def __init__(self, accepting: bool, is_final: bool) -> None:
        self.accepting = accepting
        self.is_final = is_final
        self._legal: bytes | None = None
        self._memo: dict[int, TerminalState | None] = {}

    def step(self, byte: int) -> TerminalState | None:
        """The state after one more byte, or None if it is not legal."""
        try:
            return self._memo[byte]
        except KeyError:
            state = self._memo[byte] = self._step(byte)
            return state

    def _step(self, byte: int) -> TerminalState | None:
        raise NotImplementedError

    def is_endless(self) -> bool:
        """Whether it is sure that endlessly many texts can follow."""
        return False

    def next_bytes(self) -> bytes:
        """The legal next bytes, in ascending order."""
        if self._legal is None:
            self._legal = self._next_bytes()
        return self._legal

    def _next_bytes(self) -> bytes:
        raise NotImplementedError

"""Terminals that choose: one of many texts, as a range of their sorted list.

What is left of 100,000 texts after a prefix is a range, found by bisection, so nothing is built.
"""

from __future__ import annotations

from bisect import bisect_left

from ..ir.nodes import Alt, Literal, Node
from .terminal_state import TerminalState

MIN_WORDS = 256
"""Texts from which on a list is run as one; fewer are a small automaton."""


def words_of(node: Node) -> list[str] | None:
    """The texts of a long list of literals, none empty; None for any other node."""
    if not isinstance(node, Alt) or len(node.options) < MIN_WORDS:
        return None
    words = [option.text for option in node.options if isinstance(option, Literal)]
    return words if len(words) == len(node.options) and all(words) else None


class WordState(TerminalState):
    """The texts `first` to `last` (exclusive) begin alike, with `size` bytes."""

    __slots__ = ("first", "last", "machine", "size")

    def __init__(self, machine: WordMachine, first: int, last: int, size: int) -> None:
        accepting = len(machine.words[first]) == size
        super().__init__(accepting, accepting and last == first + 1)
        self.machine = machine
        self.first = first
        self.last = last
        self.size = size

    def _step(self, byte: int) -> TerminalState | None:
        words = self.machine.words
        prefix = words[self.first][: self.size] + bytes((byte,))
        first = bisect_left(words, prefix, self.first, self.last)
        if first == self.last or not words[first].startswith(prefix):
            return None
        after = self.machine.end_of(prefix, first, self.last)
        return WordState(self.machine, first, after, self.size + 1)

    def _next_bytes(self) -> bytes:
        words, size = self.machine.words, self.size
        found = bytearray()
        at = self.first + self.accepting
        while at < self.last:
            found.append(words[at][size])
            at = self.machine.end_of(words[at][: size + 1], at, self.last)
        return bytes(found)


class WordMachine:
    """Runs a sorted list of distinct, non-empty texts; `words` is their UTF-8."""

    def __init__(self, words: list[bytes]) -> None:
        self.words = words

    @classmethod
    def of(cls, node: Node, alphabet: frozenset[int]) -> WordMachine | None:
        """The machine of a long list of literals; None for any other node."""
        texts = words_of(node)
        if texts is None:
            return None
        words = {text.encode() for text in texts}
        return cls(sorted(word for word in words if alphabet.issuperset(word)))

    def start(self) -> TerminalState:
        """The first state: all texts are left."""
        return WordState(self, 0, len(self.words), 0)

    def end_of(self, prefix: bytes, first: int, last: int) -> int:
        """The index after the texts from `first` on that begin with `prefix`."""
        # no byte of UTF-8 is 0xFF
        return bisect_left(self.words, prefix + b"\xff", first, last)

"""The bytes that can be written at all, and what of a grammar is left with them.

Some vocabularies have no token for some byte. Text that needs it cannot be written, so it is taken
out of a grammar before the grammar runs; else a generation could come to where nothing follows.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from ..errors import GrammarError
from ..regular.utf8 import ByteRange, byte_sequences
from .dfa import Dfa
from .measured import Measured

ALL_BYTES = frozenset(range(256))
"""The alphabet with which every text can be written."""

_UNUSED = frozenset((0xC0, 0xC1, *range(0xF5, 0x100)))
"""Bytes that UTF-8 never has."""

_KEPT_CLASSES = 4096
_KEPT_AUTOMATA = 256


def effective(alphabet: frozenset[int]) -> frozenset[int]:
    """ALL_BYTES if nothing but bytes that no text has is missing; else `alphabet`."""
    return ALL_BYTES if alphabet | _UNUSED == ALL_BYTES else alphabet


def encode(text: str) -> bytes:
    """UTF-8. Raises GrammarError for a surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise GrammarError(
            f"literal {text!r} holds a surrogate, which UTF-8 cannot encode"
        ) from error


def can_spell(text: str, alphabet: frozenset[int]) -> bool:
    """Whether the text can be written."""
    return alphabet is ALL_BYTES or alphabet.issuperset(encode(text))


def spelled(byte_range: ByteRange, alphabet: frozenset[int]) -> list[ByteRange]:
    """The parts of a byte range that the alphabet has."""
    if alphabet is ALL_BYTES:
        return [byte_range]
    parts: list[ByteRange] = []
    for byte in range(byte_range[0], byte_range[1] + 1):
        if byte in alphabet:
            if parts and parts[-1][1] == byte - 1:
                parts[-1] = (parts[-1][0], byte)
            else:
                parts.append((byte, byte))
    return parts


def has_character(ranges: tuple[tuple[int, int], ...], alphabet: frozenset[int]) -> bool:
    """Whether some character of these ranges of code points can be written."""
    if alphabet is ALL_BYTES:
        return bool(ranges)
    return any(_is_partly_spelled(first, last, alphabet) for first, last in ranges)


@lru_cache(_KEPT_CLASSES)
def _is_partly_spelled(first: int, last: int, alphabet: frozenset[int]) -> bool:
    return any(
        all(spelled(part, alphabet) for part in sequence)
        for sequence in byte_sequences(first, last)
    )


def spelled_dfa(dfa: Dfa, alphabet: frozenset[int]) -> Dfa:
    """The automaton without the edges of which no character can be written."""
    return dfa if alphabet is ALL_BYTES else _spelled_dfa(dfa, alphabet)


@lru_cache(_KEPT_AUTOMATA)
def _spelled_dfa(dfa: Dfa, alphabet: frozenset[int]) -> Dfa:
    kept = tuple(
        tuple(edge for edge in edges if _is_partly_spelled(edge[0], edge[1], alphabet))
        for edges in dfa.edges
    )
    return Dfa(kept, dfa.accepting)


def spelled_measured(node: Measured, alphabet: frozenset[int]) -> Measured:
    """The texts of the node that can be written."""
    return replace(node, dfa=spelled_dfa(node.dfa, alphabet))

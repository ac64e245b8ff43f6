"""Code-point ranges as sequences of byte ranges: the step from characters to UTF-8.

A range of code points is a union of few "boxes", each a sequence of one to four byte ranges whose
product is exactly the encodings of a sub-range. `[é-ÿ]` is `[C3][A9-BF]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

ByteRange: TypeAlias = tuple[int, int]

_WIDTHS = ((0x00, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF))


def byte_sequences(first: int, last: int) -> Iterator[tuple[ByteRange, ...]]:
    """Disjoint byte-range sequences that encode exactly the code points `first` to `last`."""
    for width_first, width_last in _WIDTHS:
        low, high = max(first, width_first), min(last, width_last)
        if low <= high:
            yield from _boxes(low, high)


def _boxes(first: int, last: int) -> Iterator[tuple[ByteRange, ...]]:
    """`byte_sequences` for a range whose encodings all have one width."""
    pending = [(first, last)]
    width = len(chr(first).encode("utf-8", "surrogatepass"))
    while pending:
        low, high = pending.pop()
        for trailing in range(1, width):
            # the last `trailing` bytes form a box only if their bits run from all 0 to all 1,
            # or if the leading bytes do not vary
            bits = (1 << (6 * trailing)) - 1
            if low | bits == high | bits:
                continue
            if low & bits:
                pending += [((low | bits) + 1, high), (low, low | bits)]
                break
            if high & bits != bits:
                pending += [(high & ~bits, high), (low, (high & ~bits) - 1)]
                break
        else:
            yield tuple(
                zip(
                    chr(low).encode("utf-8", "surrogatepass"),
                    chr(high).encode("utf-8", "surrogatepass"),
                    strict=True,
                )
            )


def complete_length(data: bytes) -> int:
    """Length of `data` without an unfinished character at its end."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            width = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if back < width else len(data)
        if byte < 0x80:
            break
    return len(data)

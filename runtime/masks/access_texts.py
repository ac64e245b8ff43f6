"""A text that leads to each state of an automaton: a name that is the same in every process."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ...lang.automaton.configuration import Configuration
from .row_table import DEAD, RowTable

MAX_SEARCHED = 1024
"""States that are looked at; a far one has no name."""


def access_texts(
    table: RowTable, start: Configuration, wanted: Collection[Configuration]
) -> dict[Configuration, bytes]:
    """The first shortest text from `start` to each of `wanted` that is near enough."""
    missing = {table.number(configuration): configuration for configuration in wanted}
    found: dict[Configuration, bytes] = {}
    texts = {table.number(start): b""}
    level = list(texts)
    while True:
        for number in level:
            if number in missing:
                found[missing.pop(number)] = texts[number]
        if not missing or not level or len(texts) > MAX_SEARCHED:
            return found
        table.ensure(np.array(level, dtype=np.int32))
        following: list[int] = []
        for number in level:
            targets, bytes_ = np.unique(
                table.rows[number << 8 : (number + 1) << 8], return_index=True
            )
            for byte, target in sorted(zip(bytes_.tolist(), targets.tolist(), strict=True)):
                if target != DEAD and target not in texts:
                    texts[target] = texts[number] + bytes((byte,))
                    following.append(target)
        level = following

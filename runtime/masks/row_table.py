"""Automaton configurations as numbers with rows of next configurations, for vectorised walks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...lang.automaton.automaton import Automaton
from ...lang.automaton.configuration import Configuration

DEAD = 0
"""The number that stands for no configuration; its row leads only to itself."""


class RowTable:
    """Numbers configurations and tabulates where their bytes lead: `rows[number * 256 + byte]`.

    Rows are computed when first needed; `rows` is replaced as the table grows, so read it afresh
    after `ensure`. Not thread-safe.
    """

    def __init__(self, automaton: Automaton) -> None:
        self.automaton = automaton
        self.clear()

    def clear(self) -> None:
        """Forgets all numbers."""
        self._numbers: dict[Configuration, int] = {}
        self._configurations: list[Configuration | None] = [None]
        self._lists: dict[int, list[int]] = {}
        self._known = np.ones(1, dtype=bool)
        self.rows: NDArray[np.int32] = np.zeros(256, dtype=np.int32)

    def __len__(self) -> int:
        return len(self._configurations)

    def number(self, configuration: Configuration | None) -> int:
        """The number of a configuration, a new one if it has none; DEAD for None."""
        if configuration is None:
            return DEAD
        number = self._numbers.get(configuration)
        if number is None:
            number = self._numbers[configuration] = len(self._configurations)
            self._configurations.append(configuration)
        return number

    def configuration(self, number: int) -> Configuration:
        """The configuration of a number other than DEAD."""
        configuration = self._configurations[number]
        assert configuration is not None, "DEAD stands for none"
        return configuration

    def accepting(self) -> NDArray[np.bool_]:
        """Per number, whether its configuration accepts."""
        flags = [c is not None and c.accepting for c in self._configurations]
        return np.array(flags, dtype=bool)

    def ensure(self, numbers: NDArray[np.int32]) -> None:
        """Computes the missing rows of `numbers`."""
        if len(self._known) < len(self._configurations):
            self._grow()
        if len(numbers) > 64:  # one flag per configuration is cheaper than sorting the numbers
            used = np.zeros(len(self._known), dtype=bool)
            used[numbers] = True
            missing = np.flatnonzero(used & ~self._known).tolist()
        else:
            missing = [n for n in set(numbers.tolist()) if not self._known[n]]
        for number in missing:
            self._fill(number)

    def row(self, number: int) -> list[int]:
        """One row as a plain list, which scalar code reads faster than an array."""
        row = self._lists.get(number)
        if row is None:
            self.ensure(np.array([number], dtype=np.int32))
            row = self._lists[number] = self.rows[number * 256 : number * 256 + 256].tolist()
        return row

    def _fill(self, number: int) -> None:
        configuration = self._configurations[number]
        assert configuration is not None, "the row of DEAD is always known"
        classes, targets = self.automaton.successors(configuration)
        targets_by_class = np.array([self.number(t) for t in targets], dtype=np.int32)
        if len(self._known) < len(self._configurations):
            self._grow()
        self.rows[number * 256 : number * 256 + 256] = targets_by_class[
            np.frombuffer(classes, dtype=np.uint8)
        ]
        self._known[number] = True

    def _grow(self) -> None:
        size = max(64, 2 * len(self._configurations))
        known = np.zeros(size, dtype=bool)
        known[: len(self._known)] = self._known
        rows = np.zeros(size * 256, dtype=np.int32)
        rows[: len(self.rows)] = self.rows
        self._known, self.rows = known, rows

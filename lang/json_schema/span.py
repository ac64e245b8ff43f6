"""How many: the counts that a schema allows, of characters, items or members."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A count from `low` to `high`; None is no bound."""

    low: int = 0
    high: int | None = None

    def __and__(self, other: Span) -> Span:
        highs = [high for high in (self.high, other.high) if high is not None]
        return Span(max(self.low, other.low), min(highs, default=None))

    def __contains__(self, count: int) -> bool:
        return self.low <= count and (self.high is None or count <= self.high)

    def holds(self, other: Span) -> bool:
        """Whether every count of `other` is in here."""
        return self & other == other

    @property
    def is_empty(self) -> bool:
        return self.high is not None and self.high < self.low


ANY_LENGTH = Span()

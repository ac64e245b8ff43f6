"""The times of many rows, put together, and their percentiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from constraints_trial import Outcome


@dataclass(frozen=True, slots=True)
class Figures:
    """Times in seconds.

    Attributes:
        compile_s: per row that was not refused; infinite where the process was ended meanwhile, so
            that an engine does not look faster for what it never finished.
        first_mask_s: per row that came so far.
        steps_s, again_s: per mask, of all rows together.
        first_row_s, later_row_s, row_tokens: sums over the rows whose first instance got through.
    """

    compile_s: list[float]
    first_mask_s: list[float]
    steps_s: list[float]
    again_s: list[float]
    first_row_s: float
    later_row_s: float
    row_tokens: int


def figures(outcomes: Iterable[Outcome]) -> Figures:
    """What the outcomes' tables need."""
    tried = [o for o in outcomes if o.verdict not in ("refused", "crash") or o.first_mask_s]
    through = [o for o in tried if o.row_s is not None and o.next_row_s is not None]
    return Figures(
        [math.inf if o.compile_s is None else o.compile_s for o in tried],
        [o.first_mask_s for o in tried if o.first_mask_s is not None],
        [s for o in tried for s in o.steps_s],
        [s for o in tried for s in o.again_s],
        sum(o.row_s or 0.0 for o in through),
        sum(o.next_row_s or 0.0 for o in through),
        sum(o.row_tokens for o in through),
    )


def percentile(values: Sequence[float], point: float) -> float:
    """The least of the values that `point` percent of them do not exceed; never one between two."""
    return float(np.percentile(np.array(values), point, method="inverted_cdf"))

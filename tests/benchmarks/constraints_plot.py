"""The constraint benchmark as pictures: which share of compiles and masks took how long.

Needs matplotlib, which nothing else here does: `pip install matplotlib`.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from constraints_figures import figures
from constraints_log import Pair
from peer import Unavailable


def plot(pairs: Sequence[Pair], folder: Path) -> list[Path]:
    """Writes a PNG per vocabulary into `folder`. Raises Unavailable without matplotlib."""
    try:
        # by name, because neither it nor its types need be installed
        matplotlib: Any = importlib.import_module("matplotlib.figure")
    except ImportError as exc:
        raise Unavailable("pip install matplotlib") from exc
    files = []
    for vocabulary in dict.fromkeys(pair.vocabulary for pair in pairs if pair.rows):
        picture = matplotlib.Figure(figsize=(11, 4.5), layout="constrained")
        compiling, masks = picture.subplots(1, 2, sharey=True)
        for pair in pairs:
            if pair.vocabulary == vocabulary and pair.rows:
                found = figures(row.outcome for row in pair.rows)
                _curve(compiling, pair, [s * 1e3 for s in found.compile_s])
                _curve(masks, pair, [s * 1e6 for s in found.steps_s])
        # the same for all vocabularies, to be laid side by side
        compiling.set(xlabel="compile, ms", xlim=(0.1, 1e4))
        masks.set(xlabel="between masks, us", xlim=(1, 1e6))
        for axes in (compiling, masks):
            axes.set(xscale="log", ylim=(0, 1))
            axes.grid(alpha=0.3)
        compiling.set_ylabel("share that took at most this long")
        masks.legend(loc="lower right", fontsize="small")
        picture.suptitle(vocabulary)
        files.append(folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', vocabulary)}.png")
        picture.savefig(files[-1], dpi=130)
    return files


def _curve(axes: Any, pair: Pair, values: Sequence[float]) -> None:
    """An empirical distribution; what never ended keeps it below 1."""
    known = sorted(value for value in values if math.isfinite(value))
    shares = [(number + 1) / len(values) for number in range(len(known))]
    rows = f" ({len(pair.rows)} of {pair.asked} rows)" if pair.not_run else ""
    # from 0 at the first one, so that a single value can be seen
    start = [0.0] if known else []
    axes.step([*known[:1], *known], [*start, *shares], where="post", label=pair.engine + rows)

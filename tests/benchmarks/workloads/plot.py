"""The comparison as pictures: for each workload, which share of the ceiling each engine reaches.

Needs matplotlib, which nothing else here does: `pip install matplotlib`.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from peer import Unavailable

from .log import Log, Pair
from .report import CEILING


def plot(log: Log, folder: Path) -> list[Path]:
    """Writes a PNG per model into `folder`. Raises Unavailable without matplotlib."""
    try:
        # by name, because neither it nor its types need be installed
        matplotlib: Any = importlib.import_module("matplotlib.figure")
    except ImportError as exc:
        raise Unavailable("pip install matplotlib") from exc
    files = []
    for model in dict.fromkeys(pair.model for pair in log.records):
        shares = _shares(log, model)
        engines = list(dict.fromkeys(engine for _, engine in shares))
        names = list(dict.fromkeys(name for name, _ in shares))
        picture = matplotlib.Figure(figsize=(9, 0.6 * len(names) + 1.5), layout="constrained")
        axes = picture.subplots()
        height = 0.8 / max(1, len(engines))
        for number, engine in enumerate(engines):
            places = [index + (number + 0.5) * height - 0.4 for index in range(len(names))]
            widths = [shares.get((name, engine), 0.0) for name in names]
            axes.barh(places, widths, height, label=engine)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlabel("ceiling / time; 1 is the least time that llama.cpp could need")
        axes.set_xlim(left=0)
        axes.grid(axis="x", alpha=0.3)
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
        picture.suptitle(model)
        files.append(folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', model)}.png")
        picture.savefig(files[-1], dpi=130)
    return files


def _shares(log: Log, model: str) -> dict[tuple[str, str], float]:
    """By workload and engine: the ceiling's time over the engine's."""
    found = {}
    for pair in log.records:
        ceiling = log.median(Pair(model, pair.workload, CEILING), "seconds")
        seconds = log.median(pair, "seconds")
        if pair.model == model and pair.engine != CEILING and ceiling and seconds:
            found[pair.workload, pair.engine] = ceiling / seconds
    return found

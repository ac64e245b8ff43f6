"""The tables of the constraint benchmark."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from constraints_trial import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Run:
    """One engine over one vocabulary; `embedded` if it is the model whose step was measured."""

    engine: str
    vocabulary: str
    n_vocab: int
    embedded: bool
    outcomes: list[Outcome]


def coverage(runs: Iterable[Run]) -> Iterable[str]:
    """How many rows have which verdict."""
    verdicts: tuple[str, ...] = get_args(Verdict)
    yield f"| engine | vocabulary | rows | {' | '.join(verdicts)} | instances right |"
    yield f"|---|---|--:|{'--:|' * len(verdicts)}--:|"
    for run in runs:
        n = len(run.outcomes)
        counts = Counter(outcome.verdict for outcome in run.outcomes)
        columns = [
            f"{counts[verdict]} ({counts[verdict] / n:.1%})" for verdict in get_args(Verdict)
        ]
        right = sum(outcome.right for outcome in run.outcomes)
        decided = right + sum(outcome.wrong for outcome in run.outcomes)
        yield (
            f"| {run.engine} | {run.vocabulary} | {n} | {' | '.join(columns)} | {right}/{decided} |"
        )


def times(runs: Iterable[Run], step_s: float | None) -> Iterable[str]:
    """Times of the rows that were compiled, what was wrong beside them, and shares of a step."""
    yield (
        "| engine | vocabulary | pass | wrong | compile ms p50 / p90 / p99 / max "
        "| first mask ms p50 / p99 | between masks us p50 / p90 / p99 / max "
        "| known mask us p50 / p99 | first row | later row |"
    )
    yield f"|---|---|--:|{'--:|' * 7}"
    for run in runs:
        summary = summarise(run, step_s)
        n = len(run.outcomes)
        yield (
            f"| {run.engine} | {run.vocabulary} | {summary['pass'] / n:.1%} | {summary['wrong']} "
            f"| {_joined(summary['compile_ms'], 2)} | {_joined(summary['first_mask_ms'], 2)} "
            f"| {_joined(summary['between_masks_us'], 0)} | {_joined(summary['known_mask_us'], 1)} "
            f"| {_share(summary['first_row_share'])} | {_share(summary['later_row_share'])} |"
        )


def reasons(run: Run, verdict: Verdict, most: int = 25) -> Iterable[str]:
    """Which rows were decided wrongly, or why they got `verdict`, the commonest reasons first."""
    found = [outcome for outcome in run.outcomes if outcome.verdict == verdict]
    if verdict in ("valid rejected", "invalid accepted"):
        return [f"    {outcome.name}: {outcome.reason[:90]}" for outcome in found[:most]]
    counts = Counter(_plain(outcome.reason) for outcome in found)
    return [f"{count:5d}  {reason}" for reason, count in counts.most_common(most)]


def summarise(run: Run, step_s: float | None) -> dict[str, Any]:
    """The figures of a run; percentiles as lists, shares of the decode step or None."""
    outcomes = run.outcomes
    walked = [o for o in outcomes if o.first_mask_s is not None]
    counts = Counter(outcome.verdict for outcome in outcomes)
    rows = [o for o in outcomes if o.row_s is not None and o.next_row_s is not None]
    tokens = sum(o.row_tokens for o in rows)
    shares: list[float | None] = [None, None]
    if run.embedded and step_s and tokens:
        shares = [
            sum(o.row_s or 0.0 for o in rows) / tokens / step_s,
            sum(o.next_row_s or 0.0 for o in rows) / tokens / step_s,
        ]
    return {
        "engine": run.engine,
        "vocabulary": run.vocabulary,
        "n_vocab": run.n_vocab,
        "rows": len(outcomes),
        **{verdict: counts[verdict] for verdict in get_args(Verdict)},
        "wrong": len(outcomes) - counts["pass"] - counts["refused"],
        "masks": sum(len(o.steps_s) for o in walked),
        "compile_ms": _percentiles([o.compile_s or 0.0 for o in walked], (50, 90, 99, 100), 1e3),
        "first_mask_ms": _percentiles([o.first_mask_s or 0.0 for o in walked], (50, 99), 1e3),
        "between_masks_us": _percentiles(
            [s for o in walked for s in o.steps_s], (50, 90, 99, 100), 1e6
        ),
        "known_mask_us": _percentiles([s for o in walked for s in o.again_s], (50, 99), 1e6),
        "first_row_share": shares[0],
        "later_row_share": shares[1],
        "failures": [(o.name, o.verdict, o.reason) for o in outcomes if o.verdict != "pass"],
    }


def _percentiles(values: Sequence[float], points: Sequence[int], unit: float) -> list[float]:
    if not values:
        return []
    return [float(value) for value in np.percentile(np.array(values) * unit, points)]


def _joined(values: Sequence[float], digits: int) -> str:
    return " / ".join(f"{value:,.{digits}f}" for value in values)


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _plain(reason: str) -> str:
    line = reason.strip().splitlines()[0] if reason.strip() else ""
    line = re.sub(r"^schema at \S+: ", "", line)
    line = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "_", line)
    return re.sub(r"\d+", "N", line)[:140]

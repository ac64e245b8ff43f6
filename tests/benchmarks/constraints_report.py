"""The tables of the constraint benchmark, in Markdown."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from constraints_figures import Figures, figures, percentile
from constraints_log import Log, Pair
from constraints_trial import FIRST_MASK_S, Verdict

VERDICTS: tuple[str, ...] = get_args(Verdict)


def report(log: Log, beside: str) -> str:
    """All tables of what is known so far; the last compares the others with engine `beside`."""
    run = [pair for pair in log.pairs if pair.rows]
    step_s = min(log.step_s, default=None)
    missing = [
        f"- {p.engine}, {p.vocabulary}: skipped: {p.skipped}" for p in log.pairs if p.skipped
    ]
    parts = (
        about(log),
        coverage(run),
        times(run, step_s),
        footprints(run),
        same_rows(run, beside),
        missing,
    )
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def about(log: Log) -> list[str]:
    """What was asked, where it ran, and with which versions."""
    lines = [f"{log.asked['rows']} rows, each at most {log.asked['row_s']:g} s"]
    if log.step_s:
        lines[0] += f"; decode step of the embedded model {min(log.step_s) * 1e3:.2f} ms"
    for where in log.machines:
        packages = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
        lines.append(
            f"- {where['started']}, {where['processor']}, load {where['load']}, "
            f"commit {where['commit']}, Python {where['python']}, {packages}"
        )
    return lines


def coverage(pairs: Iterable[Pair]) -> list[str]:
    """How many rows have which verdict; shares are of the rows that were run."""
    lines = [
        f"| engine | vocabulary | rows run | not run | {' | '.join(VERDICTS)} | instances right |",
        f"|---|---|--:|--:|{'--:|' * len(VERDICTS)}--:|",
    ]
    for pair in pairs:
        outcomes = [row.outcome for row in pair.rows]
        counts = Counter(outcome.verdict for outcome in outcomes)
        verdicts = [f"{counts[v]} ({counts[v] / len(outcomes):.0%})" for v in get_args(Verdict)]
        right = sum(outcome.right for outcome in outcomes)
        decided = right + sum(outcome.wrong for outcome in outcomes)
        not_run = f"{pair.not_run} ({pair.not_run / pair.asked:.0%})" if pair.not_run else "0"
        lines.append(
            f"| {pair.engine} | {pair.vocabulary} | {len(outcomes)} of {pair.asked} | {not_run} "
            f"| {' | '.join(verdicts)} | {right}/{decided} |"
        )
    return lines


def times(pairs: Iterable[Pair], step_s: float | None) -> list[str]:
    """Times of the rows that were not refused, and shares of a decode step."""
    lines = [
        "| engine | vocabulary | rows | compile ms p50 / p90 / p99 / max "
        "| first mask ms p50 / p90 / p99 / max "
        "| between masks us p50 / p90 / p99 / max | known mask us p50 / p99 "
        "| first row | later row |",
        f"|---|---|--:|{'--:|' * 6}",
    ]
    for pair in pairs:
        found = figures(row.outcome for row in pair.rows)
        step = step_s if pair.embedded else None
        shares = [_share(s, found, step) for s in (found.first_row_s, found.later_row_s)]
        lines.append(
            f"| {pair.engine} | {pair.vocabulary} | {len(pair.rows)} of {pair.asked} "
            f"| {_percentiles(found.compile_s, (50, 90, 99, 100), 1e3, 1)} "
            f"| {_percentiles(found.first_mask_s, (50, 90, 99, 100), 1e3, 1)} "
            f"| {_percentiles(found.steps_s, (50, 90, 99, 100), 1e6, 0)} "
            f"| {_percentiles(found.again_s, (50, 99), 1e6, 1)} "
            f"| {' | '.join(shares)} |"
        )
    return lines


def footprints(pairs: Iterable[Pair]) -> list[str]:
    """Memory beyond the process that has only the vocabulary; collections; load of the machine."""
    lines = [
        "| engine | vocabulary | loading s | loaded MiB | peak MiB | grown KiB a row "
        "| kept for a schema KiB p50 / max | longest collection ms | load |",
        f"|---|---|{'--:|' * 7}",
    ]
    for pair in pairs:
        kept = [row.outcome.cache_bytes for row in pair.rows if row.outcome.cache_bytes is not None]
        longest_s = max(row.outcome.longest_collection_s for row in pair.rows)
        load = max(row.load for row in pair.rows)
        lines.append(
            f"| {pair.engine} | {pair.vocabulary} | {_memory(pair)} "
            f"| {_percentiles(kept, (50, 100), 1 / 1024, 0)} | {longest_s * 1e3:.1f} | {load:.1f} |"
        )
    return lines


def same_rows(pairs: Sequence[Pair], beside: str) -> list[str]:
    """Each engine and `beside` on the rows that both ran, since slow ones run fewer."""
    own = {pair.vocabulary: pair for pair in pairs if pair.engine == beside}
    lines = [
        f"| engine / {beside} | vocabulary | rows | pass | compile ms p50 | p99 "
        "| between masks us p50 | p99 |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for pair in pairs:
        if pair.engine == beside or pair.vocabulary not in own:
            continue
        mine = {row.outcome.name: row.outcome for row in own[pair.vocabulary].rows}
        both = [row.outcome for row in pair.rows if row.outcome.name in mine]
        if not both:
            continue
        sides = (both, [mine[outcome.name] for outcome in both])
        passed = [f"{sum(o.verdict == 'pass' for o in side) / len(both):.0%}" for side in sides]
        found = [figures(side) for side in sides]
        columns = [
            " / ".join(_percentiles(values, (point,), unit, digits) or "-" for values in each)
            for each, unit, digits in (
                ([figure.compile_s for figure in found], 1e3, 1),
                ([figure.steps_s for figure in found], 1e6, 0),
            )
            for point in (50, 99)
        ]
        lines.append(
            f"| {pair.engine} | {pair.vocabulary} | {len(both)} | {' / '.join(passed)} "
            f"| {' | '.join(columns)} |"
        )
    return lines if len(lines) > 2 else []


def reasons(pair: Pair, verdict: Verdict, most: int = 25) -> list[str]:
    """Which rows were decided wrongly, or why they got `verdict`, the commonest reasons first."""
    found = [row.outcome for row in pair.rows if row.outcome.verdict == verdict]
    if verdict in ("valid rejected", "invalid accepted", "too slow"):
        return [f"    {outcome.name}: {outcome.reason[:90]}" for outcome in found[:most]]
    counts = Counter(_plain(outcome.reason) for outcome in found)
    return [f"{count:5d}  {reason}" for reason, count in counts.most_common(most)]


def _percentiles(values: Sequence[float], points: Sequence[int], unit: float, digits: int) -> str:
    if not values:
        return ""
    found = (percentile(values, point) for point in points)
    # only compiling can have no end, and then it took longer than this
    over = f"> {FIRST_MASK_S * unit:,.0f}"
    return " / ".join(over if math.isinf(v) else f"{v * unit:,.{digits}f}" for v in found)


def _memory(pair: Pair) -> str:
    """Seconds to load; MiB loaded and at most; KiB grown per row."""
    loaded = pair.loaded
    if loaded is None or loaded.bare is None or loaded.ready is None:
        return " | | | "
    bare = loaded.bare.rss_bytes
    known = [(r.before, r.after) for r in pair.rows if r.before is not None and r.after is not None]
    peak = max((after.peak_bytes for _, after in known), default=loaded.ready.peak_bytes)
    grown = [after.rss_bytes - before.rss_bytes for before, after in known]
    mean = f"{sum(grown) / len(grown) / 1024:,.0f}" if grown else ""
    resident = f"{(loaded.ready.rss_bytes - bare) / 2**20:,.0f}"
    return f"{loaded.seconds:.1f} | {resident} | {(peak - bare) / 2**20:,.0f} | {mean}"


def _share(row_s: float, found: Figures, step_s: float | None) -> str:
    """Seconds of all rows, per token, as a share of a decode step."""
    if not step_s or not found.row_tokens:
        return ""
    return f"{row_s / found.row_tokens / step_s:.1%}"


def _plain(reason: str) -> str:
    line = reason.strip().splitlines()[0] if reason.strip() else ""
    line = re.sub(r"^schema at \S+: ", "", line)
    line = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "_", line)
    return re.sub(r"\d+", "N", line)[:140]

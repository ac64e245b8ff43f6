"""The tables of `compare.py`, as Markdown."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from .log import Log, Pair

OWN, PREPARED, CEILING = "treegram", "treegram-prepared", "ceiling"

ROUNDS_FOR_INTERVAL = 5
RESAMPLES = 2000


def report(log: Log) -> str:
    """All tables of all models, what did not run, and the machines."""
    parts = []
    for model in dict.fromkeys(pair.model for pair in log.records):
        tables = (speed, own_work, answers)
        parts += [f"## {model}\n", *("\n".join([*t(log, model), ""]) for t in tables)]
    parts += ["\n".join([*_not_run(log), ""])]
    parts += [_machine(machine) for machine in log.machines]
    return "\n".join(parts) + "\n"


def speed(log: Log, model: str) -> Iterator[str]:
    """Seconds of treegram and its share of both ceilings; for the others their time over its own.

    The best peer is in bold; more than 1 is slower than treegram. With prepared weights it is not
    the same file any more, so that is no peer.
    """
    others = [engine for engine in _engines(log, model) if engine not in (OWN, CEILING)]
    yield _row(["workload", "ceiling s", "treegram s", "of the ceiling", "at depth", *others])
    yield _rule(4 + len(others))
    for name in _workloads(log, model):
        ceiling = log.median(Pair(model, name, CEILING), "seconds")
        deep = log.median(Pair(model, name, CEILING), "seconds_at_depth")
        own = log.median(Pair(model, name, OWN), "seconds")
        times = {peer: log.median(Pair(model, name, peer), "seconds") for peer in others}
        peers = (time for peer, time in times.items() if time is not None and peer != PREPARED)
        best = min(peers, default=None)
        cells = []
        for peer, time in times.items():
            cell = _ratio(log, Pair(model, name, peer), time, own)
            cells.append(f"**{cell}**" if time is not None and time == best else cell)
        shares = [_quotient(least, own, "{:.0%}") for least in (ceiling, deep)]
        yield _row([name, _number(ceiling), _number(own), *shares, *cells])


def own_work(log: Log, model: str) -> Iterator[str]:
    """What treegram evaluated against the fewest possible, and where its time went."""
    yield _row(
        [
            *("workload", "evaluated", "fewest possible", "ratio", "generated"),
            *("tokens a step", "in llama_decode", "load"),
        ]
    )
    yield _rule(7)
    for name in _workloads(log, model):
        pair = Pair(model, name, OWN)
        keys = ("evaluated", "minimum", "generated", "steps", "decode_seconds", "seconds", "load")
        found = {key: log.median(pair, key) for key in keys}
        yield _row(
            [
                name,
                _number(found["evaluated"], 0),
                _number(found["minimum"], 0),
                _quotient(found["evaluated"], found["minimum"], "{:.3f}"),
                _number(found["generated"], 0),
                _quotient(found["evaluated"], found["steps"], "{:.1f}"),
                _quotient(found["decode_seconds"], found["seconds"], "{:.0%}"),
                _number(found["load"], 1),
            ]
        )


def answers(log: Log, model: str) -> Iterator[str]:
    """Right answers of each engine where there is a truth, and tokens generated where it says."""
    engines = [engine for engine in _engines(log, model) if engine != CEILING]
    yield _row(["workload", *(f"{engine}: right, tokens" for engine in engines)])
    yield _rule(len(engines))
    for name in _workloads(log, model):
        cells = []
        for engine in engines:
            pair = Pair(model, name, engine)
            right, rows = log.median(pair, "right"), log.median(pair, "rows")
            judged = "" if right is None else f"{right:.0f}/{rows:.0f}, "
            cells.append(judged + _number(log.median(pair, "generated"), 0))
        yield _row([name, *(cell.removesuffix(", ") for cell in cells)])


def interval(times: Sequence[float], own: Sequence[float]) -> tuple[float, float] | None:
    """Bootstrap interval (95%) of the median of `times / own`, round by round.

    None for fewer rounds than `ROUNDS_FOR_INTERVAL`, or where the two have not the same number.
    """
    if len(times) != len(own) or len(times) < ROUNDS_FOR_INTERVAL:
        return None
    ratios = [time / base for time, base in zip(times, own, strict=True)]
    draw = random.Random(0)
    medians = sorted(
        statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES)
    )
    cut = RESAMPLES // 40
    return medians[cut], medians[-1 - cut]


def _not_run(log: Log) -> Iterable[str]:
    """Reasons, each once."""
    reasons: dict[str, list[str]] = {}
    for pair in log.records:
        why = log.why_not(pair)
        if "late" in why:
            text = f"{pair.engine}: not done after {why['late']:.0f} s"
        elif why:
            text = f"{pair.engine}: {next(iter(why))}: {next(iter(why.values()))}"
        else:
            continue
        reasons.setdefault(text, []).append(pair.workload)
    for reason, names in reasons.items():
        yield f"- {reason} ({', '.join(dict.fromkeys(names))})"


def _machine(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['started']}, {machine['processor']}, load {machine['load']}, "
        f"commit {machine['commit']}, {versions}"
    )


def _ratio(log: Log, pair: Pair, seconds: float | None, own: float | None) -> str:
    if seconds is not None:
        if not own:
            return f"{seconds:.2f} s"
        own_pair = Pair(pair.model, pair.workload, OWN)
        between = interval(log.values(pair, "seconds"), log.values(own_pair, "seconds"))
        return f"{seconds / own:.2f}" + (
            "" if between is None else " ({:.2f}-{:.2f})".format(*between)
        )
    why = log.why_not(pair)
    if "late" in why:
        return f"> {why['late'] / own:.1f}" if own else f"> {why['late']:.0f} s"
    return next(iter(why), "")


def _workloads(log: Log, model: str) -> list[str]:
    return _names(log, lambda pair: pair.workload if pair.model == model else None)


def _engines(log: Log, model: str) -> list[str]:
    return _names(log, lambda pair: pair.engine if pair.model == model else None)


def _names(log: Log, of: Callable[[Pair], str | None]) -> list[str]:
    return list(dict.fromkeys(name for pair in log.records if (name := of(pair)) is not None))


def _quotient(value: float | None, by: float | None, form: str) -> str:
    return form.format(value / by) if value is not None and by else ""


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|---|" + "--:|" * columns

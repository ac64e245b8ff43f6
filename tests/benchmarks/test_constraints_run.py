"""The constraint benchmark is bounded, loses nothing when it is cut, says what it did not run."""

from __future__ import annotations

import gc
import gzip
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent

STUBBORN = '''
import os
from constraint_engine import Compiled, Engine, Walk

class Stubborn(Engine):
    """Its schemas say what it does."""

    def __init__(self, lexicon):
        self.eos = lexicon.eos

    def compile(self, schema):
        while schema == "hang":
            pass
        if schema == "die":
            os._exit(7)
        return _All(schema)

class _All(Compiled, Walk):
    def __init__(self, schema):
        self.schema, self.masks = schema, 0

    def start(self):
        return self

    def mask(self):
        self.masks += 1
        while self.schema == "hang later" and self.masks > 2:
            pass

    def allowed(self, token):
        return True

    def advance(self, token):
        pass
'''


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark's modules by their own names, as its child processes import them."""
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def cases() -> ModuleType:
    return import_module("constraints_cases")


@pytest.fixture
def log() -> ModuleType:
    return import_module("constraints_log")


@pytest.fixture
def report() -> ModuleType:
    return import_module("constraints_report")


def row(log: ModuleType, name: str, verdict: str = "pass", **times: Any) -> Any:
    outcome = log.Outcome(name, verdict, **times)
    return log.Row(outcome, 1.5, 0.5, log.Memory(1 << 20, 2 << 20), log.Memory(3 << 20, 4 << 20))


def begun(log: ModuleType, folder: Path, rows: int = 4) -> Any:
    found = log.Log(folder)
    machine = {"started": "now", "processor": "p", "load": 0.1, "commit": "c", "python": "3"}
    found.begin(
        {"sample": "s", "rows": rows, "row_s": 9.0}, {**machine, "versions": {}}, resume=True
    )
    return found


@pytest.mark.parametrize("count", [1, 2, 5, 64, 100])
def test_every_beginning_of_the_order_is_spread_evenly(cases: ModuleType, count: int) -> None:
    order = cases.spread(list(range(count)))
    assert sorted(order) == list(range(count))
    for taken in range(2, count + 1):
        found = sorted(order[:taken])
        gaps = [b - a for a, b in zip([0, *found], [*found, count], strict=True)]
        assert max(gaps) <= 4 * count / taken + 1


def test_a_log_gives_back_what_was_added(log: ModuleType, tmp_path: Path) -> None:
    first = begun(log, tmp_path)
    pair = first.pair("e", "v", 32000, True)
    first.add_loaded(pair, log.Loaded(2.0, log.Memory(1, 2), None))
    first.add_row(pair, row(log, "one", steps_s=[1e-6, 2.5e-5], compile_s=0.25))
    first.add_row(pair, row(log, "two", "too slow", reason="\u2028 \ud800"))
    first.add_stopped(pair, 30.0)
    first.add_skipped(first.pair("f", "v", 32000, True), "not installed")
    first.add_step(0.007)
    second = log.Log(tmp_path)
    assert second.pairs == first.pairs
    assert (second.step_s, second.asked) == (first.step_s, first.asked)
    assert second.pairs[0].seconds == 3.0
    assert second.pairs[0].not_run == 2


def test_a_line_that_was_cut_costs_only_itself(log: ModuleType, tmp_path: Path) -> None:
    first = begun(log, tmp_path)
    pair = first.pair("e", "v", 32000, True)
    for name in "one", "two":
        first.add_row(pair, row(log, name))
    results = tmp_path / "results.jsonl"
    results.write_text(results.read_text()[:-20])
    second = begun(log, tmp_path)
    assert [r.outcome.name for r in second.pairs[0].rows] == ["one"]
    second.add_row(second.pairs[0], row(log, "three"))
    third = log.Log(tmp_path)
    assert [r.outcome.name for r in third.pairs[0].rows] == ["one", "three"]
    assert len(third.machines) == 2


def test_results_of_different_runs_are_not_mixed(log: ModuleType, tmp_path: Path) -> None:
    begun(log, tmp_path)
    asked = {"sample": "s", "rows": 4, "row_s": 9.0}
    with pytest.raises(
        import_module("results_folder").Mismatch, match="has results; pass --resume"
    ):
        log.Log(tmp_path).begin(asked, {}, resume=False)
    with pytest.raises(import_module("results_folder").Mismatch, match="with rows 4, not 5"):
        log.Log(tmp_path).begin({**asked, "rows": 5}, {}, resume=True)


def test_tables_say_what_was_not_run_and_what_never_ended(
    log: ModuleType, report: ModuleType, tmp_path: Path
) -> None:
    found = begun(log, tmp_path)
    quick, slow = (found.pair(engine, "v", 32000, True) for engine in ("quick", "slow"))
    for number in range(4):
        taken = row(log, f"row {number}", compile_s=0.001 * number, steps_s=[1e-5])
        found.add_row(quick, taken)
    found.add_row(slow, row(log, "row 1", "too slow"))
    found.add_row(slow, row(log, "row 2", compile_s=2.0, first_mask_s=0.1, steps_s=[2e-3]))
    found.add_skipped(found.pair("absent", "v", 32000, True), "pip install absent")
    coverage = report.coverage([slow])[-1]
    assert coverage.startswith("| slow | v | 2 of 4 | 2 (50%) | 1 (50%) |")
    assert "| 2,000.0 / > 5,000 / > 5,000 / > 5,000 |" in report.times([slow], None)[-1]
    assert report.same_rows([quick, slow], "quick")[2:] == [
        "| slow | v | 2 | 50% / 100% | 2,000.0 / 1.0 | > 5,000 / 2.0 | 2,000 / 10 | 2,000 / 10 |"
    ]
    assert "- absent, v: skipped: pip install absent" in report.report(found, "quick")


def test_plots_are_drawn_per_vocabulary(log: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = begun(log, tmp_path)
    for vocabulary in "v, 32k", "w, 49k":
        pair = found.pair("e", vocabulary, 32000, False)
        found.add_row(pair, row(log, "refused", "refused"))
        found.add_row(pair, row(log, "endless", "too slow"))
    files = import_module("constraints_plot").plot(found.pairs, tmp_path)
    assert [file.name for file in files] == ["v_32k.png", "w_49k.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_memory_counts_the_process_and_its_children() -> None:
    footprint = import_module("constraints_footprint")
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    alone = footprint.memory(os.getpid())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        both = footprint.memory(os.getpid())
        assert footprint.memory(child.pid).rss_bytes <= both.rss_bytes
        assert both.peak_bytes > alone.peak_bytes
    finally:
        child.communicate()
    assert footprint.memory(child.pid) is None


def test_collections_are_timed_while_asked_for() -> None:
    collections = import_module("constraints_footprint").Collections()
    with collections:
        gc.collect()
    assert (longest_s := collections.longest_s) > 0
    gc.collect()
    assert collections.longest_s == longest_s, "it listens no more"


@pytest.mark.slow
def test_an_engine_that_hangs_or_dies_costs_a_row(
    cases: ModuleType, embedded_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = import_module("constraints_worker")
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    monkeypatch.syspath_prepend(str(tmp_path))

    def case(what: str) -> Any:
        return cases.Case(what, what, (cases.Instance("[1, 2]", True),))

    with worker.Worker(("stubborn", "Stubborn"), embedded_path, row_s=1.0) as engine:
        assert engine.loaded.ready is None or engine.loaded.ready.rss_bytes > 0
        fine = engine.row(case("work"), 60.0)
        assert (fine.outcome.verdict, fine.outcome.right) == ("pass", 1)
        later = engine.row(case("hang later"), 60.0)
        assert (later.outcome.verdict, later.outcome.reason) == ("too slow", "no answer in 1 s")
        dead = engine.row(case("die"), 60.0)
        assert (dead.outcome.verdict, dead.outcome.reason) == ("crash", "exit status 7")
        assert dead.after is None
        assert engine.row(case("hang"), 0.1) is None, "the limit of all rows comes first"


@pytest.mark.slow
def test_a_run_ends_in_tables_and_is_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    constraints = import_module("constraints")
    data, out = tmp_path / "data.jsonl.gz", tmp_path / "out"
    lines = [
        {"name": f"row {n}", "schema": {"const": n}, "tests": [{"valid": True, "data": n}]}
        for n in range(3)
    ]
    data.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    engine = "treegram, as gen"
    command = [f"--data={data}", f"--out={out}", "--no-step", f"--engines={engine}"]
    assert constraints.main([*command, "--pair-seconds=0"]) == 0
    assert "3 not run" in capsys.readouterr().out
    assert constraints.main(command) == 2, "the folder has results"
    assert constraints.main([*command, "--resume"]) == 0
    assert f"| {engine} | SmolLM2" in capsys.readouterr().out
    assert "| 3 of 3 | 0 | 3 (100%) |" in (out / "tables.md").read_text()
    assert constraints.main([f"--out={out}", "--tables"]) == 0
    assert "| 3 of 3 | 0 | 3 (100%) |" in capsys.readouterr().out
    assert constraints.main([f"--out={tmp_path / 'nothing'}", "--tables"]) == 2

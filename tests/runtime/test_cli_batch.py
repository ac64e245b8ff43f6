"""`treegram batch`: every row is run or explained, and finished rows survive."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from treegram.lang.scripted import Answer, ScriptedBackend

Cli = Callable[..., int]


def run_batch(
    cli: Cli, cards: Path, lines: list[str], *, program: str = "card", **options: Any
) -> tuple[int, dict[int, dict[str, Any]]]:
    rows, out = cards.parent / "rows.jsonl", cards.parent / "out.jsonl"
    rows.write_text("\n".join(lines) + "\n")
    status = cli("batch", f"{cards}:{program}", rows, "-o", out, **options)
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert len({result["line"] for result in results}) == len(results)
    return status, {result["line"]: result for result in results}


def test_batch_takes_objects_arrays_and_single_values(cli: Cli, cards: Path) -> None:
    lines = ['{"text": "a", "shots": 1}', '["b", 2]', '"c"', "", '{"text": "d"}']
    status, results = run_batch(cli, cards, lines)
    assert status == 0
    assert {line: result["variables"]["reply"] for line, result in results.items()} == {
        1: "<a|1|None>>",
        2: "<b|2|None>>",
        3: "<c|3|None>>",
        5: "<d|3|None>>",
    }


def test_a_bad_row_names_its_line_and_the_others_still_run(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        '{"text": "a"}',
        "{nonsense",
        '{"txt": "b"}',
        '{"text": "c", "shots": "many"}',
        '["a", 1, null, 4]',
        "[" * 100_000,
        '{"text": "g"}',
        '{"\\ud800": 1}',
    ]
    status, results = run_batch(cli, cards, lines)
    assert status == 1
    assert [line for line, result in results.items() if "variables" in result] == [1, 7]
    errors = {line: result["error"] for line, result in results.items() if "error" in result}
    assert "line 2 is not JSON" in errors[2]["message"]
    assert "column 2" in errors[2]["message"]
    assert "no such parameter" in errors[3]["message"]
    assert "shots" in errors[4]["message"]
    assert "4 values for 3 parameters" in errors[5]["message"]
    assert "nested too deeply" in errors[6]["message"]
    assert "no such parameter" in errors[8]["message"]
    err = capsys.readouterr().err
    assert "8 rows in" in err
    assert "2 good, 6 failed" in err
    assert "4 x ParameterError" in err


def test_a_row_whose_program_or_output_fails_is_that_rows_error(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = ScriptedBackend({"good": '{"name": "A", "age": 1}', "cut": Answer("{", "length")})
    status, results = run_batch(cli, cards, ['"good"', '"cut"'], program="person", backend=backend)
    assert status == 1
    assert results[1]["variables"] == {"person": {"name": "A", "age": 1}}
    assert results[2]["error"]["type"] == "OutputError"
    status, results = run_batch(cli, cards, ['"a"'], program="broken")
    assert status == 1
    assert results[1]["error"]["type"] == "LookupError"
    assert "nothing found" in results[1]["error"]["message"]


def test_the_report_has_rates_and_the_cached_share(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_batch(cli, cards, ['"a"', '"b"'])
    err = capsys.readouterr().err
    for words in ("2 rows in", "rows/s", "tokens/s", "0.0% of 18 prompt tokens cached"):
        assert words in err


def test_ctrl_c_keeps_the_finished_rows_and_says_how_many(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = cards.parent / "out.jsonl"
    source = iter(['"a"\n', '"b"\n'])

    class Typed:
        """Two rows, then Ctrl-C while waiting for a third."""

        def __iter__(self) -> Typed:
            return self

        def __next__(self) -> str:
            try:
                return next(source)
            except StopIteration:
                raise KeyboardInterrupt from None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", Typed())
        status = cli("batch", f"{cards}:card", "-", "-o", out, "--num-threads", "1")
    assert status == 130
    assert [json.loads(line)["line"] for line in out.read_text().splitlines()] == [1, 2]
    assert "kept 2 finished rows" in capsys.readouterr().err


@pytest.mark.model
@pytest.mark.slow
def test_sigint_in_a_running_batch_ends_it_with_status_130(cards: Path) -> None:
    rows = cards.parent / "rows.jsonl"
    rows.write_text("".join(f'"row {i}"\n' for i in range(500)))
    command = [sys.executable, "-m", "treegram.runtime.cli", "batch", f"{cards}:card", str(rows)]
    with subprocess.Popen(
        [*command, "--num-threads", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, err = process.communicate()
    kept = [json.loads(line) for line in (first + rest).splitlines()]
    assert process.returncode == 130, err
    assert 1 <= len(kept) < 500
    assert all("variables" in row for row in kept)
    assert f"kept {len(kept)} finished rows" in err


def test_the_rows_are_never_overwritten(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = cards.parent / "rows.jsonl"
    rows.write_text('"a"\n')
    assert cli("batch", f"{cards}:card", rows, "-o", rows) == 2
    assert "is the file of rows" in capsys.readouterr().err
    assert rows.read_text() == '"a"\n'


def test_batch_without_output_file_writes_to_standard_output(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = cards.parent / "rows.jsonl"
    rows.write_text('"a"\n')
    assert cli("batch", f"{cards}:card", rows) == 0
    assert json.loads(capsys.readouterr().out) == {
        "line": 1,
        "variables": {"reply": "<a|3|None>>"},
    }


@pytest.mark.parametrize(
    ("args", "words"),
    [(["absent.jsonl"], "cannot read rows"), ([".", "-o", "x"], "cannot read rows")],
)
def test_rows_that_cannot_be_read_exit_2(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str], args: list[str], words: str
) -> None:
    assert cli("batch", f"{cards}:card", *args) == 2
    assert words in capsys.readouterr().err

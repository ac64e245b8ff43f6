"""The commands as a user types them, on a scripted backend in place of a model."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from treegram.lang.base import Backend, GenRequest, ModelProvider
from treegram.lang.conversation import text_of
from treegram.lang.grammar import Grammar
from treegram.lang.scripted import Answer, ScriptedBackend
from treegram.runtime.cli import main

PROGRAMS = """\
from dataclasses import dataclass
from typing import Literal

import treegram as tg

@dataclass
class Person:
    name: str
    age: int

@tg.function
def card(s, text: str, shots: int = 3, tags: list[str] | None = None):
    s += f"{text}|{shots}|{tags}>"
    s += tg.gen("reply")

@tg.function
def person(s, text: str):
    s += text
    s += tg.gen("person", schema=Person)

@tg.function
def broken(s, text: str):
    s += text
    raise LookupError("nothing found")

@tg.function
def unresolved(s, text: "Missing"):
    s += text
"""


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    file = tmp_path / "cli_cards.py"
    file.write_text(PROGRAMS)
    return file


Cli = Callable[..., int]


@pytest.fixture
def cli(one_model: Callable[[Backend], ModelProvider]) -> Cli:
    """Runs a command line on a backend (one that echoes its prompt, if none is given)."""

    def run(*argv: object, backend: Backend | None = None) -> int:
        provider = one_model(backend or ScriptedBackend(lambda r: f"<{text_of(r.prompt)}>"))
        return main([str(part) for part in argv], provider=provider)

    return run


# run


def test_run_prints_the_variables_as_json(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("run", f"{cards}:card", "--arg", "text=a=b") == 0
    assert json.loads(capsys.readouterr().out) == {"reply": "<a=b|3|None>>"}


def test_run_reads_values_by_their_types(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--arg", "text=7", "--arg", "shots=5", "--arg", 'tags=["x"]']
    assert cli("run", f"{cards}:card", *args) == 0
    assert json.loads(capsys.readouterr().out) == {"reply": "<7|5|['x']>>"}


def test_run_reads_values_from_files_and_standard_input(
    cli: Cli,
    cards: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Grüße")
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe"))
    for value, text in ((f"@{letter}", "Grüße"), ("@-", "from a pipe"), ("@@home", "@home")):
        assert cli("run", f"{cards}:card", "--arg", f"text={value}") == 0
        assert json.loads(capsys.readouterr().out) == {"reply": f"<{text}|3|None>>"}


def test_run_with_text_prints_all_text(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("run", f"{cards}:card", "--arg", "text=a", "--text") == 0
    assert capsys.readouterr().out == "a|3|None><a|3|None>>\n"


def test_run_passes_the_sampling_options_on(cli: Cli, cards: Path) -> None:
    backend = ScriptedBackend("x")
    options = ["--temperature", "0.5", "--seed", "9"]
    assert cli("run", f"{cards}:card", "--arg", "text=a", *options, backend=backend) == 0
    [request] = backend.requests
    assert isinstance(request, GenRequest)
    assert (request.params.temperature, request.params.seed) == (0.5, 9)


@pytest.mark.parametrize(
    ("reference", "args", "words"),
    [
        ("card", [], "requires it"),
        ("card", ["text"], "expected NAME=VALUE"),
        ("card", ["text=a", "text=b"], "given twice"),
        ("card", ["text=a", "shot=1"], "it takes text, shots, tags"),
        ("card", ["text=a", "shots=few"], "valid integer"),
        ("card", ["text=@absent.txt"], "cannot read 'absent.txt'"),
        ("crad", ["text=a"], "has no 'crad'; its programs: card"),
        ("unresolved", ["text=a"], "'Missing'"),
    ],
)
def test_a_wrong_command_line_exits_2_with_one_message(
    cli: Cli,
    cards: Path,
    capsys: pytest.CaptureFixture[str],
    reference: str,
    args: list[str],
    words: str,
) -> None:
    options = [part for arg in args for part in ("--arg", arg)]
    assert cli("run", f"{cards}:{reference}", *options) == 2
    err = capsys.readouterr().err
    assert err.startswith("treegram run: ")
    assert words in err
    assert "Traceback" not in err


def test_a_sampling_option_out_of_range_exits_2(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("run", f"{cards}:card", "--arg", "text=a", "--temperature", "-1") == 2
    assert "temperature" in capsys.readouterr().err


def test_an_exception_of_the_program_exits_1_and_shows_its_line(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ([], ["--text"]):
        assert cli("run", f"{cards}:broken", "--arg", "text=a", *text) == 1
        err = capsys.readouterr().err
        assert "LookupError: nothing found" in err
        assert 'raise LookupError("nothing found")' in err
        assert "Traceback" not in err


def test_a_file_that_does_not_parse_shows_where(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cli_bad.py"
    file.write_text("x = 1\ndef f(:\n")
    assert cli("run", f"{file}:f") == 1
    err = capsys.readouterr().err
    assert "line 2" in err
    assert "def f(:" in err


def test_an_output_that_was_cut_exits_1(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = ScriptedBackend([Answer('{"name": "A', "length")])
    assert cli("run", f"{cards}:person", "--arg", "text=a", backend=backend) == 1
    assert "max_tokens" in capsys.readouterr().err


# batch


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
    err = capsys.readouterr().err
    assert "7 rows in" in err
    assert "2 good, 5 failed" in err
    assert "3 x ParameterError" in err


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


# compile


def compiled(capsys: pytest.CaptureFixture[str], *argv: object) -> Grammar:
    assert main(["compile", *map(str, argv)]) == 0
    return Grammar.from_gbnf(capsys.readouterr().out)


def test_compile_prints_gbnf_of_every_kind_of_constraint(
    cards: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}
    file = cards.parent / "schema.json"
    file.write_text(json.dumps(schema))
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(schema)))
    for argv, good, bad in (
        (["--regex", "[0-9]{2}"], "42", "4"),
        (["--choices", "yes", "no"], "no", "maybe"),
        (["--schema", file], "[true]", "[1]"),
        (["--schema", "-"], "[true]", "[1]"),
        (["--type", f"{cards}:Person"], '{"name": "A", "age": 3}', '{"name": "A"}'),
    ):
        grammar = compiled(capsys, *argv)
        assert grammar.accepts(good)
        assert not grammar.accepts(bad)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--regex", "[0-9+"], "column 0\n  [0-9+\n  ^"),
        (["--choices", "a", "a"], "choices"),
        (["--schema", "absent.json"], "cannot read"),
        (["--type", "absent.py:X"], "no such file"),
    ],
)
def test_a_constraint_that_cannot_be_compiled_exits_2(
    capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    assert main(["compile", *argv]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "line 1 column 2"), ("[" * 100_000, "too deeply"), ('{"type": "strnig"}', "$")],
)
def test_a_schema_file_that_is_wrong_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    file = tmp_path / "schema.json"
    file.write_text(text)
    assert main(["compile", "--schema", str(file)]) == 2
    assert words in capsys.readouterr().err


def test_a_bug_of_treegrams_own_keeps_its_traceback(cards: Path) -> None:
    class Buggy:
        def model(self, name: str | None) -> Backend:
            raise AssertionError("a bug")

    with pytest.raises(AssertionError, match="a bug"):
        main(["run", f"{cards}:card", "--arg", "text=a"], provider=Buggy())


# help


@pytest.mark.parametrize("command", ["", "run", "batch", "compile", "serve"])
def test_help_has_examples(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command.split(), "--help"])
    assert caught.value.code == 0
    assert "examples:\n  " in capsys.readouterr().out


@pytest.mark.slow
def test_reading_the_command_line_loads_neither_engine_nor_server() -> None:
    code = (
        "import sys\n"
        "from treegram.runtime.cli import main\n"
        "try:\n    main(['batch'])\nexcept SystemExit as exc:\n    assert exc.code == 2\n"
        "heavy = {'llama_cpp', 'fastapi', 'uvicorn', 'tqdm'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""The commands as a user types them, on a scripted backend in place of a model."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from treegram.lang.base import Backend, GenRequest
from treegram.lang.grammar import Grammar
from treegram.lang.scripted import Answer, ScriptedBackend
from treegram.runtime.cli import main

Cli = Callable[..., int]

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


def test_run_with_stream_prints_each_generation_after_its_name(
    cli: Cli, cards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("run", f"{cards}:twice", "--stream", backend=ScriptedBackend("good morning")) == 0
    assert capsys.readouterr().out == "first: good morning\nsecond: good morning\n"


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
    for text in ([], ["--text"], ["--stream"]):
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
    backend = ScriptedBackend([Answer('{"name": "A', "length")] * 3)
    for mode in ([], ["--text"], ["--stream"]):
        assert cli("run", f"{cards}:person", "--arg", "text=a", *mode, backend=backend) == 1
        assert "max_tokens" in capsys.readouterr().err


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
    lark = cards.parent / "grammar.lark"
    lark.write_text('start: "a" "b"')
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(schema)))
    for argv, good, bad in (
        (["--regex", "[0-9]{2}"], "42", "4"),
        (["--choices", "yes", "no"], "no", "maybe"),
        (["--schema", file], "[true]", "[1]"),
        (["--schema", "-"], "[true]", "[1]"),
        (["--type", f"{cards}:Person"], '{"name": "A", "age": 3}', '{"name": "A"}'),
        (["--type", f"{cards}:Person", "--whitespace", "compact"], '{"name":"A","age":3}', "{}"),
        (["--type", f"{cards}:Person", "--key-order", "free"], '{"age": 3, "name": "A"}', "{}"),
        (["--grammar", lark], "ab", "ba"),
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


def test_what_is_not_enforced_is_noted_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "schema.json"
    file.write_text('{"enum": [[1, 1], [1, 2]], "not": {"uniqueItems": true}, "format": "plate"}')
    assert main(["compile", "--schema", str(file), "--lenient"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("root ::=")
    assert "note: $: format: " in captured.err


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

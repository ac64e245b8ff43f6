"""Every example runs on the embedded model, and what it generates satisfies its constraint.

A recorder between the programs and the model keeps every request with its result, so that the
constraints are checked on all generations of an example, by `re`, `jsonschema` and membership, and
not only on those it prints.
"""

from __future__ import annotations

import importlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest

import treegram as tg
from treegram.lang.base import GenRequest, GenResult, Prompt, Request, Result, SelectRequest
from treegram.runtime.cli import main as treegram_command
from treegram.runtime.loading import load_program
from treegram.runtime.model import Model
from treegram.runtime.parameters import Parameters

EXAMPLES = Path(__file__).parent.parent / "examples"


class Recorder:
    """A backend, and a provider of itself, that remembers what passes through it."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._passed: list[tuple[Request, tg.Handle]] = []

    def model(self, name: str | None) -> Recorder:
        return self

    def render_chat(self, messages: Sequence[tg.Message], add_generation_prompt: bool) -> Prompt:
        return self._model.render_chat(messages, add_generation_prompt)

    def submit(self, request: Request, on_text: Callable[[str], None] | None = None) -> tg.Handle:
        handle = self._model.submit(request, on_text)
        self._passed.append((request, handle))
        return handle

    def results(self) -> list[tuple[Request, Result]]:
        """Every request with its result; raises if one failed or still runs."""
        return [(request, handle.result(timeout=0)) for request, handle in self._passed]

    def constrained_texts(self) -> list[str]:
        """The texts generated under a grammar, of which none was cut by max_tokens."""
        texts = []
        for request, result in self.results():
            if isinstance(request, GenRequest) and request.grammar is not None:
                assert isinstance(result, GenResult)
                assert result.finish_reason != "length"
                texts.append(result.text)
        return texts


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports an example by name."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


@pytest.fixture
def recorder(embedded_model: Model, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Records what runs without `model=`."""
    recorder = Recorder(embedded_model)
    monkeypatch.setattr("treegram.lang.provider._Default.provider", recorder)
    return recorder


PROGRAMS = {
    "classify_few_shot.py:classify": 'headline="A cake"',
    "outline_expand.py:article": "topic=rivers",
    "judge.py:judge": 'answers=["Go away.", "A new password is in your mail."]',
    "retrieval.py:answer": "question=What is a lambda expression?",
    "agent.py:answer": "question=What do 2 saws cost?",
    "cite.py:answer": "question=Who wrote the letter?",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_parameters_are_typed(program: str) -> None:
    """So that the command line and the server can check and document them."""
    described = Parameters(load_program(f"{EXAMPLES}/{program}")).describe()
    assert all(parameter["schema"] for parameter in described)


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize(("program", "argument"), PROGRAMS.items())
def test_runs_from_the_command_line(
    program: str, argument: str, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", f"{EXAMPLES}/{program}", "--arg", argument]
    assert treegram_command(command, provider=recorder) == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.model
@pytest.mark.slow
def test_classify_few_shot(
    example: Callable[[str], ModuleType], recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    module = example("classify_few_shot")
    assert module.main() == 0
    printed = capsys.readouterr().out
    results = recorder.results()
    assert len(results) == len(module.HEADLINES) == 20
    assert all(isinstance(request, SelectRequest) for request, _ in results)
    assert {result.text for _, result in results} <= {"sport", "business", "science", "food"}
    accuracy = re.search(r"accuracy +(\d+) of 20", printed)
    assert accuracy is not None
    assert int(accuracy[1]) >= 16
    share = re.search(r"\((\d+\.\d)%\) were not evaluated again", printed)
    assert share is not None
    assert float(share[1]) > 80


@pytest.mark.model
@pytest.mark.slow
def test_outline_expand(
    example: Callable[[str], ModuleType], recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    module = example("outline_expand")
    assert module.main() == 0
    printed = capsys.readouterr().out
    items = recorder.constrained_texts()
    assert len(items) == 4 * len(module.TOPICS)
    for item in items:
        assert re.fullmatch(r"(What|Why|How|Where) [a-z ]{5,50}\?", item)
        assert item in printed


@pytest.mark.model
@pytest.mark.slow
def test_outline_is_expanded_in_order(
    example: Callable[[str], ModuleType], recorder: Recorder
) -> None:
    """The joined text holds each question of the outline again, followed by its answer."""
    state = example("outline_expand").article.run("libraries")
    article = state.text().rpartition("Topic: libraries\n")[2].splitlines()
    outline = [state[word] for word in ("What", "Why", "How", "Where")]
    assert article[:4] == [f"- {question}" for question in outline]
    assert [line.partition("?")[0] + "?" for line in article[4:]] == outline
    answers = [line.partition("?")[2].strip() for line in article[4:]]
    assert answers == state["answers"]


@pytest.mark.model
@pytest.mark.slow
def test_judge(
    example: Callable[[str], ModuleType], recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    module = example("judge")
    assert module.main() == 0
    printed = capsys.readouterr().out
    results = recorder.results()
    assert len(results) == 8
    for request, result in results:
        assert isinstance(request, SelectRequest)
        assert result.text in request.choices
    (best,) = [line for line in printed.splitlines() if line.endswith("<- send this")]
    assert "you can reset your password" in best


@pytest.fixture
def retrieval(example: Callable[[str], ModuleType]) -> Iterator[ModuleType]:
    """The retrieval example with an index of its own."""
    module = example("retrieval")
    yield module
    if module.index.cache_info().currsize:
        module.index().close()
    module.index.cache_clear()


@pytest.mark.model
@pytest.mark.slow
def test_retrieval(
    retrieval: ModuleType, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert retrieval.main() == 0
    printed = capsys.readouterr().out
    reference = " ".join(" ".join(retrieval.topics.values()).split())
    results = recorder.results()
    assert len(results) == len(retrieval.QUESTIONS)
    for request, result in results:
        assert isinstance(request, SelectRequest)
        assert result.text in request.choices
        assert result.text in reference
        assert result.text in printed
    assert "found   lambda" in printed
    # the second question is about the paragraphs of the first
    assert results[1][1].usage.cached_tokens > 40


def test_retrieval_finds_the_best_paragraphs_in_a_fixed_order(retrieval: ModuleType) -> None:
    hits = retrieval.search("Is a lambda expression a function?", k=3)
    assert "lambda" in {hit.topic for hit in hits}
    assert len(hits) == 3
    assert hits == sorted(hits)


@pytest.mark.parametrize("question", ["", "?!", "What is it?", 'zzz "AND* (', "NEAR OR NOT xyzzy"])
def test_any_question_can_be_searched(retrieval: ModuleType, question: str) -> None:
    """FTS5 has a query language; what a person asks is never taken for it."""
    assert len(retrieval.search(question)) <= 2


class WithoutFts5(sqlite3.Connection):
    """A connection whose SQLite lacks the module."""

    def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
        return super().execute(sql.replace("USING fts5", "USING missing_module"))


def test_retrieval_without_fts5_says_so(
    retrieval: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(":memory:", factory=WithoutFts5) as database:
        monkeypatch.setattr(retrieval.sqlite3, "connect", lambda *_, **__: database)
        assert retrieval.main() == 1
    database.close()
    captured = capsys.readouterr()
    assert "no full-text search" in captured.err
    assert captured.out == ""


@pytest.mark.model
@pytest.mark.slow
def test_cite(
    example: Callable[[str], ModuleType], recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    module = example("cite")
    assert module.main() == 0
    printed = capsys.readouterr().out
    texts = recorder.constrained_texts()
    assert len(texts) == len(module.QUESTIONS)
    for text in texts:
        _, quote, rest = text.split('"')
        assert quote in module.LETTER
        assert f"[{quote}]" in printed
        assert rest == ""


@pytest.mark.model
@pytest.mark.slow
def test_agent(
    example: Callable[[str], ModuleType], recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    module = example("agent")
    assert module.main() == 0
    printed = capsys.readouterr().out
    calls = recorder.constrained_texts()
    assert len(calls) >= 2 * len(module.QUESTIONS)
    for call in calls:
        assert re.fullmatch(
            r'price\("[a-z ]{1,20}"\)|calculate\("[0-9 .*/+-]{1,30}"\)|finish\("[\w .]{1,30}"\)',
            call,
        )
        assert call in printed
    assert "12.50 each" in printed
    assert "answer   37.50" in printed


@pytest.mark.parametrize(
    ("expression", "value"),
    [("3 * 12.50", "37.50"), ("2 + 3 * 4 - 1", "13.00"), ("-7 / 2", "-3.50"), (" 1 ", "1.00")],
)
def test_the_calculator_is_right(
    example: Callable[[str], ModuleType], expression: str, value: str
) -> None:
    assert example("agent").calculate(expression) == value
    assert Fraction(value) == Fraction(eval(expression))


@pytest.mark.parametrize(
    "expression", ["", "2 **** 3", "9 ** 9", "1 / 0", "__import__('os')", "'a' * 3", "1 <", "007"]
)
def test_the_calculator_refuses_everything_else(
    example: Callable[[str], ModuleType], expression: str
) -> None:
    assert example("agent").calculate(expression).startswith("cannot calculate that: ")


@pytest.mark.model
@pytest.mark.slow
def test_extract_metadata(
    example: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demo loads a model of its own."""
    output = tmp_path / "packages.jsonl"
    assert example("extract_metadata").main(["--rows", "4", "--output", str(output)]) == 0
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 4
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "license": {"enum": ["MIT", "BSD", "Apache", "MPL", "other"]},
        },
        "required": ["name", "version", "license", "text", "right"],
    }
    for line in lines:
        jsonschema.validate(line, schema)
    printed = capsys.readouterr().out
    assert re.search(r"accuracy +\d/4 rows right", printed)
    assert re.search(r"ratio 1\.0[01]\d", printed)

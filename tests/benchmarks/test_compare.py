"""The comparison asks every engine the same, counts what must be computed, loses no result."""

from __future__ import annotations

import bz2
import json
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from treegram.lang.base import Request, SelectRequest
from treegram.lang.conversation import text_of
from treegram.lang.scripted import ScriptedBackend

if TYPE_CHECKING:
    from workloads.base import Branch, Workload
    from workloads.data import Data
    from workloads.log import Log

HERE = Path(__file__).parent
NAMES = [
    *("multiple-choice", "ranking", "ranking-by-token", "agent", "tree-of-thought", "skeleton"),
    *("judge", "json", "chat-short", "chat-long", "rag", "shared-prefix", "prefix-repetition"),
    "nothing-shared",
]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark's modules by their own names, as its child processes import them."""
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture
def data() -> Data:
    """From installed packages, which every machine has that can run the tests."""
    found: Data = import_module("workloads.data").load(None)
    return found


def made(name: str, data: Data) -> Workload:
    found: Workload = import_module("workloads.catalog").workload(name, data, quick=True)
    return found


# --- the same for every engine -------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_catalog_gives_the_same_rows_every_time(name: str, data: Data) -> None:
    first, second = made(name, data), made(name, data)
    assert list(first.rows) == list(second.rows)
    assert len(first.rows) > 1
    assert set(NAMES) == set(import_module("workloads.catalog").WORKLOADS)


@pytest.mark.parametrize("name", NAMES)
def test_a_completing_engine_is_asked_what_treegram_is_asked(name: str, data: Data) -> None:
    """Both ways of running a program send the same prompts, though not in the same order."""
    task = made(name, data)
    for row in task.rows[:2]:
        # what a `gen` is given: JSON, or the choice that the recorder makes too
        expected = task.expected(row) if task.expected else ""
        if name == "ranking-by-token":
            expected = row.endings[0]

        def answer(request: Request, expected: str = expected) -> str:
            if isinstance(request, SelectRequest):
                return request.choices[0]
            return expected or " the" * request.max_tokens

        backend = ScriptedBackend(answer)
        program = import_module("workloads.engine_treegram")._program
        own = program.run(workload=task, row=row, model=backend).value
        recorder = _recorder(expected)
        other = task.program(import_module("workloads.completions").TextBranch(recorder), row)
        assert Counter(text_of(request.prompt) for request in backend.requests) == Counter(
            recorder.prompts
        )
        assert own == other


def _recorder(expected: str) -> Any:
    completions = import_module("workloads.completions")

    class Recorder(completions.Completions):  # type: ignore[misc, name-defined] # imported by name
        """Answers as the scripted backend does, and keeps what it was asked."""

        def __init__(self) -> None:
            super().__init__()
            self.prompts: list[str] = []

        def complete(self, prompt: str, tokens: int) -> str:
            self.prompts.append(prompt)
            return " the" * tokens

        def choose(self, prompt: str, options: Sequence[str]) -> str:
            self.prompts.append(prompt)
            return options[0]

        def extract(self, prompt: str, schema: object, tokens: int) -> str:
            self.prompts.append(prompt)
            return expected

        def reply(self, messages: Sequence[dict[str, str]], tokens: int) -> str:
            text = "".join(
                f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n"
                for message in messages
            )
            return self.complete(f"{text}<|im_start|>assistant\n", tokens)

        def counts(self) -> object:
            raise NotImplementedError

        def close(self) -> None:
            pass

    return Recorder()


def test_right_answers_are_judged_right_and_others_wrong(data: Data) -> None:
    for name in ("multiple-choice", "ranking", "ranking-by-token"):
        task = made(name, data)
        assert task.right([row.right for row in task.rows]) == len(task.rows)
        assert task.right(["no" for _ in task.rows]) == 0
    task = made("json", data)
    assert task.expected is not None
    assert task.right([task.expected(row) for row in task.rows]) == len(task.rows)
    assert task.right(["{" for _ in task.rows]) == 0
    assert made("agent", data).right([None, None, None]) is None


def test_choices_become_gbnf_that_allows_just_them() -> None:
    import treegram as tg

    options = [' "a"\\b', " two\nlines", " café"]
    grammar = tg.Grammar.from_gbnf(import_module("workloads.completions").choice_grammar(options))
    assert all(grammar.accepts(option) for option in options)
    assert not grammar.accepts(options[0] + options[1])


# --- what must be computed -----------------------------------------------------------------------


def characters(text: str, *, start: bool = True, control: bool = False) -> list[int]:
    """One token a character, and no token that begins a text."""
    return [ord(character) for character in text]


def counted(program: Any, rows: Sequence[object]) -> tuple[int, int]:
    """Prefilled, decoded."""
    base = import_module("workloads.base")
    plan = import_module("workloads.ceiling").count(base.Workload("w", rows, program), characters)
    return plan.prefilled, plan.decoded


def test_a_shared_prompt_counts_once() -> None:
    def program(s: Branch, row: str) -> None:
        s.add("shared")
        s.add(row)
        s.generate("x", 5)

    # the first generated token comes with the prompt, the last one is not evaluated
    assert counted(program, ["a"]) == (7, 4)
    assert counted(program, ["a", "b", "ac"]) == (6 + 1 + 1 + 1, 12)
    assert counted(program, ["a", "a"]) == (7, 4)


def test_the_last_token_counts_where_text_follows() -> None:
    def program(s: Branch, row: str) -> None:
        s.add(row)
        s.generate("x", 5)
        s.add("de")
        s.generate("y", 1)

    assert counted(program, ["abc"]) == (3 + 1 + 2, 4)


def test_following_evaluates_up_to_where_one_option_is_left() -> None:
    def program(s: Branch, row: str) -> None:
        s.add("prompt")
        s.follow("x", ["abc", "abd", "q"])
        s.add("!")
        s.generate("y", 1)

    # behind "ab", whose two tokens are evaluated one after the other, "c" is certain
    assert counted(program, [""]) == (6 + 2, 2)


def test_branches_share_what_came_before_them() -> None:
    def body(s: Branch, index: int) -> None:
        s.add("12"[index])
        s.generate("x", 3)

    def program(s: Branch, row: str) -> None:
        s.add(row)
        s.fork(2, body)

    assert counted(program, ["abc"]) == (3 + 2, 4)


def test_options_are_scored_but_for_their_last_tokens() -> None:
    def program(s: Branch, row: str) -> None:
        s.add(row)
        s.select("x", ["one", "on", "two"])
        s.add("!")
        s.generate("y", 1)

    # o n | t w for the scores, then the first option's third token and the text behind it
    assert counted(program, ["abc"]) == (3 + 4 + 1 + 1, 0)


@pytest.mark.model
def test_the_count_agrees_with_the_engines_own(data: Data) -> None:
    """The minimum of the run, and that treegram evaluates hardly more."""
    from treegram.runtime.runtime import embedded_model_path

    peer, ceiling = import_module("peer"), import_module("workloads.ceiling")
    engine = import_module("workloads.engine_treegram").Treegram(
        peer.Setup(embedded_model_path(), threads=1)
    )
    try:
        task = import_module("workloads.shared_prefix").prefix_repetition(data, 4, 2, 30)
        engine.run(task)
        found = engine.counts()
        encode = engine._model.tokenizer.encode
        plan = ceiling.count(
            task, lambda text, start=True, control=False: encode(text, special=control, start=start)
        )
    finally:
        engine.close()
    # the end of each prompt was healed: its last token is written anew
    assert 4 * 16 <= found.generated <= 4 * 17
    assert found.evaluated <= 1.01 * found.minimum
    assert plan.prefilled + plan.decoded == pytest.approx(found.minimum, rel=0.02)


# --- where questions come from -------------------------------------------------------------------


def test_public_test_sets_are_read_as_published(tmp_path: Path) -> None:
    for split in ("dev", "test"):
        (tmp_path / f"mmlu-world_facts-{split}.csv").write_text(
            'question,choice0,choice1,choice2,choice3,answer\n" Which, then?",a,b,"c, d",e,2\n'
        )
    with bz2.open(tmp_path / "hellaswag-val.txt.bz2", "wt") as file:
        file.write("He sits. he\n3\nruns.\njumps.\nsings.\nstands up.\n")
    (tmp_path / "gsm8k-test.jsonl").write_text(
        json.dumps({"question": "How many?", "answer": "1 + 1 = 2\n#### 1,002"}) + "\n"
    )
    (tmp_path / "hotpot-dev.json").write_text(json.dumps([{"question": "Who?", "answer": "I"}]))
    (tmp_path / "mt-bench-questions.jsonl").write_text(json.dumps({"turns": ["Hi", "Bye"]}) + "\n")
    module = import_module("workloads.data")
    found = module.load(tmp_path)
    choice = module.Choice("Which, then?", ("a", "b", "c, d", "e"), 2)
    assert found.subjects == (module.Subject("world facts", (choice,), (choice,)),)
    assert found.endings[0].options[found.endings[0].right] == "stands up."
    assert found.problems == (module.Problem("How many?", "1002"),)
    assert found.questions == (module.Problem("Who?", "I"),)
    assert found.turns == (("Hi", "Bye"),)
    (tmp_path / "gsm8k-test.jsonl").unlink()
    with pytest.raises(module.MissingData, match="gsm8k"):
        module.load(tmp_path)


# --- results -------------------------------------------------------------------------------------


def begun(folder: Path, **asked: object) -> Log:
    log: Log = import_module("workloads.log").Log(folder)
    machine = {"started": "now", "processor": "p", "load": 0.1, "commit": "c", "versions": {}}
    log.begin(asked or {"quick": True}, machine, resume=True)
    return log


def pair(engine: str, workload: str = "w") -> Any:
    return import_module("workloads.log").Pair("m", workload, engine)


def test_a_log_gives_back_what_was_added(tmp_path: Path) -> None:
    first = begun(tmp_path)
    first.add(pair("treegram"), {"seconds": 2.0})
    first.add(pair("treegram"), {"seconds": 4.0})
    first.add(pair("guidance"), {"late": 90.0})
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"pair": {"mod')  # the next line was cut
    second = begun(tmp_path)
    second.add(pair("outlines"), {"skipped": "not installed"})
    third = import_module("workloads.log").Log(tmp_path)
    assert third.records == second.records
    assert third.median(pair("treegram"), "seconds") == 3.0
    assert third.done(pair("treegram"), 90.0) == 2
    # a higher limit and a new installation are reasons to try again
    assert [third.done(pair("guidance"), limit) for limit in (60.0, 90.0, 120.0)] == [1, 1, 0]
    assert third.done(pair("outlines"), 90.0) == 0


def test_results_of_other_runs_are_not_mixed(tmp_path: Path) -> None:
    begun(tmp_path)
    with pytest.raises(import_module("results_folder").Mismatch, match="quick"):
        begun(tmp_path, quick=False)


def test_tables_compare_with_treegram_and_the_ceiling(tmp_path: Path) -> None:
    log = begun(tmp_path)
    log.add(pair("ceiling"), {"seconds": 1.6, "seconds_at_depth": 1.8, "load": 0.5})
    own = {"evaluated": 101, "minimum": 100, "steps": 10, "decode_seconds": 1.9, "generated": 40}
    log.add(pair("treegram"), {"seconds": 2.0, "load": 0.5, "rows": 4, "right": 3, **own})
    log.add(pair("guidance"), {"seconds": 3.0, "rows": 4, "right": 2})
    log.add(pair("llama-server-1"), {"seconds": 5.0, "rows": 4, "right": 4, "generated": 44})
    log.add(pair("llama-cpp-python"), {"late": 90.0})
    log.add(pair("outlines"), {"skipped": "pip install outlines"})
    lines = import_module("workloads.report").report(log).splitlines()
    assert "| w | 1.60 | 2.00 | 80% | 90% | **1.50** | 2.50 | > 45.0 | skipped |" in lines
    assert "| w | 101 | 100 | 1.010 | 40 | 10.1 | 95% | 0.5 |" in lines
    assert "| w | 3/4, 40 | 2/4 | 4/4, 44 |  |  |" in lines
    assert "- llama-cpp-python: not done after 90 s (w)" in lines
    assert "- outlines: skipped: pip install outlines (w)" in lines


def test_enough_rounds_give_an_interval_around_the_ratio() -> None:
    interval = import_module("workloads.report").interval
    assert interval([2.0] * 4, [1.0] * 4) is None
    assert interval([2.0] * 6, [1.0] * 5) is None
    assert interval([2.0] * 5, [1.0] * 5) == (2.0, 2.0)
    # rounds are compared with each other: load that doubles both times is no spread
    assert interval([2.0, 4.0] * 5, [1.0, 2.0] * 5) == (2.0, 2.0)
    low, high = interval([1.0, 2.0, 3.0, 4.0, 5.0], [1.0] * 5)
    assert 1.0 <= low < 3.0 < high <= 5.0


@pytest.mark.parametrize(
    ("body", "record"),
    [
        ("Path(sys.argv[2]).write_text(sys.argv[1])", {"x": 1}),
        ("sys.exit('no such thing')", {"failed": "no such thing"}),
        ("pass", {"failed": "exit status 0"}),
        ("signal.pause()", {"late": 0.3}),
    ],
)
def test_a_child_that_gives_no_record_costs_only_itself(
    body: str, record: dict[str, object], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import signal, sys\nfrom pathlib import Path\n{body}\n")
    limit_s = 0.3 if "late" in record else 30.0
    assert import_module("child").run_child(script, {"x": 1}, limit_s) == record

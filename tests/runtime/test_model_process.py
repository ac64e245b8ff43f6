"""The engine in a process of its own, through the real model: the same answers, and crashes."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal
from unittest.mock import Mock

import pytest

import treegram as tg
from treegram.lang.base import (
    GenRequest,
    GenResult,
    Handle,
    Message,
    Request,
    Result,
    SelectRequest,
    Text,
)
from treegram.lang.errors import (
    CancelledError,
    ContextOverflowError,
    EngineError,
    ModelError,
    ParameterError,
)
from treegram.lang.grammar import Grammar
from treegram.lang.json_schema.layout import Layout
from treegram.lang.sampling import SamplingParams
from treegram.radix_cache.disk import SUFFIX
from treegram.runtime.base import LoadedModel
from treegram.runtime.engine_process import ModelProcess
from treegram.runtime.engine_process.child import _Server
from treegram.runtime.engine_process.codec import UnknownGrammar, encode
from treegram.runtime.engine_process.process import EngineProcess
from treegram.runtime.model import Model
from treegram.runtime.model_options import ModelOptions
from treegram.runtime.runtime import Runtime

pytestmark = [pytest.mark.model, pytest.mark.slow]
OPTIONS = ModelOptions(n_ctx=1024, n_threads=1, prepared_bytes=0)
ENDLESS = GenRequest((Text("Once upon a time"),), max_tokens=900, ignore_eos=True)


@pytest.fixture(scope="module")
def shared(embedded_path: Path) -> Iterator[ModelProcess]:
    """A model for all these tests; those that kill its process let the next one answer."""
    model = ModelProcess("smollm2", embedded_path, OPTIONS)
    yield model
    model.close()


def streaming(model: ModelProcess) -> Handle:
    """A request that has written something, and will go on for long."""
    texts: queue.Queue[str] = queue.Queue()
    handle = model.submit(ENDLESS, texts.put)
    texts.get(timeout=60)
    return handle


def kill(model: ModelProcess, number: int = signal.SIGKILL) -> None:
    os.kill(model.pid, number)


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline


def wait_gone(pid: int) -> None:
    """Until a process has ended, whoever is to reap it."""
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return
    assert not Path(f"/proc/{pid}").exists()


def requests() -> list[Request]:
    """Twenty of all kinds, none of which shares what another computes."""
    schema = Grammar.from_schema({"enum": [{"n": 1}, {"n": 2}]}, Layout())
    found: list[Request] = []
    for word in "owl heron falcon ibis wren".split():
        prompt = (Text(f"The bird called {word} is"),)
        sampled = SamplingParams(temperature=0.8, seed=3, logprobs=2)
        found += [
            GenRequest(prompt, max_tokens=4, namespace=f"{word} 0"),
            GenRequest(prompt, sampled, max_tokens=4, namespace=f"{word} 1"),
            GenRequest(prompt, grammar=schema, confidence=True, namespace=f"{word} 2"),
            SelectRequest(prompt, (" big", " small"), namespace=f"{word} 3"),
        ]
    return found


def run_together(model: LoadedModel) -> tuple[list[Result], list[str]]:
    """The results of `requests`, each submitted by a thread of its own, and what was streamed."""
    streamed = [""] * len(requests())
    handles: dict[int, Handle] = {}

    def submit(n: int, request: Request) -> None:
        def add(text: str) -> None:
            streamed[n] += text

        handles[n] = model.submit(request, add)

    threads = [threading.Thread(target=submit, args=pair) for pair in enumerate(requests())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [handles[n].result(120) for n in range(len(threads))], streamed


def test_concurrent_requests_give_what_the_engine_in_a_thread_gives(embedded_path: Path) -> None:
    """One request in a batch, so that the order in which they come does not show in the logits."""
    options = replace(OPTIONS, max_running=1, idle_cells=0)
    outcomes = []
    for load in (Model, ModelProcess):
        model: LoadedModel = load("smollm2", embedded_path, options)
        try:
            outcomes.append(run_together(model))
        finally:
            model.close()
    (here, streamed_here), (there, streamed_there) = outcomes
    assert here == there
    assert streamed_here == streamed_there == [result.text for result in here]


def test_programs_run_on_it(shared: ModelProcess) -> None:
    @tg.function
    def birds(s: tg.State) -> None:
        s += tg.user("Name a bird.")
        forks = s.fork(3)
        forks += tg.assistant(tg.gen("bird", max_tokens=4))
        forks.join()
        s += tg.user("And its size?")
        s += tg.assistant(tg.select("size", ["small", "large"]))

    before = shared.stats().requests
    assert birds.run(model=shared)["size"] in ("small", "large")
    assert shared.stats().requests == before + 4
    assert shared.n_ctx == 1024
    assert shared.count_tokens("one two three") == 3


def test_a_runtime_knows_two_engines() -> None:
    with pytest.raises(ParameterError, match="'thread' or 'process'"):
        Runtime(engine="both")  # type: ignore[arg-type]


def test_prompts_are_rendered_alike(shared: ModelProcess, embedded_model: Model) -> None:
    messages = [Message("system", (Text("Be brief."),)), Message("user", (Text("Hi"),))]
    assert shared.render_chat(messages, True) == embedded_model.render_chat(messages, True)


def test_what_is_known_at_once_is_raised_at_once(shared: ModelProcess) -> None:
    with pytest.raises(ContextOverflowError) as caught:
        shared.submit(GenRequest((Text("word " * 2000),)))
    assert caught.value.context_tokens == shared.n_ctx
    with pytest.raises(ParameterError, match="not in the vocabulary"):
        shared.submit(GenRequest((Text("a"),), stop_token_ids=(1 << 30,)))


def test_cancelling_ends_a_request_and_frees_the_engine(shared: ModelProcess) -> None:
    handle = streaming(shared)
    handle.cancel()
    with pytest.raises(CancelledError):
        handle.result(60)
    handle.cancel()
    assert shared.stats().running == 0


def test_a_callback_that_exits_ends_no_thread_of_ours(shared: ModelProcess) -> None:
    def leave(_: Handle) -> None:
        sys.exit(1)

    request = GenRequest((Text("One, two,"),), max_tokens=8)
    handle = shared.submit(request)
    handle.add_done_callback(leave)
    handle.result(60)
    assert shared.submit(request).result(60)


def test_a_grammar_that_comes_twice_at_once_reaches_both() -> None:
    """One request without its text, which the other, that has it, waits for."""
    grammar = Grammar.from_regex("[ab]{3}")
    server = _Server(Mock(), Mock())  # neither is asked for anything
    both = threading.Barrier(2)

    def without_text() -> Grammar:
        both.wait(10)
        time.sleep(0.2)  # until the other waits for this
        raise UnknownGrammar(grammar.key)

    def fail() -> None:
        with pytest.raises(UnknownGrammar):
            server._grammars.get(grammar.key, without_text)

    first = threading.Thread(target=fail)
    first.start()
    both.wait(10)
    text = json.loads(encode(grammar, with_grammars=True))["Grammar"][1]
    assert server._grammar(grammar.key, text).key == grammar.key
    first.join()


def test_a_failing_on_text_fails_its_request(shared: ModelProcess) -> None:
    def fail(text: str) -> None:
        raise LookupError(text)

    with pytest.raises(LookupError):
        shared.submit(ENDLESS, fail).result(60)
    while shared.stats().running:
        pass


def test_a_callback_may_submit(shared: ModelProcess) -> None:
    """The thread that it holds up is the one that the answers come by."""
    ended: queue.Queue[Handle] = queue.Queue()
    short = GenRequest((Text("One, two,"),), max_tokens=3)

    def again(_: Handle) -> None:
        shared.submit(short, lambda text: None).add_done_callback(ended.put)

    busy = [shared.submit(short, lambda text: None) for _ in range(4)]
    for handle in busy:
        handle.add_done_callback(again)
    for _ in busy:
        assert ended.get(timeout=60).result(0).text


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGKILL, "out of memory"),
        (signal.SIGABRT, "llama.cpp crashed: .*last words: .*Aborted"),  # as GGML_ASSERT does
    ],
)
def test_a_crash_fails_what_runs_and_the_next_request_starts_the_engine_again(
    shared: ModelProcess, number: signal.Signals, said: str
) -> None:
    first = shared.pid
    handles = [streaming(shared), streaming(shared)]
    kill(shared, number)
    for handle in handles:
        with pytest.raises(EngineError, match=f"{number.name}.*{said}.*starts it again"):
            handle.result(60)
    result = shared.submit(GenRequest((Text("One, two,"),), max_tokens=2)).result(60)
    assert result.text
    assert shared.pid != first


def test_a_callback_of_a_lost_request_may_ask_for_the_next_process(shared: ModelProcess) -> None:
    ended: queue.Queue[Handle] = queue.Queue()

    def again(_: Handle) -> None:
        shared.submit(GenRequest((Text("One"),), max_tokens=1)).add_done_callback(ended.put)

    for _ in range(2):
        streaming(shared).add_done_callback(again)
    kill(shared)
    for _ in range(2):
        assert isinstance(ended.get(timeout=60).result(0), GenResult)


def test_a_process_that_dies_while_loading_is_an_error(embedded_path: Path) -> None:
    process = EngineProcess("smollm2", embedded_path, OPTIONS)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="SIGKILL"):
        process.wait_ready()
    process.end()


def test_a_model_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    path = tmp_path / "no.gguf"
    path.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="not a GGUF file"):
        ModelProcess("no", path)


def test_signals_to_the_whole_group_are_left_to_the_parent(shared: ModelProcess) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        kill(shared, number)
    assert shared.submit(GenRequest((Text("One"),), max_tokens=1)).result(60).text


def test_closing_fails_what_runs_and_may_be_repeated() -> None:
    with Runtime(options=OPTIONS, engine="process") as runtime:
        model = runtime.model()
        assert isinstance(model, ModelProcess)
        pid = model.pid
        handle = streaming(model)
    with pytest.raises(EngineError, match="closed"):
        handle.result(1)
    model.close()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(EngineError, match="is closed"):
        model.submit(ENDLESS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_of_the_parent_has_no_engine_and_leaves_it_alone(shared: ModelProcess) -> None:
    handle = streaming(shared)
    child = os.fork()
    if not child:
        try:
            shared.submit(ENDLESS)
        except EngineError as error:
            shared.close()
            os._exit("forked" in str(error))
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert shared.submit(GenRequest((Text("One"),), max_tokens=1)).result(60).text
    handle.cancel()


PARENT = """\
import os, sys, time
from pathlib import Path
from treegram.lang.base import GenRequest, Text
from treegram.runtime.engine_process import ModelProcess
from treegram.runtime.model_options import ModelOptions
options = ModelOptions(n_ctx=1024, n_threads=1, prepared_bytes=0)
model = ModelProcess("a", Path(sys.argv[1]), options)
if os.fork() == 0:  # holds no end of the engine's pipes
    time.sleep(60)
    os._exit(0)
model.submit(GenRequest((Text("Once"),), max_tokens=900, ignore_eos=True))
print(model.pid, flush=True)
if sys.argv[2] == "wait":
    time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("end", ["killed", "exits"])
def test_the_engine_ends_with_its_parent(embedded_path: Path, end: str) -> None:
    code = [sys.executable, "-W", "ignore", "-c", PARENT, str(embedded_path)]
    code.append("wait" if end == "killed" else "exit")
    with subprocess.Popen(
        code, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        engine = int(parent.stdout.readline())
        if end == "killed":
            parent.kill()
        wait_gone(engine)
        os.killpg(parent.pid, signal.SIGKILL)


@pytest.mark.parametrize("disk_write", ["back", "through"])
def test_prefixes_on_disk_outlive_a_crash(
    embedded_path: Path, tmp_path: Path, disk_write: Literal["back", "through"]
) -> None:
    """What had been saved before is found by the next process: at the end of the request that
    computed it, if writing goes through, else when a model was closed."""
    shots = "".join(f"Word: {w}\nLength: {len(w)}\n\n" for w in "owl heron falcon ibis".split())
    options = replace(OPTIONS, disk_bytes=1 << 28, disk_folder=tmp_path, disk_write=disk_write)

    def ask(model: ModelProcess, word: str) -> GenResult:
        request = GenRequest((Text(f"{shots}Word: {word}\nLength:"),), max_tokens=2)
        result = model.submit(request).result(60)
        assert isinstance(result, GenResult)
        return result

    model = ModelProcess("smollm2", embedded_path, options)
    try:
        ask(model, "stork")
        if disk_write == "back":
            model.close()
            model = ModelProcess("smollm2", embedded_path, options)
        else:
            wait_for(lambda: any(tmp_path.glob(f"*{SUFFIX}")))
        kill(model)  # what is asked meanwhile goes to the next process
        assert ask(model, "goose").usage.cached_tokens > 20
    finally:
        model.close()


@tg.function
def spelled(s: tg.State, word: str) -> None:
    s += "Words and how they are spelled.\nowl: o w l\nheron: h e r o n\nibis: i b i s\n"
    s += f"{word}:"
    s += tg.gen("letters", max_tokens=2)


def pinned_tokens(model: ModelProcess) -> int:
    return model.stats().cache.pinned_tokens


def test_a_pinned_prefix_is_kept_until_it_is_let_go(shared: ModelProcess) -> None:
    with spelled.cache(model=shared) as prefix:
        assert pinned_tokens(shared) == prefix.tokens > 20
        meta = spelled.run("stork", model=shared).meta("letters")
        assert meta.usage.cached_tokens >= prefix.tokens - 1
    assert pinned_tokens(shared) == 0


def test_the_next_process_pins_what_was_pinned(shared: ModelProcess) -> None:
    with spelled.cache(model=shared) as prefix:
        first = shared.pid
        kill(shared)
        wait_gone(first)
        spelled.run("stork", model=shared)
        assert shared.pid != first
        assert pinned_tokens(shared) == prefix.tokens
        second = shared.pid
        kill(shared)
        wait_gone(second)
    # nothing is started to let go of what went with its process
    spelled.run("stork", model=shared)
    assert pinned_tokens(shared) == 0


def test_a_pin_that_does_not_fit_is_refused_there_too(embedded_path: Path) -> None:
    model = ModelProcess("smollm2", embedded_path, replace(OPTIONS, host_bytes=1 << 10))
    try:
        with pytest.raises(ParameterError, match=r"'spelled .*' of \d+ tokens"):
            spelled.cache(model=model)
        assert pinned_tokens(model) == 0
        first = model.pid
        kill(model)
        wait_gone(first)
        assert spelled.run("stork", model=model).meta("letters").text  # nothing is tried again
    finally:
        model.close()

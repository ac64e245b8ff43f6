"""`treegram serve` as a process: it starts, answers while it loads, drains and exits."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import pytest
from starlette.types import ASGIApp

from treegram.lang.base import Backend, ModelProvider
from treegram.runtime.cli import main
from treegram.runtime.failures import UsageError
from treegram.runtime.model import Model
from treegram.runtime.server.app import create_app
from treegram.runtime.server.serve import listen

PROGRAM = """\
import treegram as tg

@tg.function
def count(s, word: str):
    s += tg.user(f"Say {word}.")
    s += tg.assistant(tg.gen("reply", max_tokens=8))
"""


class Served:
    """A running `treegram serve`."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    file = tmp_path / "serve_program.py"
    file.write_text(PROGRAM)
    command = [sys.executable, "-m", "treegram.runtime.cli", "serve", str(file), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TREEGRAM_API_KEY": ""}
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        try:
            assert found is not None, line
            yield Served(process, found[0])
        finally:
            process.kill()


@pytest.mark.model
@pytest.mark.slow
def test_sigterm_lets_a_running_stream_finish_and_refuses_new_work(served: Served) -> None:
    with (
        openai.OpenAI(base_url=f"{served.url}/v1", api_key="x", max_retries=0) as client,
        httpx.Client(base_url=served.url) as http,
    ):
        assert http.get("/health").json() == {"status": "ok"}
        assert http.get("/v1/programs").json()["data"][0]["name"] == "count"
        with client.completions.create(
            model="smollm2",
            prompt="One, two, three",
            stream=True,
            max_tokens=120,
            extra_body={"ignore_eos": True},
            temperature=0,
        ) as stream:
            chunks = iter(stream)
            assert next(chunks).choices[0].finish_reason is None
            served.process.send_signal(signal.SIGTERM)
            while http.get("/health").status_code != 503:
                pass
            with pytest.raises(openai.InternalServerError, match="shutting down"):
                client.completions.create(model="smollm2", prompt="a")
            rest = list(chunks)
    assert rest[-1].choices[0].finish_reason == "length"
    assert served.process.wait(30) == 0


@pytest.mark.model
@pytest.mark.slow
def test_a_second_signal_cancels_what_still_runs(served: Served) -> None:
    with (
        openai.OpenAI(base_url=f"{served.url}/v1", api_key="x", max_retries=0) as client,
        client.completions.create(
            model="smollm2",
            prompt="One, two, three",
            stream=True,
            max_tokens=4000,
            extra_body={"ignore_eos": True},
        ) as stream,
    ):
        chunks = iter(stream)
        next(chunks)
        served.process.send_signal(signal.SIGTERM)
        while httpx.get(f"{served.url}/health").status_code != 503:
            next(chunks)
        served.process.send_signal(signal.SIGTERM)
        with pytest.raises(openai.APIError, match="shutting down"):
            list(chunks)
    assert served.process.wait(30) == 0


@pytest.fixture
def model_url(
    embedded_model: Model,
    live: Callable[[ASGIApp], str],
    one_model: Callable[[Backend], ModelProvider],
) -> str:
    """The embedded model behind the endpoint."""
    return live(create_app({}, one_model(embedded_model), models=["smollm2"]))


@pytest.mark.model
@pytest.mark.slow
def test_the_embedded_model_answers_with_valid_json_and_a_cache_hit(model_url: str) -> None:
    schema = {
        "type": "object",
        "properties": {"color": {"enum": ["red", "green", "blue"]}},
        "required": ["color"],
        "additionalProperties": False,
    }
    with openai.OpenAI(base_url=f"{model_url}/v1", api_key="x", max_retries=0) as client:
        usages = []
        for _ in range(2):
            answer = client.chat.completions.create(
                model="smollm2",
                messages=[{"role": "user", "content": "The color of the sky, as JSON."}],
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "color", "schema": schema},
                },
                temperature=0,
            )
            value = json.loads(answer.choices[0].message.content or "")
            assert value["color"] in ("red", "green", "blue")
            assert answer.usage is not None
            usages.append(answer.usage)
        details = usages[1].prompt_tokens_details
        assert details is not None
        assert (details.cached_tokens or 0) >= usages[1].prompt_tokens - 1
        text = httpx.get(f"{model_url}/metrics").text
        assert re.search(r'prefix_cache_hits_total\{model_name="smollm2"\} [1-9]', text)
        assert 'treegram_num_requests_running{model_name="smollm2"} 0.0' in text


@pytest.mark.model
@pytest.mark.slow
def test_a_client_that_leaves_frees_the_engine(model_url: str, embedded_model: Model) -> None:
    before = embedded_model.stats().completion_tokens
    body = {"prompt": "One, two,", "max_tokens": 4000, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", f"{model_url}/v1/completions", json=body) as response:
        lines = response.iter_lines()
        next(lines)
        assert embedded_model.stats().running == 1
    body = {"prompt": "One, two,", "max_tokens": 1}
    while embedded_model.stats().running:
        httpx.post(f"{model_url}/v1/completions", json=body).raise_for_status()
    assert embedded_model.stats().completion_tokens - before < 4000


def test_an_address_that_is_taken_says_so() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(UsageError, match="choose another with --port"),
    ):
        listen("127.0.0.1", taken.getsockname()[1])


def test_a_missing_file_of_programs_exits_2(
    one_model: Callable[[Backend], ModelProvider],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert main(["serve", str(tmp_path / "absent.py"), "--port", "0"]) == 2
    assert "no such file" in capsys.readouterr().err

"""Programs over HTTP: described by their types, run as JSON or as a stream of deltas."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any, Literal

import httpx
import pydantic
import pytest
from fastapi import FastAPI

import treegram as tg
from treegram.lang.base import Backend, GenRequest, ModelProvider
from treegram.lang.errors import EngineError
from treegram.lang.sampling import SamplingParams
from treegram.lang.scripted import Answer, ScriptedBackend
from treegram.runtime.server.app import create_app
from treegram.runtime.server.gate import Gate


class Person(pydantic.BaseModel):
    name: str
    age: int


@tg.function
def greet(
    s: tg.State, name: str, tone: Literal["warm", "cold"] = "warm", tags: list[str] | None = None
) -> None:
    """Says hello."""
    s += f"Hello {name} ({tone}, {tags}): "
    s += tg.gen("reply")
    s["length"] = len(name)


@tg.function
def extract(s: tg.State, text: str) -> None:
    s += f"{text} as JSON: "
    s += tg.gen("person", schema=Person)


@tg.function
def meet(s: tg.State, person: Person) -> None:
    s += f"{person.name} is {person.age}"


@tg.function
def broken(s: tg.State) -> None:
    s += "x" * (1 // len(s.names()))


PROGRAMS = {"greet": greet, "extract": extract, "meet": meet, "broken": broken}


class Setup:
    """The programs behind a real server."""

    def __init__(self, backend: ScriptedBackend, gate: Gate, url: str) -> None:
        self.backend = backend
        self.gate = gate
        self.url = url
        self.http = httpx.Client(base_url=url)

    def run(self, program: str, **body: Any) -> httpx.Response:
        return self.http.post(f"/v1/programs/{program}/run", json=body)


@pytest.fixture
def start(
    live: Callable[[FastAPI], str], one_model: Callable[[Backend], ModelProvider]
) -> Iterator[Callable[[ScriptedBackend], Setup]]:
    setups: list[Setup] = []

    def start(backend: ScriptedBackend) -> Setup:
        gate = Gate()
        app = create_app(PROGRAMS, one_model(backend), models=["smollm2"], gate=gate)
        setups.append(Setup(backend, gate, live(app)))
        return setups[-1]

    yield start
    for setup in setups:
        setup.http.close()


def test_programs_are_described_by_their_annotations(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    http = start(ScriptedBackend("x")).http
    listed = http.get("/v1/programs").json()["data"]
    assert [program["name"] for program in listed] == list(PROGRAMS)
    assert listed[0] == http.get("/v1/programs/greet").json()
    assert listed[0]["doc"] == "Says hello."
    name, tone, tags = listed[0]["parameters"]
    assert name == {"name": "name", "schema": {"type": "string"}, "required": True}
    assert tone["schema"] == {"enum": ["warm", "cold"], "type": "string"}
    assert (tone["required"], tone["default"]) == (False, "warm")
    assert tags["schema"]["anyOf"][0] == {"type": "array", "items": {"type": "string"}}
    [person] = listed[2]["parameters"]
    assert person["schema"]["properties"]["age"]["type"] == "integer"


def test_a_run_gives_variables_text_and_usage(start: Callable[[ScriptedBackend], Setup]) -> None:
    setup = start(ScriptedBackend("hi!"))
    body = setup.run("greet", arguments={"name": "Ada", "tags": ["x"]}).json()
    assert body["variables"] == {"reply": "hi!", "length": 3}
    assert body["text"] == "Hello Ada (warm, ['x']): hi!"
    assert (body["program"], body["model"]) == ("greet", "smollm2")
    usage = body["usage"]
    assert usage["completion_tokens"] == 3
    assert usage["total_tokens"] == usage["prompt_tokens"] + 3
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}


def test_a_validated_variable_comes_as_an_object(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    setup = start(ScriptedBackend('{"name": "Ada", "age": 36}'))
    body = setup.run("extract", arguments={"text": "Ada, 36"}).json()
    assert body["variables"] == {"person": {"name": "Ada", "age": 36}}


def test_an_argument_is_made_into_its_type(start: Callable[[ScriptedBackend], Setup]) -> None:
    setup = start(ScriptedBackend("x"))
    body = setup.run("meet", arguments={"person": {"name": "Ada", "age": 36}}).json()
    assert body["text"] == "Ada is 36"
    response = setup.run("meet", arguments={"person": {"name": "Ada", "age": "old"}})
    assert response.status_code == 400
    assert "['age']" in response.json()["error"]["message"]


def test_sampling_is_the_default_of_the_programs_generations(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    setup = start(ScriptedBackend("x"))
    setup.run("greet", arguments={"name": "A"}, sampling={"temperature": 0.5, "seed": 3})
    [request] = setup.backend.requests
    assert isinstance(request, GenRequest)
    assert request.params == SamplingParams(temperature=0.5, seed=3)


def events_of(response: httpx.Response) -> list[str]:
    return [line.removeprefix("data: ") for line in response.iter_lines() if line]


def test_a_stream_has_deltas_per_variable_then_the_whole_answer(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    setup = start(ScriptedBackend("good morning"))
    body = {"arguments": {"name": "Ada"}, "stream": True}
    with setup.http.stream("POST", "/v1/programs/greet/run", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        *deltas, last, done = events_of(response)
    assert done == "[DONE]"
    texts: dict[str | None, str] = {}
    for event in map(json.loads, deltas):
        assert set(event) == {"variable", "text"}
        texts[event["variable"]] = texts.get(event["variable"], "") + event["text"]
    assert texts == {None: "Hello Ada (warm, None): ", "reply": "good morning"}
    assert json.loads(last)["variables"] == {"reply": "good morning", "length": 3}
    assert json.loads(last)["usage"]["completion_tokens"] == len("good morning")


def test_an_exception_of_the_program_names_its_line_and_asks_for_no_retry(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    setup = start(ScriptedBackend("x"))
    response = setup.run("broken", arguments={})
    assert response.status_code == 500
    error = response.json()["error"]
    assert error["type"] == "program_error"
    assert "ZeroDivisionError" in error["message"]
    assert 's += "x" * (1 // len(s.names()))' in error["message"]
    assert response.headers["x-should-retry"] == "false"


def test_an_output_that_was_cut_is_a_422(start: Callable[[ScriptedBackend], Setup]) -> None:
    setup = start(ScriptedBackend([Answer('{"name": "A', "length")]))
    response = setup.run("extract", arguments={"text": "Ada"})
    assert response.status_code == 422
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("output_error", "length")


def test_an_error_behind_streamed_text_is_an_event(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    setup = start(ScriptedBackend([EngineError("llama_decode failed")]))
    body = {"arguments": {"name": "Ada"}, "stream": True}
    with setup.http.stream("POST", "/v1/programs/greet/run", json=body) as response:
        *_, error, done = events_of(response)
    assert "llama_decode failed" in json.loads(error)["error"]["message"]
    assert done == "[DONE]"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_cancels_the_program(
    start: Callable[[ScriptedBackend], Setup], stream: bool
) -> None:
    setup = start(ScriptedBackend("never sent", held=True))
    body = json.dumps({"arguments": {"name": "Ada"}, "stream": stream}).encode()
    port = int(setup.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as client:
        head = (
            f"POST /v1/programs/greet/run HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body)
        setup.backend.wait_for(1)
    assert setup.gate.wait_empty(10)
    with pytest.raises(EngineError, match="no request is waiting"):
        setup.backend.release()


def test_the_openapi_description_is_served(start: Callable[[ScriptedBackend], Setup]) -> None:
    paths = start(ScriptedBackend("x")).http.get("/openapi.json").json()["paths"]
    assert {"/v1/programs/{name}/run", "/v1/chat/completions", "/v1/completions"} <= set(paths)


def test_metrics_count_answers_and_time_them(start: Callable[[ScriptedBackend], Setup]) -> None:
    setup = start(ScriptedBackend("x"))
    setup.run("greet", arguments={"name": "Ada"})
    setup.http.post("/v1/completions", json={"prompt": "a", "regex": "x"})
    lines = setup.http.get("/metrics").text.splitlines()
    run = 'treegram_http_requests_total{route="/v1/programs/{name}/run",status="200"} 1.0'
    assert run in lines
    for name, count in (
        ("e2e_request_latency", "2.0"),
        ("time_to_first_token", "1.0"),
        ("grammar_compilation_time", "1.0"),
    ):
        assert f'treegram_{name}_seconds_count{{model_name="smollm2"}} {count}' in lines

"""Whatever is wrong with a request, the answer is OpenAI's error object and names the field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

import treegram as tg
from treegram.lang.base import Backend, ModelProvider
from treegram.lang.errors import (
    CancelledError,
    ContextOverflowError,
    EngineError,
    OutputError,
    ParameterError,
    ProgramError,
    RegexError,
)
from treegram.lang.scripted import ScriptedBackend
from treegram.runtime.server.app import create_app
from treegram.runtime.server.errors import ApiError, from_exception, from_program
from treegram.runtime.server.gate import Gate
from treegram.runtime.server.openai_requests import HARMLESS

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
IMAGE_URL = "messages[0].content[0].image_url.url"


def image_at(url: object) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": url}}
    return {"messages": [{"role": "user", "content": [part]}]}


@tg.function
def greet(s: tg.State, name: str, times: int = 1) -> None:
    """Says hello."""
    s += f"Hello {name}" * times


@pytest.fixture(scope="module")
def app_client(one_model: Callable[[Backend], ModelProvider]) -> Callable[..., TestClient]:
    def make(**options: Any) -> TestClient:
        provider = one_model(ScriptedBackend("fine"))
        app = create_app({"greet": greet}, provider, models=["smollm2"], **options)
        return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)

    return make


@pytest.fixture(scope="module")
def client(app_client: Callable[..., TestClient]) -> Iterator[TestClient]:
    with app_client() as client:
        yield client


def post(client: TestClient, path: str, body: dict[str, Any]) -> Any:
    """Posts JSON in ASCII, as a client may, so that half a surrogate pair gets through."""
    return client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})


def error_of(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    return error


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"guided_json": {"type": "object"}}, "guided_json", "unknown field"),
        ({"guided_regex": "a"}, "guided_regex", "structured_outputs"),
        ({"made_up": 1}, "made_up", "unknown field 'made_up'"),
        ({"tools": [{"type": "function"}]}, "tools", "not supported yet"),
        ({"temperature": "hot"}, "temperature", "valid number"),
        ({"temperature": -1}, "temperature", "greater than or equal to 0"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"max_tokens": True}, "max_tokens", "valid integer"),
        ({"max_tokens": 4, "max_completion_tokens": 4}, "max_tokens", "give one"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "at most 4"),
        ({"stop": ""}, "stop", "at least 1"),
        ({"stop": ["a", 5]}, "stop[1]", "valid string"),
        ({"regex": "\ud800"}, "regex", "surrogate"),
        ({"json_schema": 3}, "json_schema", "valid dictionary"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "messages[0].content[0]",
            "'text'",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].image_url",
            "missing",
        ),
        (image_at("http://example.com/cat.png"), IMAGE_URL, "nothing is fetched"),
        (image_at("file:///etc/hostname"), IMAGE_URL, "nothing is fetched"),
        (image_at("data:image/png;base64,AAAA"), IMAGE_URL, "is no PNG"),
        (image_at(3), IMAGE_URL, "expected a text"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content", "surrogate"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            "response_format.json_schema.name",
            "missing",
        ),
        ({"logit_bias": {"x": 1}}, "logit_bias", "token ids"),
        ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "stream: true"),
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing"),
        ({"messages": [{"role": "bard", "content": "x"}]}, "messages[0].role", "'user'"),
        ({"response_format": {"type": "yaml"}}, "response_format", "json_schema"),
        ({"regex": "[0-9"}, "regex", "^"),
        ({"regex": "a", "grammar": 'root ::= "a"'}, "grammar", "exactly one"),
        ({"ebnf": "root"}, "ebnf", "ebnf"),
        ({"json_schema": "{"}, "json_schema", "not JSON"),
        ({"structured_outputs": {}}, "structured_outputs", "got none"),
        (
            {"structured_outputs": {"regex": "a", "choice": ["b"]}},
            "structured_outputs.choice",
            "exactly one",
        ),
        ({"structured_outputs": {"choice": []}}, "structured_outputs.choice", "choice"),
        ({"structured_outputs": {"guided": 1}}, "structured_outputs.guided", "unknown"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(
    client: TestClient, body: dict[str, Any], param: str, words: str
) -> None:
    error = error_of(post(client, "/v1/chat/completions", {**CHAT, **body}), 400)
    assert error["param"] == param
    assert words in error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("field", sorted(HARMLESS))
def test_a_field_that_cannot_change_the_output_is_accepted(client: TestClient, field: str) -> None:
    response = client.post("/v1/chat/completions", json={**CHAT, field: "x"})
    assert response.status_code == 200, response.text


def test_null_means_absent(client: TestClient) -> None:
    body = {**CHAT, "stop": None, "regex": None, "tools": None, "response_format": None}
    assert client.post("/v1/chat/completions", json=body).status_code == 200


@pytest.mark.parametrize(
    ("content", "media_type", "words"),
    [
        ("{", "application/json", "not JSON"),
        ("[]", "application/json", "JSON object"),
        (json.dumps(CHAT), "text/plain", "application/json"),
        ("[" * 100_000, "application/json", "body"),
    ],
)
def test_a_body_that_is_no_json_object_says_so(
    client: TestClient, content: str, media_type: str, words: str
) -> None:
    headers = {"content-type": media_type}
    response = client.post("/v1/chat/completions", content=content, headers=headers)
    assert words in error_of(response, 400)["message"]


@pytest.mark.parametrize("depth", [100, 500, 900, 2000])
def test_deep_nesting_is_never_a_servers_error(client: TestClient, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    schema = '{"items":' * depth + "true" + "}" * depth
    for path, content in (
        ("/v1/programs/greet/run", f'{{"arguments": {{"name": {deep}}}}}'),
        ("/v1/completions", f'{{"prompt": {deep}}}'),
        ("/v1/completions", f'{{"prompt": "a", "json_schema": {deep}}}'),
        ("/v1/completions", f'{{"prompt": "a", "json_schema": {schema}}}'),
    ):
        headers = {"content-type": "application/json"}
        response = client.post(path, content=content, headers=headers)
        assert response.status_code in (200, 400), response.text


def test_a_schema_error_names_its_json_path(client: TestClient) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "strnig"}}}
    response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    body = {**CHAT, "response_format": response_format}
    error = error_of(client.post("/v1/chat/completions", json=body), 400)
    assert error["param"] == "response_format.json_schema.schema"
    assert "$.properties.a" in error["message"]


def test_an_unknown_model_is_a_404_that_lists_the_known(client: TestClient) -> None:
    for path, body in (
        ("/v1/chat/completions", CHAT),
        ("/v1/completions", {"prompt": "a"}),
        ("/v1/programs/greet/run", {"arguments": {"name": "x"}}),
    ):
        error = error_of(client.post(path, json={**body, "model": "gpt-9"}), 404)
        assert (error["code"], error["param"]) == ("model_not_found", "model")
        assert "smollm2" in error["message"]
    assert error_of(client.get("/v1/models/gpt-9"), 404)["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": [1, 2]}, "prompt[0]"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "best_of": 3}, "best_of"),
        ({"prompt": "a", "echo": True, "logprobs": 1}, "logprobs"),
        ({"prompt": ["a"] * 100, "n": 11}, "n"),
        ({"prompt": "a", "messages": []}, "messages"),
    ],
)
def test_a_completion_that_is_not_supported_names_the_field(
    client: TestClient, body: dict[str, Any], param: str
) -> None:
    assert error_of(client.post("/v1/completions", json=body), 400)["param"] == param


def test_an_unknown_program_or_route_is_a_404(client: TestClient) -> None:
    error = error_of(client.post("/v1/programs/nope/run", json={}), 404)
    assert error["code"] == "program_not_found"
    assert "greet" in error["message"]
    assert error_of(client.get("/v1/nothing"), 404)["code"] == "route_not_found"
    assert "GET" in error_of(client.get("/v1/completions"), 405)["message"]


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "arguments.name", "requires it"),
        ({"arguments": {"name": "x", "nmae": 1}}, "arguments.nmae", "no such parameter"),
        ({"arguments": {"name": 5}}, "arguments.name", "valid string"),
        ({"arguments": {"name": "x", "times": "many"}}, "arguments.times", "valid integer"),
        ({"arguments": [1]}, "arguments", "dictionary"),
        ({"arguments": {"name": "x"}, "sampling": {"heat": 1}}, "sampling.heat", "unknown"),
        ({"arguments": {"name": "x"}, "sampling": {"top_p": 7.0}}, "sampling.top_p", "(0, 1]"),
        ({"args": {}}, "args", "unknown field"),
        ({"arguments": {"name": "\ud800"}}, "arguments", "surrogate"),
    ],
)
def test_wrong_arguments_of_a_program_are_named(
    client: TestClient, body: dict[str, Any], param: str, words: str
) -> None:
    error = error_of(post(client, "/v1/programs/greet/run", body), 400)
    assert error["param"] == param
    assert words in error["message"]


def test_the_api_key_is_asked_for_everywhere_but_health(
    app_client: Callable[..., TestClient],
) -> None:
    with app_client(api_key="right") as client:
        assert client.get("/health").status_code == 200
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic right"}):
            for path in ("/v1/models", "/metrics", "/docs"):
                error = error_of(client.get(path, headers=headers), 401)
                assert error["type"] == "authentication_error"
        good = client.get("/v1/models", headers={"Authorization": "Bearer right"})
        assert good.status_code == 200


def test_a_foreign_host_header_is_refused(app_client: Callable[..., TestClient]) -> None:
    """A web page whose own name resolves to 127.0.0.1 must not reach the server."""
    with app_client() as client:
        for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "[::2]", ""):
            error = error_of(client.get("/v1/models", headers={"Host": host}), 400)
            assert error["code"] == "invalid_host"
        for host in ("localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"):
            assert client.get("/v1/models", headers={"Host": host}).status_code == 200


def test_only_local_pages_get_cors_headers(client: TestClient) -> None:
    for origin, allowed in (("http://localhost:3000", True), ("http://evil.example", False)):
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = client.options("/v1/chat/completions", headers=headers)
        assert ("access-control-allow-origin" in preflight.headers) is allowed


def test_a_body_over_the_limit_is_a_413(app_client: Callable[..., TestClient]) -> None:
    with app_client(max_body_bytes=1000) as client:
        big = json.dumps({**CHAT, "user": "x" * 2000}).encode()
        json_type = {"content-type": "application/json"}
        declared = client.post("/v1/chat/completions", content=big, headers=json_type)
        assert "1000 bytes" in error_of(declared, 413)["message"]
        chunked = client.post("/v1/chat/completions", content=iter([big]), headers=json_type)
        assert error_of(chunked, 413)["code"] == "request_too_large"


def test_loading_and_draining_are_503_with_retry_after(
    app_client: Callable[..., TestClient],
) -> None:
    gate = Gate(ready=False)
    with app_client(gate=gate) as client:
        for words in ("loading", "shutting down"):
            for response in (
                client.get("/health"),
                client.post("/v1/chat/completions", json=CHAT),
                client.post("/v1/chat/completions", json={**CHAT, "stream": True}),
                client.post("/v1/programs/greet/run", json={"arguments": {"name": "x"}}),
            ):
                assert words in error_of(response, 503)["message"]
                assert int(response.headers["retry-after"]) > 0
            gate.drain()


def test_too_many_requests_are_a_503_until_one_ends(app_client: Callable[..., TestClient]) -> None:
    gate = Gate(max_requests=1)
    with app_client(gate=gate) as client:
        with gate.admit():
            response = client.post("/v1/chat/completions", json=CHAT)
            assert "1 requests" in error_of(response, 503)["message"]
            assert response.headers["retry-after"] == "1"
        assert client.post("/v1/chat/completions", json=CHAT).status_code == 200
    assert gate.n_inside == 0


def test_the_gate_cancels_what_is_inside_and_what_registers_too_late() -> None:
    gate = Gate()
    cancelled: list[str] = []
    with gate.admit() as ticket:
        ticket.on_cancel(lambda: cancelled.append("early"))
        gate.drain()
        gate.cancel_all()
        gate.cancel_all()
        ticket.on_cancel(lambda: cancelled.append("late"))
        assert not gate.wait_empty(0)
    assert cancelled == ["early", "late"]
    assert gate.wait_empty(0)


def test_a_request_id_of_the_client_comes_back(client: TestClient) -> None:
    response = client.get("/v1/models", headers={"x-request-id": "mine"})
    assert response.headers["x-request-id"] == "mine"


@pytest.mark.parametrize(
    ("exc", "status", "type_"),
    [
        (ContextOverflowError(9000, 8192), 400, "invalid_request_error"),
        (ParameterError("top_p", "expected more"), 400, "invalid_request_error"),
        (RegexError("unclosed '['", "[", 0), 400, "invalid_request_error"),
        (OutputError("cut", "x", "{", "length"), 422, "output_error"),
        (CancelledError("stop"), 503, "overloaded_error"),
        (EngineError("broken"), 500, "server_error"),
        (ProgramError("misuse"), 500, "program_error"),
        (ZeroDivisionError("oops"), 500, "server_error"),
    ],
)
def test_every_kind_of_failure_has_its_status(exc: Exception, status: int, type_: str) -> None:
    error = from_exception(exc)
    assert (error.status_code, error.type) == (status, type_)
    assert (error.headers or {}).get("x-should-retry") == ("false" if status == 500 else None)


def test_a_constraint_that_a_program_gets_wrong_is_not_the_clients_fault() -> None:
    error = from_program(RegexError("unclosed '['", "[", 0))
    assert (error.status_code, error.type) == (500, "program_error")


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_before_the_first_text_has_a_status_also_in_a_stream(
    one_model: Callable[[Backend], ModelProvider], stream: bool
) -> None:
    provider = one_model(ScriptedBackend([ContextOverflowError(9000, 8192)]))
    app = create_app({}, provider, models=["smollm2"])
    with TestClient(app, base_url="http://localhost") as client:
        response = client.post("/v1/chat/completions", json={**CHAT, "stream": stream})
        error = error_of(response, 400)
        assert error["code"] == "context_length_exceeded"
        assert "9000" in error["message"]


def test_an_api_error_prints_as_its_message() -> None:
    assert str(ApiError(400, "a message")) == "a message"


def test_what_no_encoding_can_write_is_sent_as_an_escape() -> None:
    assert ApiError(400, "\ud800").response().body == (
        b'{"error": {"message": "\\ud800", "type": "invalid_request_error", '
        b'"param": null, "code": null}}'
    )

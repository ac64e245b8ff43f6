"""The unmodified `openai` client against a real server."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pydantic
import pytest
from fastapi import FastAPI

from treegram.lang.base import (
    Backend,
    GenRequest,
    GenResult,
    ModelProvider,
    Text,
    TokenLogprob,
    Usage,
)
from treegram.lang.errors import EngineError
from treegram.lang.grammar import Grammar
from treegram.lang.images import picture_of
from treegram.lang.json_schema.layout import Layout
from treegram.lang.sampling import SamplingParams
from treegram.lang.scripted import Answer, ScriptedBackend
from treegram.runtime.server.app import create_app
from treegram.runtime.server.gate import Gate
from treegram.runtime.server.openai_constraints import grammar_of
from treegram.runtime.server.openai_requests import ChatRequest, CompletionRequest
from treegram.runtime.server.openai_shapes import ChatShape, CompletionShape, total_usage

MODEL = "smollm2"
USER: Any = [{"role": "user", "content": "hi"}]


class Setup:
    """A scripted backend behind a real server, and a client of it."""

    def __init__(self, backend: ScriptedBackend, gate: Gate, url: str) -> None:
        self.backend = backend
        self.gate = gate
        self.url = url
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)

    def request(self, index: int = -1) -> GenRequest:
        found = self.backend.requests[index]
        assert isinstance(found, GenRequest)
        return found


@pytest.fixture
def start(
    live: Callable[[FastAPI], str], one_model: Callable[[Backend], ModelProvider]
) -> Iterator[Callable[[ScriptedBackend], Setup]]:
    setups: list[Setup] = []

    def start(backend: ScriptedBackend) -> Setup:
        gate = Gate()
        app = create_app({}, one_model(backend), models=[MODEL], gate=gate)
        setups.append(Setup(backend, gate, live(app)))
        return setups[-1]

    yield start
    for setup in setups:
        setup.client.close()


def test_the_models_are_listed(start: Callable[[ScriptedBackend], Setup]) -> None:
    client = start(ScriptedBackend("x")).client
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def test_a_chat_answer_has_text_usage_and_finish_reason(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    setup = start(ScriptedBackend([Answer("Hello there", "length")]))
    answer = setup.client.chat.completions.create(model=MODEL, messages=USER)
    assert answer.choices[0].message.content == "Hello there"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 11
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer._request_id


def test_messages_go_through_the_template_and_stay_text(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    """Only the template's own spans are `template`: special tokens in user text are not parsed."""
    setup = start(ScriptedBackend("ok"))
    messages: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "<|im_end|>"}]},
    ]
    setup.client.chat.completions.create(model=MODEL, messages=messages)
    prompt = setup.request().prompt
    assert Text("<|im_start|>system\n", template=True) in prompt
    assert Text("<|im_end|>", template=False) in prompt
    assert prompt[-1] == Text("<|im_start|>assistant\n", template=True)


def test_every_sampling_field_reaches_the_engine(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    setup = start(ScriptedBackend("ok"))
    setup.client.chat.completions.create(
        model=MODEL,
        messages=USER,
        temperature=0.5,
        top_p=0.9,
        seed=7,
        n=2,
        stop=["\n", "END"],
        max_completion_tokens=9,
        frequency_penalty=0.25,
        presence_penalty=-0.5,
        logit_bias={"42": -100},
        logprobs=True,
        top_logprobs=3,
        user="somebody",
        extra_body={
            "top_k": 5,
            "min_p": 0.1,
            "repetition_penalty": 1.5,
            "min_tokens": 2,
            "stop_token_ids": [3],
            "stop_regex": "x+",
            "ignore_eos": True,
            "cache_salt": "tenant",
            "priority": 3,
        },
    )
    common = {
        "temperature": 0.5,
        "top_k": 5,
        "top_p": 0.9,
        "min_p": 0.1,
        "repetition_penalty": 1.5,
        "frequency_penalty": 0.25,
        "presence_penalty": -0.5,
        "logit_bias": {42: -100.0},
        "logprobs": 3,
    }
    first, second = setup.request(0), setup.request(1)
    assert first.params == SamplingParams(seed=7, **common)  # type: ignore[arg-type]  # a mixed dict
    assert second.params == SamplingParams(seed=8, **common)  # type: ignore[arg-type]  # a mixed dict
    assert (first.max_tokens, first.min_tokens) == (9, 2)
    assert (first.stop, first.stop_token_ids) == (("\n", "END"), (3,))
    assert first.stop_regex == "x+"
    assert first.ignore_eos
    assert (first.namespace, first.priority) == ("tenant", 3)


def test_an_image_in_a_message_is_one_in_the_prompt(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    setup = start(ScriptedBackend("a dot"))
    dot = picture_of(b"GIF89a\1\0\1\0" + bytes(20))
    content: Any = [
        {"type": "text", "text": "What is "},
        {"type": "image_url", "image_url": {"url": dot.data_url, "detail": "auto"}},
        {"type": "text", "text": "?"},
    ]
    setup.client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": content}]
    )
    assert setup.request().prompt[1:4] == (Text("What is "), dot, Text("?"))


def test_defaults_are_those_of_the_openai_api(start: Callable[[ScriptedBackend], Setup]) -> None:
    setup = start(ScriptedBackend("ok"))
    setup.client.chat.completions.create(model=MODEL, messages=USER)
    setup.client.completions.create(model=MODEL, prompt="a")
    assert setup.request(0).params == SamplingParams(temperature=1.0)
    assert [setup.request(i).max_tokens for i in (0, 1)] == [512, 16]


def test_a_chat_stream_adds_up_to_the_answer(start: Callable[[ScriptedBackend], Setup]) -> None:
    setup = start(ScriptedBackend(["Hello there", "Grüß Gott"]))
    with setup.client.chat.completions.create(
        model=MODEL, messages=USER, n=2, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    texts = ["", ""]
    finishes = []
    for chunk in chunks[:-1]:
        assert chunk.usage is None
        [choice] = chunk.choices
        texts[choice.index] += choice.delta.content or ""
        if choice.finish_reason:
            finishes.append((choice.index, choice.finish_reason))
    assert texts == ["Hello there", "Grüß Gott"]
    assert sorted(finishes) == [(0, "stop"), (1, "stop")]
    assert len({chunk.id for chunk in chunks}) == 1
    last = chunks[-1]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 11 + len("Grüß Gott".encode())


def test_a_stream_without_include_usage_has_none(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    setup = start(ScriptedBackend("abc"))
    with setup.client.chat.completions.create(model=MODEL, messages=USER, stream=True) as stream:
        chunks = list(stream)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_an_error_in_the_middle_of_a_stream_raises_in_the_client(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    setup = start(ScriptedBackend(["fine", EngineError("llama_decode failed")]))
    with setup.client.chat.completions.create(
        model=MODEL, messages=USER, n=2, stream=True
    ) as stream:
        texts: list[str | None] = []
        deltas = (chunk.choices[0].delta.content for chunk in stream)
        with pytest.raises(openai.APIError, match="llama_decode failed"):
            texts.extend(deltas)
    assert "".join(text or "" for text in texts) == "fine"


def test_completions_take_several_prompts_echo_and_n(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    setup = start(ScriptedBackend(["1", "2", "3", "4"]))
    answer = setup.client.completions.create(
        model=MODEL, prompt=["ab", "c"], n=2, echo=True, max_tokens=5
    )
    assert [choice.text for choice in answer.choices] == ["ab1", "ab2", "c3", "c4"]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 4)
    assert setup.request(0).prompt == (Text("ab"),)


def test_a_completion_stream_adds_up(start: Callable[[ScriptedBackend], Setup]) -> None:
    setup = start(ScriptedBackend("five six seven"))
    with setup.client.completions.create(
        model=MODEL, prompt="four ", echo=True, stream=True
    ) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "four five six seven"
    assert chunks[-1].choices[0].finish_reason == "stop"


class Person(pydantic.BaseModel):
    name: str
    age: int


def test_parse_gives_a_model_and_sends_its_schema(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    setup = start(ScriptedBackend('{"name": "Ada", "age": 36}'))
    answer = setup.client.chat.completions.parse(model=MODEL, messages=USER, response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)
    grammar = setup.request().grammar
    assert grammar is not None
    assert grammar.accepts('{"name": "Ada", "age": 36}')
    assert not grammar.accepts('{"name": "Ada"}')


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
YES_NO = 'root ::= "yes" | "no"'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"regex": "[0-9]{4}"}, Grammar.from_regex("[0-9]{4}")),
        ({"structured_outputs": {"regex": "[0-9]{4}"}}, Grammar.from_regex("[0-9]{4}")),
        ({"structured_outputs": {"choice": ["a", "b"]}}, Grammar.from_choices(["a", "b"])),
        ({"structured_outputs": {"grammar": YES_NO}}, Grammar.from_gbnf(YES_NO)),
        ({"structured_outputs": {"json": SCHEMA}}, Grammar.from_schema(SCHEMA, Layout())),
        (
            {"structured_outputs": {"json": json.dumps(SCHEMA)}},
            Grammar.from_schema(SCHEMA, Layout()),
        ),
        ({"grammar": YES_NO}, Grammar.from_gbnf(YES_NO)),
        ({"ebnf": YES_NO}, Grammar.from_gbnf(YES_NO)),
        ({"json_schema": SCHEMA}, Grammar.from_schema(SCHEMA, Layout())),
        ({"json_schema": json.dumps(SCHEMA)}, Grammar.from_schema(SCHEMA, Layout())),
        (
            {"response_format": {"type": "json_object"}},
            Grammar.from_schema({"type": "object"}, Layout()),
        ),
        ({"response_format": {"type": "text"}}, None),
    ],
)
def test_every_dialect_of_a_constraint_becomes_the_grammar(
    body: dict[str, Any], expected: Grammar | None
) -> None:
    assert grammar_of(ChatRequest.model_validate({"messages": USER, **body})) == expected
    assert grammar_of(CompletionRequest.model_validate({"prompt": "a", **body})) == expected


def test_the_clients_errors_are_typed(start: Callable[[ScriptedBackend], Setup]) -> None:
    client = start(ScriptedBackend("x")).client
    with pytest.raises(openai.NotFoundError, match="smollm2") as missing:
        client.chat.completions.create(model="gpt-9", messages=USER)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="guided_json") as refused:
        client.chat.completions.create(
            model=MODEL, messages=USER, extra_body={"guided_json": SCHEMA}
        )
    assert refused.value.param == "guided_json"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_cancels_its_request(
    start: Callable[[ScriptedBackend], Setup], stream: bool
) -> None:
    setup = start(ScriptedBackend("never sent", held=True))
    body = json.dumps({"messages": USER, "stream": stream, "n": 2}).encode()
    host, port = setup.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body)
        setup.backend.wait_for(2)
        assert setup.gate.n_inside == 1
    assert setup.gate.wait_empty(10)
    with pytest.raises(EngineError, match="no request is waiting"):
        setup.backend.release()


def test_draining_ends_what_runs_with_an_error_that_says_so(
    start: Callable[[ScriptedBackend], Setup],
) -> None:
    setup = start(ScriptedBackend("never sent", held=True))
    with (
        socket.create_connection(("127.0.0.1", int(setup.url.rpartition(":")[2]))) as client,
        client.makefile("rb") as answer,
    ):
        body = json.dumps({"messages": USER}).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body)
        setup.backend.wait_for(1)
        setup.gate.drain()
        assert not setup.gate.wait_empty(0)
        setup.gate.cancel_all()
        text = answer.read().decode()
    assert text.startswith("HTTP/1.1 503")
    assert "shutting down" in text
    assert setup.gate.wait_empty(10)


RESULT = GenResult(
    "hé",
    (),
    "stop",
    Usage(5, 3, 2),
    logprobs=(
        TokenLogprob(1, b"h", -0.5, ((1, b"h", -0.5), (2, b"H", -1.5))),
        TokenLogprob(3, b"\xc3", float("-inf")),
    ),
)


def test_chat_logprobs_have_bytes_and_no_infinity() -> None:
    choice = ChatShape(MODEL, False).answer([RESULT], RESULT.usage)["choices"][0]
    first, second = choice["logprobs"]["content"]
    assert first["token"] == "h"
    assert first["bytes"] == [0x68]
    assert [top["token"] for top in first["top_logprobs"]] == ["h", "H"]
    assert (second["bytes"], second["logprob"]) == ([0xC3], -9999.0)


def test_completion_logprobs_have_offsets() -> None:
    choice = CompletionShape(MODEL, False, [""]).answer([RESULT], RESULT.usage)["choices"][0]
    assert choice["logprobs"]["text_offset"] == [0, 1]
    assert choice["logprobs"]["top_logprobs"][0] == {"h": -0.5, "H": -1.5}


def test_usage_counts_a_prompt_once_however_many_answers_it_has() -> None:
    assert total_usage([RESULT] * 4, n=2) == Usage(10, 6, 8)

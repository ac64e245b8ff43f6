"""`/v1/models`, `/v1/chat/completions`, `/v1/completions`: the engine behind OpenAI's API.

Requests go straight to the backend; no program runs. Defaults are OpenAI's (temperature 1,
16 tokens for a completion), except that a chat answer ends at 512 tokens unless the client says
otherwise. Prompts are plain text: special tokens are parsed only in the chat template's own text.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from ...lang.base import Backend, GenRequest, GenResult, Message, Prompt, Text
from ...lang.grammar import Grammar
from ...lang.sampling import SamplingParams
from .errors import ApiError
from .events import EventStream, answer
from .generation import Finished, Generations
from .openai_constraints import grammar_of
from .openai_requests import ChatRequest, CompletionRequest, GenerationFields
from .openai_shapes import ChatShape, CompletionShape, total_usage
from .service import Service

CHAT_MAX_TOKENS = 512
COMPLETION_MAX_TOKENS = 16
MAX_ANSWERS = 1024

Shape: TypeAlias = ChatShape | CompletionShape


@dataclass(frozen=True)
class Job:
    """One HTTP request, ready to run: `n` answers for each prompt, in the order of the prompts."""

    model: str
    backend: Backend
    requests: Sequence[GenRequest]
    n: int
    shape: Shape
    include_usage: bool


def router(service: Service) -> APIRouter:
    """The routes of one service."""
    routes = APIRouter()

    @routes.get("/v1/models")
    def list_models() -> dict[str, Any]:
        return {"object": "list", "data": [_model_json(service, name) for name in service.models]}

    @routes.get("/v1/models/{name:path}")
    def get_model(name: str) -> dict[str, Any]:
        return _model_json(service, service.model_name(name))

    @routes.post("/v1/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        if body.stream:
            return EventStream(_stream(service, body))
        return await answer(request, _whole(service, body))

    @routes.post("/v1/completions")
    async def complete(body: CompletionRequest, request: Request) -> Response:
        if body.stream:
            return EventStream(_stream(service, body))
        return await answer(request, _whole(service, body))

    return routes


def _model_json(service: Service, name: str) -> dict[str, Any]:
    card = {"id": name, "object": "model", "created": 0, "owned_by": "treegram"}
    served = service.models[name]
    return {**card, "parent": served.base} if served.adapter else card


async def _whole(service: Service, body: ChatRequest | CompletionRequest) -> Mapping[str, Any]:
    with service.gate.admit() as ticket:
        job = await run_in_threadpool(_job, service, body)
        async with Generations(
            job.backend, job.requests, model=job.model, ticket=ticket, metrics=service.metrics
        ) as generations:
            results = await generations.results()
        return job.shape.answer(results, total_usage(results, job.n))


async def _stream(
    service: Service, body: ChatRequest | CompletionRequest
) -> AsyncGenerator[Mapping[str, Any], None]:
    with service.gate.admit() as ticket:
        job = await run_in_threadpool(_job, service, body)
        results: dict[int, GenResult] = {}
        opened: set[int] = set()
        async with Generations(
            job.backend, job.requests, model=job.model, ticket=ticket, metrics=service.metrics
        ) as generations:
            async for event in generations:
                if event.index not in opened:
                    opened.add(event.index)
                    yield job.shape.first(event.index)
                if isinstance(event, Finished):
                    results[event.index] = event.result
                    yield job.shape.last(event.index, event.result)
                else:
                    yield job.shape.delta(event.index, event.text)
        if job.include_usage:
            in_order = [results[index] for index in sorted(results)]
            yield job.shape.usage(total_usage(in_order, job.n))


def _job(service: Service, body: ChatRequest | CompletionRequest) -> Job:
    """Checks what pydantic cannot, compiles the constraint and renders the prompt."""
    model = service.model_name(body.model)
    if body.stream_options is not None and not body.stream:
        raise ApiError(400, "stream_options needs stream: true", param="stream_options")
    include_usage = body.stream_options is not None and body.stream_options.include_usage
    n = body.n or 1
    if isinstance(body, ChatRequest):
        backend = service.backend(model)
        prompts = [_chat_prompt(backend, body)]
        shape: Shape = ChatShape(model, include_usage)
    else:
        _check_completion(body, n)
        backend = service.backend(model)
        prompts = [(Text(prompt),) for prompt in body.prompt]
        echo = [prompt if body.echo else "" for prompt in body.prompt for _ in range(n)]
        shape = CompletionShape(model, include_usage, echo)
    started_s = time.perf_counter()
    grammar = grammar_of(body)
    if grammar is not None:
        service.metrics.compiled(model, time.perf_counter() - started_s)
    requests = _requests(body, prompts, n, grammar, service.models[model].adapter)
    return Job(model, backend, requests, n, shape, include_usage)


def _chat_prompt(backend: Backend, body: ChatRequest) -> Prompt:
    messages = [
        Message("system" if m.role == "developer" else m.role, m.spans) for m in body.messages
    ]
    return backend.render_chat(messages, add_generation_prompt=True)


def _check_completion(body: CompletionRequest, n: int) -> None:
    if len(body.prompt) * n > MAX_ANSWERS:
        raise ApiError(
            400,
            f"{len(body.prompt)} prompts times n={n} is more than {MAX_ANSWERS} answers; split it",
            param="n",
        )
    if body.best_of is not None and body.best_of != n:
        raise ApiError(
            400, "best_of is supported only where it equals n; ask for n answers", param="best_of"
        )
    if body.echo and body.logprobs is not None:
        raise ApiError(
            400,
            "echo with logprobs (log-probabilities of the prompt) is not supported",
            param="logprobs",
        )


def _requests(
    body: ChatRequest | CompletionRequest,
    prompts: Sequence[Prompt],
    n: int,
    grammar: Grammar | None,
    adapter: str,
) -> list[GenRequest]:
    return [
        GenRequest(
            prompt=prompt,
            params=_sampling(body, answer),
            grammar=grammar,
            max_tokens=_max_tokens(body),
            min_tokens=body.min_tokens or 0,
            stop=tuple(body.stop or ()),
            stop_regex=body.stop_regex,
            stop_token_ids=tuple(body.stop_token_ids or ()),
            ignore_eos=body.ignore_eos or False,
            adapter=adapter,
            namespace=body.cache_salt or "",
            priority=body.priority or 0,
        )
        for prompt in prompts
        for answer in range(n)
    ]


def _max_tokens(body: ChatRequest | CompletionRequest) -> int:
    if isinstance(body, CompletionRequest):
        return body.max_tokens or COMPLETION_MAX_TOKENS
    if body.max_tokens and body.max_completion_tokens:
        raise ApiError(
            400,
            "max_tokens and max_completion_tokens are the same; give one",
            param="max_tokens",
        )
    return body.max_completion_tokens or body.max_tokens or CHAT_MAX_TOKENS


def _sampling(body: ChatRequest | CompletionRequest, answer: int) -> SamplingParams:
    """Sampling of answer number `answer`; its seed is the request's plus that number."""
    return SamplingParams(
        temperature=_or(body.temperature, 1.0),
        top_k=max(body.top_k or 0, 0),
        top_p=_or(body.top_p, 1.0),
        min_p=_or(body.min_p, 0.0),
        repetition_penalty=_or(body.repetition_penalty, 1.0),
        frequency_penalty=_or(body.frequency_penalty, 0.0),
        presence_penalty=_or(body.presence_penalty, 0.0),
        logit_bias=_logit_bias(body),
        seed=None if body.seed is None else (body.seed + answer) % 2**64,
        logprobs=_logprobs(body),
    )


def _or(value: float | None, default: float) -> float:
    return default if value is None else value


def _logit_bias(body: GenerationFields) -> dict[int, float]:
    bias = body.logit_bias or {}
    for token in bias:
        if not token.isdecimal():
            raise ApiError(
                400,
                f"logit_bias: keys are token ids as strings, got {token!r}",
                param="logit_bias",
            )
    return {int(token): value for token, value in bias.items()}


def _logprobs(body: ChatRequest | CompletionRequest) -> int | None:
    if isinstance(body, CompletionRequest):
        return body.logprobs
    if not body.logprobs:
        if body.top_logprobs:
            raise ApiError(400, "top_logprobs needs logprobs: true", param="top_logprobs")
        return None
    return body.top_logprobs or 0

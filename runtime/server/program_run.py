"""One run of one program on behalf of a request.

A program's body is ordinary blocking Python, so each run has a worker thread. The thread puts the
program's deltas on a queue; cancelling the run from the event loop ends the thread.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Annotated, Any

import anyio
import anyio.to_thread
from pydantic import Field

from ...lang.errors import CancelledError, ParameterError, TreegramError
from ...lang.program import Program
from ...lang.sampling import SamplingParams
from ...lang.state import State
from ...lang.stream import Delta, Stream
from ..parameters import Parameters
from ..variables import outcome_json
from .errors import ApiError, from_program
from .gate import Ticket
from .openai_requests import PlainText, Priority, Strict
from .openai_shapes import usage_json
from .service import Service


class Sampling(Strict):
    """Defaults for the program's generations; what a `gen` says itself wins."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None

    def params(self) -> SamplingParams:
        """As sampling parameters. Raises ParameterError."""
        return SamplingParams(**self.model_dump(exclude_none=True))


class RunRequest(Strict):
    arguments: Annotated[dict[str, Any], Field(default_factory=dict)]
    model: str | None = None
    sampling: Sampling | None = None
    cache_salt: PlainText = ""
    priority: Priority = 0
    stream: bool = False


class Run:
    """One run of one program."""

    def __init__(
        self,
        service: Service,
        name: str,
        program: Program,
        parameters: Parameters,
        body: RunRequest,
        threads: anyio.CapacityLimiter,
    ) -> None:
        self._service = service
        self._name = name
        self._program = program
        self._body = body
        self._threads = threads
        self._model = service.model_name(body.model)
        self._arguments = _checked(parameters, body)

    async def whole(self) -> Mapping[str, Any]:
        """The answer, once the program has ended. Raises ApiError."""
        last: Mapping[str, Any] = {}
        async for event in self.events():
            last = event
        return last

    async def events(self) -> AsyncGenerator[Mapping[str, Any], None]:
        """`{"variable", "text"}` per delta, then the whole answer. Raises ApiError."""
        started_s = time.perf_counter()
        with self._service.gate.admit() as ticket:
            worker = _Worker(self, ticket)
            task = asyncio.create_task(anyio.to_thread.run_sync(worker.run, limiter=self._threads))
            try:
                while (delta := await worker.deltas.get()) is not None:
                    yield {"variable": delta.variable, "text": delta.text}
                final = await task
            finally:
                worker.cancel()
                with suppress(BaseException):
                    await asyncio.shield(task)
            self._service.metrics.finished(self._model, started_s, time.perf_counter())
            yield final

    def start(self) -> Stream:
        """Starts the program; called in the worker thread, since it may load the model."""
        sampling = self._body.sampling
        return self._program.stream(
            model=self._service.backend(self._model),
            sampling=None if sampling is None else sampling.params(),
            adapter=self._service.models[self._model].adapter,
            namespace=self._body.cache_salt,
            priority=self._body.priority,
            **self._arguments,
        )

    def answer(self, state: State) -> Mapping[str, Any]:
        """The response body. Raises what reading a variable raises."""
        return {
            "id": f"run-{uuid.uuid4().hex}",
            "object": "program.run",
            "program": self._name,
            "model": self._model,
            **outcome_json(state),
            "text": state.text(),
            "usage": usage_json(state.usage),
        }


class _Worker:
    """The thread's side of a run."""

    def __init__(self, run: Run, ticket: Ticket) -> None:
        self.deltas: asyncio.Queue[Delta | None] = asyncio.Queue()
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._stream: Stream | None = None
        self._cancelled = False
        ticket.on_cancel(self.cancel)

    def run(self) -> Mapping[str, Any]:
        try:
            if self._cancelled:
                raise CancelledError("cancelled before it started")
            with self._run.start() as stream:
                self._stream = stream
                if self._cancelled:
                    stream.cancel()
                for delta in stream:
                    self._post(delta)
                return self._run.answer(stream.state)
        except Exception as exc:
            raise from_program(exc) from exc
        finally:
            self._post(None)

    def cancel(self) -> None:
        """Ends the program at its next wait. Thread-safe, idempotent."""
        self._cancelled = True
        if self._stream is not None:
            self._stream.cancel()

    def _post(self, delta: Delta | None) -> None:
        # a program may outlive the event loop, if its body does not notice that it is cancelled
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.deltas.put_nowait, delta)


def _checked(parameters: Parameters, body: RunRequest) -> dict[str, Any]:
    try:
        if body.sampling is not None:
            body.sampling.params()
    except ParameterError as exc:
        raise ApiError(400, str(exc), param=f"sampling.{exc.parameter}") from exc
    try:
        json.dumps(body.arguments, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise ApiError(
            400,
            "arguments: a text holds half of a surrogate pair, which is no text",
            param="arguments",
            code="invalid_value",
        ) from exc
    try:
        return parameters.from_json(body.arguments)
    except TreegramError as exc:
        name = getattr(exc, "parameter", None)
        raise ApiError(
            400, str(exc), param=f"arguments.{name}" if name else "arguments", code="invalid_value"
        ) from exc

"""Requests on a backend, seen from the event loop.

A backend calls back from its own thread; `Generations` turns those calls into one asynchronous
stream of deltas and cancels whatever still runs when its block ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TypeAlias

from fastapi.concurrency import run_in_threadpool

from ...lang.base import Backend, GenRequest, GenResult, Handle
from .gate import Ticket
from .metrics import Metrics


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Request number `index` wrote `text`."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Request number `index` is done."""

    index: int
    result: GenResult


Event: TypeAlias = TextDelta | Finished


class Generations:
    """Runs `requests` together: `async with Generations(...) as g: async for event in g`.

    Entering submits (in a worker thread, since a constraint may take long to compile) and raises
    what can be known at once. Iterating raises the first error of any request. Leaving cancels.
    """

    def __init__(
        self,
        backend: Backend,
        requests: Sequence[GenRequest],
        *,
        model: str,
        ticket: Ticket,
        metrics: Metrics,
    ) -> None:
        self._backend = backend
        self._requests = requests
        self._model = model
        self._ticket = ticket
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[TextDelta | tuple[int, Handle]] = asyncio.Queue()
        self._handles: list[Handle] = []
        self._cancelled = False

    async def __aenter__(self) -> Generations:
        self._ticket.on_cancel(self._cancel)
        self._started_s = time.perf_counter()
        try:
            await run_in_threadpool(self._submit)
        except BaseException:
            self._cancel()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cancel()

    def _submit(self) -> None:
        for index, request in enumerate(self._requests):
            handle = self._backend.submit(request, on_text=partial(self._on_text, index))
            self._handles.append(handle)
            handle.add_done_callback(partial(self._on_done, index))
            if self._cancelled:
                handle.cancel()

    def _cancel(self) -> None:
        self._cancelled = True
        for handle in self._handles:
            handle.cancel()

    def _on_text(self, index: int, text: str) -> None:
        self._post(TextDelta(index, text))

    def _on_done(self, index: int, handle: Handle) -> None:
        self._post((index, handle))

    def _post(self, event: TextDelta | tuple[int, Handle]) -> None:
        # a cancelled request may end after the event loop has closed; nobody listens then
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, event)

    async def __aiter__(self) -> AsyncIterator[Event]:
        running = len(self._requests)
        last_s: list[float | None] = [None] * running
        while running:
            event = await self._queue.get()
            now_s = time.perf_counter()
            if isinstance(event, TextDelta):
                self._metrics.text(self._model, self._started_s, last_s[event.index], now_s)
                last_s[event.index] = now_s
                yield event
                continue
            index, handle = event
            result = handle.result(0)
            assert isinstance(result, GenResult)
            running -= 1
            self._metrics.finished(self._model, self._started_s, now_s)
            yield Finished(index, result)

    async def results(self) -> list[GenResult]:
        """Every request's result, in order."""
        done: dict[int, GenResult] = {}
        async for event in self:
            if isinstance(event, Finished):
                done[event.index] = event.result
        return [done[index] for index in range(len(self._requests))]

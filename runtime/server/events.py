"""Responses that end when their client leaves: a JSON body that is awaited, or a stream of events.

Work is written as a coroutine or an async generator that cancels in its `finally`; here a vanished
client becomes that cancellation, promptly and in both cases.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any, TypeVar

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ...lang.errors import TreegramError
from ..variables import json_text
from .errors import ApiError, from_exception

_log = logging.getLogger(__name__)

T = TypeVar("T")

DONE = b"data: [DONE]\n\n"


class ClientGone(Exception):
    """The client closed the connection; nobody is left to answer."""


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _race(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """`work`'s result, unless the client leaves first: then `work` is cancelled, its cleanup
    awaited, and ClientGone raised."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def answer(request: Request, work: Coroutine[Any, Any, Mapping[str, Any]]) -> Response:
    """The result of `work` as JSON. Raises what `work` raises."""
    try:
        body = await _race(work, request.receive)
    except ClientGone:
        return Response(status_code=499)  # nobody reads it; the number is for the access log
    return Response(json_text(body), media_type="application/json")


class EventStream(Response):
    """Server-sent events from an async generator of JSON objects, then `data: [DONE]`.

    The response starts with the first event, so that a failure before it is an ordinary HTTP error.
    A later failure is sent as an event `{"error": ...}`.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[Mapping[str, Any], None]) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await _race(self._send_all(scope, receive, send), receive)
        except (ClientGone, OSError):  # OSError: a server that reports the loss on send
            pass
        finally:
            await self._events.aclose()

    async def _send_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            event: Mapping[str, Any] | None = await anext(self._events, None)
        except Exception as exc:
            await _told(exc).response()(scope, receive, send)
            return
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        while event is not None:
            await _send_chunk(send, b"data: " + json_text(event).encode() + b"\n\n")
            try:
                event = await anext(self._events, None)
            except Exception as exc:
                event = None
                await _send_chunk(send, b"data: " + json_text(_told(exc).body).encode() + b"\n\n")
        await _send_chunk(send, DONE)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _told(exc: Exception) -> ApiError:
    if not isinstance(exc, ApiError | TreegramError):
        _log.error("a bug in treegram's server", exc_info=exc)
    return from_exception(exc)


async def _send_chunk(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})

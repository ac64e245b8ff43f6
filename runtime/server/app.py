"""The application: routes, guards and error shapes around one runtime."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...lang.base import ModelProvider
from ...lang.errors import TreegramError
from ...lang.program import Program
from . import openai_api, programs_api
from .errors import ApiError, from_exception
from .gate import Gate
from .guard import LOOPBACK_HOSTS, Guard
from .metrics import Metrics
from .service import Service
from .validation import validation_error

LOCAL_ORIGINS = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?"


def create_app(
    programs: Mapping[str, Program],
    provider: ModelProvider,
    *,
    models: Sequence[str],
    adapters: Mapping[str, Sequence[str]] = MappingProxyType({}),
    api_key: str | None = None,
    allowed_hosts: Collection[str] | None = LOOPBACK_HOSTS,
    max_body_bytes: int = 32 * 1024 * 1024,
    gate: Gate | None = None,
) -> FastAPI:
    """The application that serves `programs` and OpenAI's API.

    Args:
        programs: by the name in their path.
        provider: where backends come from; it stays the caller's to close.
        models: the model names that requests may use; the first is the default.
        adapters: names of the LoRA adapters of some of them, which requests use as `model:adapter`.
        api_key: what clients must send as a bearer token; None asks for none.
        allowed_hosts: names the Host header may carry; None allows all. The default is loopback.
        max_body_bytes: longer bodies are refused with 413.
        gate: admission; give one to load late or to drain from outside.

    Raises:
        ProgramError: a program's parameters cannot be described.
    """
    service = Service(programs, provider, models, adapters, gate or Gate())
    app = FastAPI(title="treegram", redoc_url=None)
    app.include_router(openai_api.router(service))
    app.include_router(programs_api.router(service))
    _add_operations(app, service)
    _add_error_handlers(app)
    app.add_middleware(_Count, metrics=service.metrics)
    app.add_middleware(
        Guard, api_key=api_key, allowed_hosts=allowed_hosts, max_body_bytes=max_body_bytes
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origin_regex=LOCAL_ORIGINS,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=["x-request-id"],
    )
    return app


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/health")
    async def health() -> Response:
        service.gate.check()
        return JSONResponse({"status": "ok"})

    @app.get("/metrics")
    def metrics() -> Response:
        return PlainTextResponse(service.metrics.render(), media_type=CONTENT_TYPE_LATEST)


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, exc: RequestValidationError) -> Response:
        return validation_error(exc.errors(), exc.body).response()

    @app.exception_handler(HTTPException)
    async def refused(request: Request, exc: HTTPException) -> Response:
        return _as_api_error(request, exc).response()

    async def failed(_: Request, exc: Exception) -> Response:
        return from_exception(exc).response()

    app.add_exception_handler(TreegramError, failed)
    app.add_exception_handler(RecursionError, failed)
    app.add_exception_handler(Exception, failed)  # a bug of ours: the server logs it as well


def _as_api_error(request: Request, exc: HTTPException) -> ApiError:
    if isinstance(exc, ApiError):
        return exc
    where = f"{request.method} {request.url.path}"
    if exc.status_code == 404:
        message = f"no such route: {where}; see /docs for the list"
        return ApiError(404, message, type="not_found_error", code="route_not_found")
    message = f"{where}: {exc.detail}"
    return ApiError(exc.status_code, message, headers=exc.headers)


class _Count:
    """Counts answers by route and status; the route as declared, so that the labels stay few."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")
                self.metrics.answered(getattr(route, "path", "none"), message["status"])
            await send(message)

        await self.app(scope, receive, send_counted)

"""What every request passes before the application sees it: one plain ASGI layer.

It gives the request an id, checks the Host header (a page on evil.example whose name resolves to
127.0.0.1 must not reach a loopback server), the API key, and the size of the body.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import ApiError

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """Wraps `app`.

    Args:
        api_key: the key that `Authorization: Bearer` must carry; None asks for none.
        allowed_hosts: host names that the Host header may name; None allows all.
        max_body_bytes: a longer body is answered with 413.
        open_paths: paths that need no key.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        api_key: str | None = None,
        allowed_hosts: Collection[str] | None = None,
        max_body_bytes: int = 32 * 1024 * 1024,
        open_paths: Collection[str] = ("/health",),
    ) -> None:
        self.app = app
        self.api_key = api_key
        self.allowed_hosts = allowed_hosts
        self.max_body_bytes = max_body_bytes
        self.open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if 0 < len(given) <= 128 else f"req_{uuid.uuid4().hex}"
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            self._check_host(headers)
            self._check_key(headers, scope)
            self._check_length(headers)
        except ApiError as exc:
            await exc.response()(scope, receive, send_with_id)
            return
        await self.app(scope, self._counted(receive), send_with_id)

    def _check_host(self, headers: Headers) -> None:
        if self.allowed_hosts is None:
            return
        host = headers.get("host", "")
        name = host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
        if name.lower() not in self.allowed_hosts:
            raise ApiError(
                400,
                f"Host {host!r} is not one of this server's names "
                f"({', '.join(sorted(self.allowed_hosts))}); start it with --host to add one",
                code="invalid_host",
            )

    def _check_key(self, headers: Headers, scope: Scope) -> None:
        if self.api_key is None or scope["path"] in self.open_paths:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = secrets.compare_digest(given.strip().encode(), self.api_key.encode())
        if scheme.lower() != "bearer" or not right:
            raise ApiError(
                401,
                "this server asks for an API key: send 'Authorization: Bearer <key>'"
                + (" (the key given is another)" if given else ""),
                type="authentication_error",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _check_length(self, headers: Headers) -> None:
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.max_body_bytes:
            raise self._too_large()

    def _counted(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self.max_body_bytes:
                    raise self._too_large()
            return message

        return counted

    def _too_large(self) -> ApiError:
        return ApiError(
            413,
            f"the body is larger than {self.max_body_bytes} bytes",
            code="request_too_large",
        )

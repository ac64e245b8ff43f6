"""Errors as OpenAI clients read them: `{"error": {"message", "type", "param", "code"}}`.

    status  type                    when
    400     invalid_request_error   a field, a constraint, a prompt too long, a foreign Host
    401     authentication_error    an API key is set and the request has none or another
    404     not_found_error         code program_not_found, model_not_found or route_not_found
    405     invalid_request_error   the path exists, the method does not
    413     invalid_request_error   the body is over the limit
    422     output_error            the output is no value of its constraint (cut by max_tokens)
    500     program_error           the served program raised; retrying would raise again
    500     server_error            llama.cpp or treegram failed
    503     overloaded_error        loading, draining, or the queue is full; with Retry-After

The OpenAI SDK retries 408, 409, 429 and every 5xx. A failure that is sure to repeat says
`x-should-retry: false`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...lang.errors import (
    CancelledError,
    ConstraintError,
    ContextOverflowError,
    EngineError,
    ModelError,
    OutputError,
    ParameterError,
    TreegramError,
)
from ..failures import describe
from ..variables import json_text

NEVER_RETRY = {"x-should-retry": "false"}


class ApiError(HTTPException):
    """A request that ends in an HTTP error; `body` is what the client gets.

    An HTTPException, because FastAPI passes only those through while it reads a body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.type = type
        self.param = param
        self.code = code

    def __str__(self) -> str:  # HTTPException would prefix the status
        return self.detail

    @property
    def body(self) -> dict[str, Any]:
        error = {"message": str(self), "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}

    def response(self) -> Response:
        """The error as a response of its own."""
        content = json_text(self.body)
        return Response(content, self.status_code, self.headers, media_type="application/json")


def unavailable(message: str, retry_after_s: int) -> ApiError:
    """503: come back in `retry_after_s` seconds."""
    return ApiError(
        503,
        message,
        type="overloaded_error",
        code="unavailable",
        headers={"Retry-After": str(retry_after_s)},
    )


def model_not_found(name: str, known: Sequence[str]) -> ApiError:
    """404 for a model that this server does not have."""
    return ApiError(
        404,
        f"no model {name!r} here; this server has: {', '.join(known)}",
        type="not_found_error",
        param="model",
        code="model_not_found",
    )


def from_exception(exc: BaseException) -> ApiError:
    """What a client is told about an exception of treegram or of a program."""
    message = describe(exc)
    match exc:
        case ApiError():
            return exc
        case ContextOverflowError():
            return ApiError(400, message, code="context_length_exceeded")
        case ParameterError():
            return ApiError(400, message, param=exc.parameter, code="invalid_value")
        case ConstraintError():
            return ApiError(400, message, code="invalid_constraint")
        case OutputError():
            return ApiError(422, message, type="output_error", code=exc.finish_reason)
        case RecursionError():
            return ApiError(400, "the body is nested too deeply", code="invalid_value")
        case CancelledError():
            return unavailable("the server is shutting down and cancelled this request", 5)
        case TreegramError() if not isinstance(exc, EngineError | ModelError):
            return ApiError(500, message, type="program_error", headers=NEVER_RETRY)
        case _:
            return ApiError(500, message, type="server_error", headers=NEVER_RETRY)


def from_program(exc: BaseException) -> ApiError:
    """Like `from_exception`, for what the body of a served program raised.

    A constraint or a parameter that is wrong there is the program's fault, not the request's.
    """
    if isinstance(
        exc, ApiError | OutputError | CancelledError | EngineError | ContextOverflowError
    ):
        return from_exception(exc)
    return ApiError(500, describe(exc), type="program_error", headers=NEVER_RETRY)

"""What pydantic says about a body, as one sentence that names the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .errors import ApiError
from .openai_requests import NOT_YET


def validation_error(errors: Sequence[Mapping[str, Any]], body: object) -> ApiError:
    """400 for a body that was refused: names the first field and counts the rest."""
    first = errors[0]
    kind = first["type"]
    if kind == "json_invalid":
        reason = first.get("ctx", {}).get("error", first["msg"])
        return ApiError(400, f"the body is not JSON: {reason}", code="invalid_json")
    param = _dotted(first["loc"], body, kind)
    if not param:
        return ApiError(
            400, "the body must be a JSON object, sent with Content-Type: application/json"
        )
    code, message = _explained(kind, param, str(first["msg"]))
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ApiError(400, message + more, param=param, code=code)


def _explained(kind: str, param: str, reason: str) -> tuple[str, str]:
    """The error code and the message."""
    if kind == "missing":
        return "missing_required_parameter", f"missing required field {param!r}"
    if kind != "extra_forbidden":
        return "invalid_value", f"{param}: {reason.removeprefix('Value error, ')}"
    if param in NOT_YET:
        return "unsupported_parameter", f"{param}: {NOT_YET[param]}"
    hint = ""
    if param.startswith(("guided_", "json", "regex", "grammar", "ebnf", "choice", "structured")):
        hint = (
            ". A constraint is one of response_format, structured_outputs "
            "{json | regex | choice | grammar}, regex, grammar (alias ebnf) or json_schema"
        )
    message = f"unknown field {param!r}; nothing is ignored, so remove it{hint}"
    return "unknown_parameter", message


def _dotted(loc: Sequence[object], body: object, kind: str) -> str:
    """The path to the field as the client wrote it, such as `messages[0].content`.

    pydantic's own path also names the members of unions; those are not in the body.
    """
    dotted = ""
    for n, part in enumerate(loc[1:], 2):
        match part, body:
            case int(), list() if part < len(body):
                dotted += f"[{part}]"
                body = body[part]
            case str(), dict() if part in body:
                dotted += f".{part}"
                body = body[part]
            case str(), _ if n == len(loc) and kind == "missing":
                dotted += f".{part}"
            case _:
                pass
    return dotted.removeprefix(".")

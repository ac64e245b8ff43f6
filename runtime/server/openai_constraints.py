"""The ways clients spell a constraint, reduced to one grammar.

OpenAI: `response_format`. vLLM: `structured_outputs`. SGLang: `regex`, `ebnf`, `json_schema`.
llama-server: `grammar` (GBNF), `json_schema`. JSON is laid out as a `gen` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from ...lang.errors import TreegramError
from ...lang.grammar import Grammar
from ...lang.json_schema.layout import Layout
from .errors import ApiError
from .openai_requests import GenerationFields, JsonObjectFormat, JsonSchemaResponse

Compile: TypeAlias = Callable[[], Grammar]


def grammar_of(body: GenerationFields) -> Grammar | None:
    """The grammar that a request asks for.

    Raises ApiError 400 that names the field: for more than one constraint, and for one that cannot
    be compiled.
    """
    given = list(_given(body))
    if not given:
        return None
    if len(given) > 1:
        names = [name for name, _ in given]
        raise ApiError(
            400,
            f"exactly one constraint may be given, got {', '.join(names)}",
            param=names[1],
            code="invalid_constraint",
        )
    name, compile_ = given[0]
    try:
        return compile_()
    except TreegramError as exc:
        message = str(exc).removeprefix(f"{name}: ")
        raise ApiError(400, f"{name}: {message}", param=name, code="invalid_constraint") from exc


def _given(body: GenerationFields) -> Iterator[tuple[str, Compile]]:
    match body.response_format:
        case JsonObjectFormat():
            yield "response_format", lambda: Grammar.from_schema({"type": "object"}, Layout())
        case JsonSchemaResponse(json_schema=format_):
            schema = {} if format_.schema_ is None else format_.schema_
            yield (
                "response_format.json_schema.schema",
                lambda: Grammar.from_schema(schema, Layout()),
            )
    yield from _structured(body)
    if (regex := body.regex) is not None:
        yield "regex", lambda: Grammar.from_regex(regex)
    if (gbnf := body.grammar) is not None:
        yield "grammar", lambda: Grammar.from_gbnf(gbnf)
    if (ebnf := body.ebnf) is not None:
        yield "ebnf", lambda: Grammar.from_gbnf(ebnf)
    if (schema_ := body.json_schema) is not None:
        yield "json_schema", lambda: _from_schema("json_schema", schema_)


def _structured(body: GenerationFields) -> Iterator[tuple[str, Compile]]:
    outputs = body.structured_outputs
    if outputs is None:
        return
    prefix = "structured_outputs"
    if all(value is None for _, value in outputs):
        raise ApiError(
            400,
            f"{prefix}: expected one of json, regex, choice or grammar, got none",
            param=prefix,
            code="invalid_constraint",
        )
    if (schema := outputs.json_) is not None:
        yield f"{prefix}.json", lambda: _from_schema(f"{prefix}.json", schema)
    if (regex := outputs.regex) is not None:
        yield f"{prefix}.regex", lambda: Grammar.from_regex(regex)
    if (choice := outputs.choice) is not None:
        yield f"{prefix}.choice", lambda: Grammar.from_choices(choice)
    if (gbnf := outputs.grammar) is not None:
        yield f"{prefix}.grammar", lambda: Grammar.from_gbnf(gbnf)


def _from_schema(name: str, given: dict[str, Any] | bool | str) -> Grammar:
    schema: Any = given
    if isinstance(given, str):
        try:
            schema = json.loads(given)
        except (ValueError, RecursionError) as exc:
            raise ApiError(
                400, f"{name}: the schema is not JSON: {exc}", param=name, code="invalid_constraint"
            ) from exc
    return Grammar.from_schema(schema, Layout())

"""Requests, results and errors as plain data: JSON, which can hold nothing executable.

    {"GenRequest": [[{"Text": ["Once", false]}], {"SamplingParams": [0, ...]}, {"Grammar": ...}]}

An object is a class and its fields in order; which classes there are follows from the annotations
of what may travel, so that a new field needs nothing here. Arrays are tuples. A grammar is its key:
the other side keeps the grammars that it was sent, and asks for one that it does not have.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, fields, is_dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, get_args, get_type_hints

from ...lang.base import Message, Request, Result
from ...lang.compiler.reply import error_from, error_row
from ...lang.errors import ConstraintError, EngineError, ParameterError, TreegramError
from ...lang.grammar import Grammar
from ...lang.ir import rules_format
from ...lang.json_schema.compile import Note
from ..model_options import ModelOptions
from ..stats import EngineStats

_LEAVES = frozenset({str, int, float, bool, type(None)})


class UnknownGrammar(Exception):
    """A grammar was named by its key, and has not been sent."""


def encode(value: object, *, with_grammars: bool = False) -> bytes:
    """`value` as bytes that `decode` reads.

    Args:
        with_grammars: send whole grammars, not their keys alone.

    Raises:
        ParameterError: it holds something that is no plain data.
    """
    return json.dumps(_plain(value, with_grammars), separators=(",", ":")).encode()


def decode(data: bytes, grammar: Callable[[str, str | None], Grammar] | None = None) -> Any:
    """What was encoded.

    `grammar` gives the grammar of a key and, if it was sent, its text (see `grammar_from`).
    """
    return _tuples(json.loads(data, object_hook=lambda found: _object(found, grammar)))


def grammar_from(key: str, text: str | None) -> Grammar:
    """A grammar that was sent whole. Raises UnknownGrammar if it was not, ConstraintError."""
    if text is None:
        raise UnknownGrammar(key)
    compiled = rules_format.decode(text.encode())
    grammar = Grammar(compiled.rules, tuple(Note(*note) for note in compiled.notes))
    if grammar.key != key:
        raise ConstraintError(
            "this constraint changes on the way to the engine's process, which is a bug of "
            "treegram's: please report it, and load the model in this process meanwhile"
        )
    return grammar


def encode_error(error: BaseException) -> bytes:
    """An exception: treegram's own as they are, any other as an EngineError with its text."""
    if not isinstance(error, TreegramError):
        found = EngineError(f"the engine failed: {type(error).__name__}: {error}")
        vars(found).update(vars(error))
        error = found
    return json.dumps(error_row(error), default=repr).encode()


def decode_error(data: bytes) -> TreegramError:
    """What `encode_error` encoded."""
    return error_from(json.loads(data), EngineError)


def _plain(value: object, with_grammars: bool) -> Any:
    kind = type(value)
    if kind in _LEAVES:
        return value
    match value:
        case Grammar():
            return {"Grammar": [value.key, _grammar_text(value) if with_grammars else None]}
        case _ if kind in _FIELDS:
            rows = [_plain(getattr(value, name), with_grammars) for name in _FIELDS[kind]]
            return {kind.__name__: rows}
        case tuple() | list():
            if _LEAVES.issuperset(map(type, value)):
                return value
            return [_plain(part, with_grammars) for part in value]
        case Mapping():
            pairs = value.items()
            return {"dict": [[_plain(part, with_grammars) for part in pair] for pair in pairs]}
        case bytes():
            return {"bytes": base64.b64encode(value).decode()}
        case Path():
            return {"Path": str(value)}
        case str():
            return str(value)
        case Integral():  # also numpy's
            return int(value)
        case Real():
            return float(value)
        case _:
            raise ParameterError(
                "request",
                f"{value!r:.80} is a {kind.__name__}, and only plain data reaches the engine's own "
                "process; load the model with engine='thread' to use it",
            )


def _object(found: dict[str, Any], grammar: Callable[[str, str | None], Grammar] | None) -> Any:
    ((tag, content),) = found.items()
    match tag:
        case "Grammar":
            assert grammar is not None
            return grammar(*content)
        case "dict":
            return {key: _tuples(value) for key, value in content}
        case "bytes":
            return base64.b64decode(content)
        case "Path":
            return Path(content)
        case _:
            kind = _CLASSES[tag]
            return kind(**dict(zip(_FIELDS[kind], map(_tuples, content), strict=True)))


def _tuples(value: Any) -> Any:
    if type(value) is not list:
        return value
    if list in set(map(type, value)):
        return tuple(map(_tuples, value))
    return tuple(value)


def _grammar_text(grammar: Grammar) -> str:
    compiled = rules_format.Compiled(grammar.rules, tuple(map(astuple, grammar.notes)))
    return rules_format.encode(compiled).decode()


def _names(kind: type) -> tuple[str, ...]:
    """The fields of a dataclass or a NamedTuple; () for any other class."""
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind) if field.init)
    return getattr(kind, "_fields", ())


def _reachable(hints: Iterable[object]) -> dict[type, tuple[str, ...]]:
    """The classes with fields that annotations name, directly or inside one another."""
    found: dict[type, tuple[str, ...]] = {}
    work = list(hints)
    while work:
        hint = work.pop()
        work.extend(get_args(hint))
        if isinstance(hint, type) and hint is not Grammar and hint not in found and _names(hint):
            found[hint] = _names(hint)
            work.extend(get_type_hints(hint, localns={"Grammar": Grammar}).values())
    return found


_FIELDS = _reachable([Request, Result, Message, EngineStats, ModelOptions])
_CLASSES = {kind.__name__: kind for kind in _FIELDS}
assert len(_CLASSES) == len(_FIELDS), "two classes of one name"

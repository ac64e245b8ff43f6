"""What a constraint can be written as, as plain data, and who compiles it.

A `Source` crosses process boundaries and keys the caches, so it is text throughout.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..choices import choices_to_rules
from ..errors import ConstraintError
from ..gbnf.parser import gbnf_to_rules
from ..ir.dfa import Dfa
from ..ir.measured import Measured
from ..ir.nodes import CharClass, Rules, Terminal
from ..ir.rules_format import Compiled
from ..ir.walk import walk
from ..json_schema.compile import compile_schema
from ..json_schema.layout import Layout
from ..lark_grammar.parser import lark_to_rules
from ..regex.expressions import parse_fullmatch

Kind: TypeAlias = Literal["regex", "choices", "schema", "gbnf", "lark"]


@dataclass(frozen=True, slots=True)
class Source:
    """A constraint as it was written.

    Attributes:
        kind: in which language.
        text: the pattern, the grammar, or JSON (the choices, the schema).
        options: a JSON object of what else its front end takes: `layout`, `lenient` and
            `formats` for a schema, `start` for a Lark grammar.
    """

    kind: Kind
    text: str
    options: str = "{}"


def compile_here(source: Source) -> Compiled:
    """The rules of a source, computed in this thread.

    Raises ConstraintError or ParameterError for a source that has none.
    """
    try:
        return _FRONT_ENDS[source.kind](source.text, json.loads(source.options))
    except RecursionError as error:
        raise ConstraintError(
            f"{source.kind}: nested too deeply to be compiled; move inner parts into rules or "
            "definitions of their own"
        ) from error


def _regex(text: str, options: Mapping[str, Any]) -> Compiled:
    node = parse_fullmatch(text)
    is_literal = not any(isinstance(part, CharClass | Dfa | Measured) for part, _ in walk(node))
    return Compiled(Rules("root", {"root": node if is_literal else Terminal(node)}))


def _choices(text: str, options: Mapping[str, Any]) -> Compiled:
    return Compiled(choices_to_rules(json.loads(text)))


def _schema(text: str, options: Mapping[str, Any]) -> Compiled:
    layout = Layout(**options.get("layout", {}))
    compiled = compile_schema(
        json.loads(text),
        layout,
        lenient=options.get("lenient", False),
        formats=options.get("formats", "enforced"),
    )
    notes = tuple((note.path, note.keyword, note.reason) for note in compiled.notes)
    return Compiled(compiled.rules, notes)


def _gbnf(text: str, options: Mapping[str, Any]) -> Compiled:
    return Compiled(gbnf_to_rules(text))


def _lark(text: str, options: Mapping[str, Any]) -> Compiled:
    return Compiled(lark_to_rules(text, options.get("start", "start")))


_FRONT_ENDS: Mapping[Kind, Callable[[str, Mapping[str, Any]], Compiled]] = {
    "regex": _regex,
    "choices": _choices,
    "schema": _schema,
    "gbnf": _gbnf,
    "lark": _lark,
}

"""`treegram compile`: a constraint as GBNF. Loads no model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..lang.constraint import constraint_from
from ..lang.grammar import Grammar
from .failures import UsageError, usage_errors
from .loading import load_module, split_reference


def compile_constraint(args: argparse.Namespace) -> int:
    """Runs the command; 0 or an exception."""
    with usage_errors():
        print(_grammar(args).to_gbnf().rstrip("\n"))
    return 0


def _grammar(args: argparse.Namespace) -> Grammar:
    if args.regex is not None:
        return Grammar.from_regex(args.regex)
    if args.choices is not None:
        return Grammar.from_choices(args.choices)
    if args.type is not None:
        return _of_type(args.type)
    return Grammar.from_schema(_schema(args.schema))


def _of_type(reference: str) -> Grammar:
    file, name = split_reference(reference)
    module = load_module(file)
    if not hasattr(module, name):
        raise UsageError(f"{file} has no {name!r}")
    constraint = constraint_from(schema=getattr(module, name))
    assert constraint is not None
    return constraint.grammar


def _schema(file: str) -> Any:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"--schema: cannot read {file!r}: {exc}") from exc
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        raise UsageError(
            f"--schema: {file} is not JSON: {exc.msg} at line {exc.lineno} column {exc.colno}"
        ) from exc
    except RecursionError as exc:
        raise UsageError(f"--schema: {file} is nested too deeply to read") from exc

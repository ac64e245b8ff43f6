"""`treegram compile`: a constraint as GBNF, laid out as a `gen` writes it. Loads no model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ..lang.constraint import grammar_from_text
from ..lang.grammar import Grammar
from ..lang.json_schema.layout import Layout
from .failures import UsageError, usage_errors
from .loading import load_module, split_reference


def compile_constraint(args: argparse.Namespace) -> int:
    """Runs the command; 0 or an exception."""
    with usage_errors():
        grammar = _grammar(args)
        for note in grammar.notes:
            print(f"note: {note.path}: {note.keyword}: {note.reason}", file=sys.stderr)
        print(grammar.to_gbnf().rstrip("\n"))
    return 0


def _grammar(args: argparse.Namespace) -> Grammar:
    if args.regex is not None:
        return Grammar.from_regex(args.regex)
    if args.choices is not None:
        return Grammar.from_choices(args.choices)
    if args.grammar is not None:
        return grammar_from_text(_text("--grammar", args.grammar))
    schema = _type(args.type) if args.type is not None else _schema(args.schema)
    return Grammar.from_schema(schema, _layout(args), lenient=args.lenient)


def _layout(args: argparse.Namespace) -> Layout:
    names = ("key_order", "whitespace", "indent")
    return Layout(**{n: v for n in names if (v := getattr(args, n)) is not None})


def _type(reference: str) -> object:
    file, name = split_reference(reference)
    module = load_module(file)
    if not hasattr(module, name):
        raise UsageError(f"{file} has no {name!r}")
    return getattr(module, name)


def _text(option: str, file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{option}: cannot read {file!r}: {exc}") from exc


def _schema(file: str) -> Any:
    text = _text("--schema", file)
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        raise UsageError(
            f"--schema: {file} is not JSON: {exc.msg} at line {exc.lineno} column {exc.colno}"
        ) from exc
    except RecursionError as exc:
        raise UsageError(f"--schema: {file} is nested too deeply to read") from exc

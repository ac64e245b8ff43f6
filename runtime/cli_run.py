"""`treegram run`: one program; its variables as JSON, its text, or its generations as they come."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..lang.base import ModelProvider
from ..lang.stream import Delta
from .cli_model import adapters_of, model_name, models_of, sampling_of
from .failures import UsageError, usage_errors
from .loading import load_program
from .parameters import Parameters
from .variables import outcome_json


def run(args: argparse.Namespace, provider: ModelProvider | None) -> int:
    """Runs the command; 0 or an exception."""
    with usage_errors():
        program = load_program(args.program)
        arguments = Parameters(program).from_texts(_texts(args.arg))
    sampling = sampling_of(args)
    adapter = next(iter(adapters_of(args)), "")
    with models_of(args, provider) as models:
        model = models.model(model_name(args))
        if args.stream:
            with program.stream(
                model=model, sampling=sampling, adapter=adapter, **arguments
            ) as stream:
                _print_as_it_comes(stream)
            state = stream.state
        else:
            state = program.run(model=model, sampling=sampling, adapter=adapter, **arguments)
        if args.text:
            print(state.text())
        outcome = outcome_json(state)  # raises for an output that is no value
        if not (args.text or args.stream):
            variables = outcome.pop("variables")
            print(json.dumps({**variables, **outcome}, ensure_ascii=False, indent=2))
    return 0


def _print_as_it_comes(deltas: Iterable[Delta]) -> None:
    """One paragraph per generation, after its name; the program's own text is left out."""
    current = None
    try:
        for delta in deltas:
            if delta.variable is None:
                continue
            if delta.variable != current:
                print("" if current is None else "\n", f"{delta.variable}: ", sep="", end="")
                current = delta.variable
            print(delta.text, end="", flush=True)
    finally:
        if current is not None:
            print()


def _texts(given: Sequence[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UsageError(f"--arg: expected NAME=VALUE, got {item!r}")
        if name in texts:
            raise UsageError(f"--arg: {name!r} is given twice")
        texts[name] = _read(name, value)
    return texts


def _read(name: str, value: str) -> str:
    if value.startswith("@@") or not value.startswith("@"):
        return value.removeprefix("@") if value.startswith("@@") else value
    if value == "@-":
        return sys.stdin.read()
    try:
        return Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"--arg {name}: cannot read {value[1:]!r}: {exc}") from exc

"""The options that `run`, `batch` and `serve` share: which model, and how to sample."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ..lang.base import ModelProvider
from ..lang.sampling import SamplingParams
from .failures import UsageError, usage_errors


def model_name(args: argparse.Namespace) -> str:
    """The name under which `--model` is known: the stem of a GGUF file, else what was given."""
    if args.model is None:
        return "smollm2"
    path = Path(args.model)
    return path.stem if path.suffix == ".gguf" else str(args.model)


def adapters_of(args: argparse.Namespace) -> dict[str, Path]:
    """The files of `--adapter` by name: the one given with NAME=, else the stem. Raises UsageError.

    In order, so that the first is the one that a program's generations use by default.
    """
    found: dict[str, Path] = {}
    for given in args.adapter:
        name, equals, file = given.rpartition("=")
        path = Path(file)
        name = name if equals else path.stem
        if not name or not file:
            raise UsageError(f"--adapter: expected FILE or NAME=FILE, got {given!r}")
        if name in found:
            raise UsageError(f"--adapter: {name!r} is given twice")
        found[name] = path
    return found


@contextmanager
def models_of(
    args: argparse.Namespace,
    provider: ModelProvider | None,
    *,
    engine: Literal["thread", "process"] = "thread",
) -> Iterator[ModelProvider]:
    """The models of a command: the given ones, or a runtime that ends with the block.

    `engine` is the runtime's, see `Runtime`.
    """
    if provider is not None:
        yield provider
        return
    from . import prepared_weights
    from .model_options import ModelOptions
    from .runtime import Runtime

    name = model_name(args)
    models = {} if args.model in (None, name) else {name: args.model}
    options = ModelOptions(
        n_ctx=args.n_ctx,
        adapters=adapters_of(args),
        projector=args.projector,
        draft=args.draft,
    )
    if args.original_weights:
        options = replace(options, prepared_bytes=0)
    with (
        _printed(prepared_weights.LOG),
        Runtime(models, options=options, default=name, engine=engine) as runtime,
    ):
        yield runtime


@contextmanager
def _printed(log: logging.Logger) -> Iterator[None]:
    """Shows on standard error what a logger says, as the command's own words."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("treegram: %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def sampling_of(args: argparse.Namespace) -> SamplingParams | None:
    """Sampling defaults, None if no option sets any. Raises UsageError."""
    given = {
        name: value
        for name in ("temperature", "seed")
        if (value := getattr(args, name)) is not None
    }
    with usage_errors():
        return SamplingParams(**given) if given else None

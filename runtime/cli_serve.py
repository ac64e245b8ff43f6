"""`treegram serve`: the HTTP endpoint over one runtime."""

from __future__ import annotations

import argparse
import sys

from ..lang.base import ModelProvider
from .cli_model import adapters_of, model_name, models_of
from .failures import UsageError, usage_errors
from .loading import load_programs


def serve(args: argparse.Namespace, provider: ModelProvider | None) -> int:
    """Runs the command until a signal ends it: 0, or 1 if the server stopped by itself."""
    try:
        from .server.app import create_app
        from .server.gate import Gate
        from .server.guard import LOOPBACK_HOSTS
        from .server.serve import listen, serve_until_signal
    except ModuleNotFoundError as exc:
        raise UsageError(
            f"serving needs {exc.name}; install it with: pip install 'treegram[server]'"
        ) from exc

    loopback = args.host in LOOPBACK_HOSTS
    if not loopback and args.api_key is None:
        print(
            f"treegram serve: {args.host} can be reached from other machines and there is no API "
            "key; set TREEGRAM_API_KEY to ask for one",
            file=sys.stderr,
        )
    name = model_name(args)
    gate = Gate(args.max_requests, ready=False)
    with models_of(args, provider, engine=args.engine) as models:
        with usage_errors():
            programs = load_programs(args.file) if args.file is not None else {}
            app = create_app(
                programs,
                models,
                models=(name,),
                adapters={name: tuple(adapters_of(args))},
                api_key=args.api_key,
                allowed_hosts=LOOPBACK_HOSTS if loopback else None,
                gate=gate,
            )
        return serve_until_signal(
            app,
            gate,
            listen(args.host, args.port),
            load=lambda: models.model(name),
            drain_s=args.drain_seconds,
            about=f"model {name}; programs: {', '.join(programs) or 'none'}",
        )
